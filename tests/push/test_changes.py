"""Rows compared with what was pushed before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.lake.storage import storage
from mixpanel_etl.push import row_changes as pushed
from mixpanel_etl.push.row_changes import SNAPSHOT, Changes, Previous


@contextmanager
def compared(*arguments: Any, **options: Any) -> Iterator[Changes]:
    """With the scratch of a lake that is empty before and afterwards."""
    with TemporaryDirectory() as lake:
        with pushed.compared(*arguments, place=storage(lake), **options) as changes:
            yield changes
        assert storage(lake).everything() == []


def reader(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows, schema)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2))


def ids(changes: Changes) -> list[str]:
    return sorted(name for batch in changes.changed_rows() for name in batch.column("$id").to_pylist())


def gone(changes: Changes) -> list[str]:
    return sorted(name for part in changes.vanished_ids() for name in part)


def push(
    rows: list[dict[str, Any]], before: Iterable[pa.RecordBatch] = (), *, lost: Iterable[str] = ()
) -> tuple[list[str], list[str], list[pa.RecordBatch]]:
    """Changed ids, vanished ids, and the next snapshot."""
    with compared(reader(rows), "id", ["v"], Previous(before), sent_as="") as changes:
        found = ids(changes), gone(changes)
        changes.pushed(name for name in (*found[0], *found[1]) if name not in set(lost))
        return *found, list(changes.snapshot())


def test_only_new_and_changed_rows_are_sent_and_those_that_vanished_are_known() -> None:
    first: list[dict[str, Any]] = [{"id": n, "v": str(n)} for n in range(5)]
    changed, vanished, snapshot = push(first)
    assert (changed, vanished) == (["0", "1", "2", "3", "4"], [])
    assert push(first, snapshot)[:2] == ([], [])
    second: list[dict[str, Any]] = [{"id": 1, "v": "1"}, {"id": 2, "v": "other"}, {"id": 9, "v": None}]
    changed, vanished, snapshot = push(second, snapshot)
    assert (changed, vanished) == (["2", "9"], ["0", "3", "4"])
    assert push(second, snapshot)[:2] == ([], [])


def test_what_did_not_arrive_is_as_before() -> None:
    *_, snapshot = push([{"id": "a", "v": "1"}, {"id": "b", "v": "1"}])
    second = [{"id": "b", "v": "2"}, {"id": "c", "v": "1"}]
    *_, snapshot = push(second, snapshot, lost=["a", "b", "c"])
    assert push(second, snapshot)[:2] == (["b", "c"], ["a"])


def test_a_column_that_is_not_sent_changes_nothing_and_another_way_to_send_changes_all() -> None:
    rows = [{"id": 1, "v": 1, "loaded_at": 1}]
    with compared(reader(rows), "id", ["v"], Previous(), sent_as="a") as changes:
        changes.pushed(ids(changes))
        before = list(changes.snapshot())
    rows[0]["loaded_at"] = 2
    with compared(reader(rows), "id", ["v"], Previous(before), sent_as="a") as changes:
        assert changes.changed == 0
    with compared(reader(rows), "id", ["v"], Previous(before), sent_as="b") as changes:
        assert changes.changed == 1


def test_rows_that_cannot_be_told_apart_are_not_sent() -> None:
    rows = [{"id": name, "v": 1} for name in ("a", "b", "b", None, " ", "c")]
    with compared(reader(rows), "id", ["v"], Previous(), sent_as="") as changes:
        assert ids(changes) == ["a", "c"]
        found = [(rejected_row.message[:9], rejected_row.row["id"]) for rejected_row in changes.unusable_rows()]
    assert sorted((reason, str(name)) for reason, name in found) == [
        ("has an id", "b"),
        ("has an id", "b"),
        ("has no id", " "),
        ("has no id", "None"),
    ]


def test_every_type_of_a_warehouse_can_be_compared() -> None:
    row = {"id": 1, "v": {"n": Decimal("1.50"), "t": datetime(2026, 1, 1, tzinfo=UTC), "l": [1.5, None], "b": b"\x00"}}
    _, _, snapshot = push([row])
    assert push([row], snapshot)[0] == []
    row["v"]["l"] = [1.5]  # type: ignore[index]
    assert push([row], snapshot)[0] == ["1"]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.text(max_size=3), max_size=6), max_size=5))
def test_after_every_push_the_snapshot_says_what_was_sent(states: list[dict[str, str | None]]) -> None:
    schema = pa.schema([("id", pa.string()), ("v", pa.string())])
    snapshot: list[pa.RecordBatch] = []
    sent: dict[str, str | None] = {}
    for state in states:
        rows = [{"id": name, "v": value} for name, value in state.items()]
        with compared(reader(rows, schema), "id", ["v"], Previous(snapshot), sent_as="") as changes:
            for batch in changes.changed_rows():
                rows_sent = batch.to_pylist()
                sent |= {row["$id"]: row["v"] for row in rows_sent}
                changes.pushed(row["$id"] for row in rows_sent)
            for name in gone(changes):
                del sent[name]
                changes.pushed([name])
            snapshot = list(changes.snapshot())
        assert sent == state


def test_a_snapshot_has_its_schema() -> None:
    *_, snapshot = push([{"id": 1, "v": 1}])
    assert [batch.schema for batch in snapshot] == [SNAPSHOT]
