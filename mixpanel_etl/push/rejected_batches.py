"""Finds the rows that cause the rejection of a batch: halves are sent until only the rejected rows are left.

A rejection can also be about the request itself (project, credentials): then the push stops, and no row is rejected.
"""

from __future__ import annotations

import re

from mixpanel_etl.client import MixpanelError, RecordsRejected

#: Consecutive single rows that are rejected, none accepted in between, before the request itself counts as rejected.
MAX_REJECTED_IN_A_ROW = 10
_ABOUT_THE_REQUEST = re.compile(
    r"(?i)\b(project(_id)?|tokens?|credentials?|secret|service account|api[ _]key|authenti\w+|authori[sz]\w+)\b"
)


class RejectedBatch:
    """Rejections of one batch so far, while its halves are sent."""

    def __init__(self) -> None:
        self._has_accepted = False
        self._alone = 0

    def accept(self) -> None:
        """Note that Mixpanel accepted some rows: the request itself is valid."""
        self._has_accepted = True

    def check(self, error: MixpanelError, rows: int) -> None:
        """Raise the error if it is about the request; return if it can be about the rows.

        Args:
            error: Mixpanel's rejection.
            rows: number of rejected rows.
        """
        if isinstance(error, RecordsRejected) or self._has_accepted:
            return
        self._alone += rows == 1
        if _ABOUT_THE_REQUEST.search(error.message) or self._alone >= MAX_REJECTED_IN_A_ROW:
            raise error
