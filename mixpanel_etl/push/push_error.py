"""What can be wrong with a push, told before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mixpanel_etl.errors import MixpanelEtlError


class PushError(MixpanelEtlError):
    """The push as a whole cannot go on: its mapping does not fit the query, or it would take away too much.

    The text names what is wrong, and what to do.
    """


def check_columns(named: Iterable[str], there: Iterable[str]) -> None:
    """Check that a query has the columns that a mapping names, and no two of one name.

    Raises:
        PushError: names the first one that is not there, or is there twice.
    """
    known = list(there)
    twice = sorted(name for name, count in Counter(known).items() if count > 1)
    if twice:
        raise PushError(f"the query has two columns {twice[0]!r}: name one of them otherwise, with AS")
    missing = sorted(set(named) - set(known))
    if missing:
        raise PushError(f"the query has no column {missing[0]!r}; it has {', '.join(known)}")
