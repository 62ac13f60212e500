"""Format versions of persistent data: the lake's layout, the ledger of data subject requests, the budget.

A newer package reads older formats, and logs it. An older package fails on newer formats, and says so. A version is
raised only if an older package would misread the new format.
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
    """A newer version of this package wrote this data; this version may misread it."""


def check_format(what: str, found: int, known: int) -> None:
    """Fail on data of a newer version of this package; log that of an older one.

    Args:
        what: name of the data, without passwords, for example `the lake s3://bucket/lake`.
        found: format version of the data.
        known: format version that this package writes.

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
