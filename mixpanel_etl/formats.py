"""Versions of what outlives a process: the lake's layout, the ledger of data subject requests, the budget.

A newer package reads what an older one wrote. An older one refuses what a newer one wrote. Both say so. A version is
raised only when an older package would misread what is written from then on.
"""

from __future__ import annotations

import logging
from importlib.metadata import version

from mixpanel_etl.errors import MixpanelEtlError

log = logging.getLogger("mixpanel_etl")

LAKE_FORMAT = 1
LEDGER_FORMAT = 1
BUDGET_FORMAT = 1

#: Older formats that this process has logged.
_logged: set[str] = set()


class FormatTooNew(MixpanelEtlError):
    """A newer version of this package wrote what is about to be opened; this version may misread it."""


def check_format(what: str, found: int, known: int) -> None:
    """Refuse what a newer version of this package wrote; log what an older one wrote.

    Args:
        what: what is opened, for example `the lake s3://bucket/lake`; no password.
        found: its format version.
        known: the version that this package writes.

    Raises:
        FormatTooNew: `found` is greater than `known`.
    """
    package = f"mixpanel_etl {version('mixpanel_etl')}"
    if found > known:
        raise FormatTooNew(
            f"{what} has format {found}, {package} reads formats up to {known}: update the package "
            "(pip install -U mixpanel_etl)"
        )
    if found < known and what not in _logged:
        _logged.add(what)
        log.info("%s has format %d; %s reads it, and writes format %d", what, found, package, known)
