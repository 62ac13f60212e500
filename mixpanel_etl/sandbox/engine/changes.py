"""What changes the stored events behind a client's back: identity merges and late arrivals.

Source: mixpanel-api.md#late-events, #export-merges, #identity-merge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from mixpanel_etl.sandbox.engine.clock import milliseconds
from mixpanel_etl.sandbox.engine.event_store import Days, Store
from mixpanel_etl.sandbox.engine.faults import Fault
from mixpanel_etl.sandbox.engine.projects import Project
from mixpanel_etl.sandbox.engine.state import State
from mixpanel_etl.sandbox.shop.generate import generate_lines

_DISTINCT_IDS = """
SELECT distinct_id FROM events WHERE project_id = ? AND time_ms >= ? AND time_ms < ? AND distinct_id <> ''
GROUP BY distinct_id ORDER BY min(seq) LIMIT ?"""


def merge(store: Store, project_id: int, owners: Mapping[str, str]) -> int:
    """Give all events of each id to another, as later exports show them: how many copies were rewritten.

    Rewritten rows keep the old id in `$distinct_id_before_identity`, and their `mp_processing_time_ms`.
    """
    return store.rewrite(project_id, owners, lambda owner, line: _with_identity(line, owner, owners[owner]))


def late_lines(days: Days, rows: int, seed: int, timezone: str, now: datetime) -> Iterator[bytes]:
    """Events of the days that Mixpanel processes only now."""
    for line in generate_lines(rows, days.first, days.last, seed=seed, duplicates=0, timezone=timezone):
        yield _with_processing_time(line, now)


def change_store(state: State, project: Project, days: Days, fault: Fault | None) -> None:
    """Do what a late_rows or merged_rows fault does before an export of `days` is read."""
    if fault is None:
        return
    store, project_id = state.store, project.project_id
    if fault.kind == "late_rows":
        seed = fault.seed + store.count(project_id) + 1  # never the same late rows twice
        now = state.clock.now()
        store.add(project_id, late_lines(days, fault.rows, seed, project.export_timezone, now))
    elif fault.kind == "merged_rows":
        users = store.query(_DISTINCT_IDS, [project_id, *days.milliseconds, fault.rows])
        merge(store, project_id, {user: f"merged-{user.removeprefix('$device:')}" for (user,) in users})


class _Line(msgspec.Struct):
    event: str
    properties: dict[str, msgspec.Raw]


def _with_identity(line: bytes, from_id: str, to_id: str) -> bytes:
    """The line with another distinct_id; the text of its other members stays as it is."""
    event = msgspec.json.decode(line, type=_Line)
    event.properties.setdefault("$distinct_id_before_identity", _raw(from_id))
    event.properties["distinct_id"] = _raw(to_id)
    return msgspec.json.encode(event)


def _with_processing_time(line: bytes, now: datetime) -> bytes:
    event = msgspec.json.decode(line, type=_Line)
    event.properties["mp_processing_time_ms"] = _raw(milliseconds(now))
    return msgspec.json.encode(event)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
