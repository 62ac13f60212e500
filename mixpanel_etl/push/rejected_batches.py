"""Which rows of a refused batch are to blame: halves are sent until Mixpanel takes some, and single rows are left.

A refusal can also be about the request itself (project, credentials): then no row is to blame, and the push stops.
"""

from __future__ import annotations

import re

from mixpanel_etl.client import MixpanelError, RecordsRejected

#: Single rows in a row that are refused, without any that is taken, before the request itself counts as refused.
MAX_REFUSED_IN_A_ROW = 10
_ABOUT_THE_REQUEST = re.compile(
    r"(?i)\b(project(_id)?|tokens?|credentials?|secret|service account|api[ _]key|authenti\w+|authori[sz]\w+)\b"
)


class Refusals:
    """What was refused of one batch so far, while its halves are sent."""

    def __init__(self) -> None:
        self._taken = False
        self._alone = 0

    def taken(self) -> None:
        """Note that Mixpanel took some rows: the request itself is in order."""
        self._taken = True

    def check(self, error: MixpanelError, rows: int) -> None:
        """Raise the error when it is about the request; return when it can be about the rows.

        Args:
            error: the refusal.
            rows: number of rows that it refused.
        """
        if isinstance(error, RecordsRejected) or self._taken:
            return
        self._alone += rows == 1
        if _ABOUT_THE_REQUEST.search(error.message) or self._alone >= MAX_REFUSED_IN_A_ROW:
            raise error
