"""Whose rows no publication may bring back, and until when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mixpanel_etl.lake.storage import storage
from mixpanel_etl.lake.suppression import Suppressed, entries, entry_name, hasher


@dataclass(frozen=True)
class Suppression:
    """The list of suppressed persons of a lake, as hashes.

    Every publication of events, and of any other `lake.Table`, leaves out the rows whose `distinct_id`, `device_id` or
    `user_id` (and columns of similar names) is on the list, and in tables without such columns the rows in which any
    text is. It says in the file's metadata how many these were, and does not take their lack for a loss. It looks at
    the list when it publishes: exports that were requested before a person was added obey, too.

    Attributes:
        lake: path, `file://` or `s3://` URI.
    """

    lake: str

    def add(self, ids: Iterable[str], until: datetime) -> None:
        """Suppress persons, in addition to those that are suppressed already; harmless when repeated.

        Args:
            ids: all ids of the persons.
            until: aware; when Mixpanel has surely forgotten them, 30 days after a deletion
                (mixpanel-api.md#deleted-events).

        Raises:
            ValueError: an empty id, or a time without a zone.
        """
        if until.tzinfo is None:
            raise ValueError(f"until={until} has no time zone; give an aware time")
        wanted = sorted(set(ids))
        if "" in wanted:
            raise ValueError("an empty id would suppress the events of everybody who has none")
        if wanted:
            store = storage(self.lake)
            hashes = sorted(map(hasher(store), wanted))
            store.write(entry_name(hashes, until), json.dumps(hashes).encode())

    def holds(self, distinct_id: str, now: datetime | None = None) -> bool:
        """Whether an id is suppressed at a time (by default now)."""
        return distinct_id in Suppressed(storage(self.lake), now)

    def expire(self, now: datetime | None = None) -> int:
        """Remove entries that are over at a time (by default now), and have no effect any more; how many."""
        store = storage(self.lake)
        time = now or datetime.now(UTC)
        over = [name for name, until in entries(store).items() if until <= time]
        for name in over:
            store.remove(name)
        return len(over)
