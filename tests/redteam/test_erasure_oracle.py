"""Random lakes, and ids drawn from all that stands in them: an erasure does what a slow and simple oracle says.

The oracle shares no code with the package. Which of the words have the form of an id is written down here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.gdpr.erasure import erase
from mixpanel_etl.lake import Provenance, Table
from mixpanel_etl.lake.storage import storage
from mixpanel_etl.pull.reports import report_of, report_table
from mixpanel_etl.push.rejected_rows import rejected_rows

from ..gdpr.lakes import ASKED, as_rows

DAY = "2026-11-10"
#: Strings that are ids by their form, wherever they stand.
CLEAR = {"9f0c1d1e-2f5a-4a6b-8f25-5d8a0e4c7b11", "anna@shop.example", "anna-4711", "$device:x", "1234567890123"}
#: Names that the package gives, names of columns, and values: no ids unless they stand where ids of persons do.
WORDS = {
    *(
        "events",
        "events.parquet",
        "data.parquet",
        "data",
        DAY,
        f"date={DAY}",
        "reports/by",
        "_replies",
        "latest",
        "row",
    ),
    *("distinct_id", "properties", "segment", "customer", "event_name", "mixpanel_etl", "requested_at", "id", "values"),
    *("checkout", "general", "Berlin", "page view", "anna", "4711", "3", "true", "null", "[erased]", "{}", '"', "zoë"),
}
IDENTITIES = {"distinct_id", "$device_id", "$user_id", "$identified_id", "$distinct_ids"}  # whose a JSON object is
PERSONAL = IDENTITIES | {"userId", "user_ids"}
KEYS = [*PERSONAL, "$city", "step", "invited_by", "customer", "anna@shop.example", "checkout"]

ids = st.sampled_from(sorted(CLEAR | WORDS))
_leaves = ids | st.sampled_from([4711, 3, 1234567890123, 1767225600, 0.5, True, None, "another's", "anna-47110"])
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
    max_leaves=5,
)
documents = st.dictionaries(st.sampled_from(KEYS), _values, max_size=4)
maybe = st.none() | ids


@st.composite
def lakes(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Rows of each table, with JSON parsed."""
    rows = {
        "events": st.fixed_dictionaries(
            {"event_name": ids, "distinct_id": maybe, "device_id": maybe, "user_id": maybe, "properties": documents}
        ),
        "profiles": st.fixed_dictionaries({"distinct_id": ids, "properties": documents}),
        "reports/counts": st.fixed_dictionaries(
            {"event": ids, "segment": maybe, "measure": ids, "n": st.integers(0, 9)}
        ),
        "reports/by": st.fixed_dictionaries({"segment": maybe, "event": ids}),
        "reports/jql": st.fixed_dictionaries({"row": _values}),
        "rejected/orders": st.fixed_dictionaries({"row": documents, "message": ids}),
        "reply": documents,
    }
    return {name: draw(st.lists(row, max_size=3)) for name, row in rows.items()}


def person_keys(table: str) -> set[str]:
    return PERSONAL | ({"customer"} if table == "rejected/orders" else set())


def hits(value: Any, wanted: set[str], names: set[str], name: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Where a JSON value holds one of the ids: the member's name, and how deep it is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in wanted & CLEAR:
                yield "", depth + 1
            yield from hits(inner, wanted, names, key, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from hits(inner, wanted, names, name, depth)
    elif is_hit(value, name, wanted, names):
        yield name, depth


def is_hit(value: Any, name: str, wanted: set[str], names: set[str]) -> bool:
    if value is None or isinstance(value, bool | float) or value == "[erased]":
        return False
    return str(value) in wanted and (name in names or str(value) in CLEAR)


def blanked(value: Any, wanted: set[str], names: set[str], name: str = "") -> Any:
    if isinstance(value, dict):
        pairs = [
            ("[erased]" if key in wanted & CLEAR else key, blanked(inner, wanted, names, key))
            for key, inner in value.items()
        ]
        return dict(pairs)
    if isinstance(value, list):
        return [blanked(inner, wanted, names, name) for inner in value]
    return "[erased]" if is_hit(value, name, wanted, names) else value


def after(table: str, row: dict[str, Any], wanted: set[str]) -> dict[str, Any] | None:
    """A row as an erasure has to leave it; None when it has to go."""
    names, whose = person_keys(table), {"events": ("distinct_id", "device_id", "user_id"), "profiles": ("distinct_id",)}
    owners = ("segment",) if table == "reports/by" else whose.get(table, ())
    if any(row[name] in wanted for name in owners):
        return None
    found = [hit for name, value in row.items() for hit in _in_column(name, value, wanted, names)]
    identities = IDENTITIES | ({"customer"} if table == "rejected/orders" else set())
    if any(name in identities and depth == 1 for name, depth in found):
        return None
    if not found:
        return row
    return {name: _blanked(name, value, wanted, names) for name, value in row.items()} if owners else None


def _in_column(name: str, value: Any, wanted: set[str], names: set[str]) -> Iterator[tuple[str, int]]:
    if name in ("properties", "row"):
        yield from hits(value, wanted, names)
    elif isinstance(value, str) and value in wanted & CLEAR:
        yield "", 0


def _blanked(name: str, value: Any, wanted: set[str], names: set[str]) -> Any:
    if name in ("properties", "row"):
        return blanked(value, wanted, names)
    return "[erased]" if isinstance(value, str) and value in wanted & CLEAR else value


def write(lake: str, rows: dict[str, list[Any]]) -> dict[str, Path]:
    """A lake with these rows, and where each table's file is."""
    report = report_of("segmentation", {"event": "checkout", "on": 'properties["$user_id"]'})
    text, number = pa.string(), pa.int64()
    events = [("event_name", text), ("distinct_id", text), ("device_id", text), ("user_id", text), ("properties", text)]
    tables = {
        "events": Table(lake, "events", pa.schema(events)),
        "profiles": Table(lake, "profiles", pa.schema([("distinct_id", text), ("properties", text)])),
        "reports/counts": Table(
            lake, "reports/counts", pa.schema([("event", text), ("segment", text), ("measure", text), ("n", number)])
        ),
        "reports/by": report_table(lake, "reports/by", report),
        "reports/jql": Table(lake, "reports/jql", pa.schema([("row", text)])),
        "rejected/orders": rejected_rows(lake, "orders", ["customer"]),
    }
    usual = {"time": ASKED, "computed_at": ASKED, "rejected_at": ASKED, "unconfirmed": False, "batch": 1, "field": ""}
    for name, table in tables.items():
        made = [
            {column: usual.get(column) for column in table.schema.names}
            | {key: json.dumps(value) if key in ("properties", "row") else value for key, value in row.items()}
            for row in rows[name]
        ]
        table.write(DAY, pa.Table.from_pylist(made, table.schema), Provenance(requested_at=ASKED))
    storage(lake).write(f"reports/jql/_replies/{DAY}.json", json.dumps(rows["reply"]).encode())
    return {name: Path(lake) / name / f"{table.column}={DAY}" / "data.parquet" for name, table in tables.items()}


def read(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = list(rows[0]) if rows else []
    return [
        {key: json.loads(row[key]) if key in ("properties", "row") else row[key] for key in columns}
        for row in as_rows(path)
    ]


@settings(max_examples=40, deadline=None)
@given(lakes(), st.sets(ids, min_size=1, max_size=3))
def test_an_erasure_removes_what_the_oracle_says_and_nothing_else(lake: dict[str, list[Any]], wanted: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write(folder, lake)
        told = erase(folder, wanted)
        assert (told.remaining, told.unread, told.misnamed) == (0, (), ())
        for name, path in paths.items():
            left = [after(name, row, wanted) for row in lake[name]]
            kept = [row for row in left if row is not None]
            assert read(path, lake[name]) == kept, name
            if name in told.tables:
                gone = len(lake[name]) - len(kept)
                assert told.tables[name].rows_removed == gone or name == "reports/jql", name
        _check_reply(Path(folder) / f"reports/jql/_replies/{DAY}.json", lake["reply"], wanted)


def _check_reply(path: Path, reply: list[Any], wanted: set[str]) -> None:
    """The entries without an id are there, in their order, and nothing is left that holds one."""
    left = json.loads(path.read_text()) if path.exists() else []
    others = [one for one in reply if not any(hits(one, wanted, PERSONAL))]
    assert not any(hits(left, wanted, PERSONAL))
    remaining = iter(left)
    assert all(any(one == each for each in remaining) for one in others)
    if len(others) == len(reply):
        assert left == reply
