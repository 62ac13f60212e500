"""Lakes with a merged person in all their tables, and the search for ids in the bytes of their files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.lake import EventsTable, Provenance, Table
from mixpanel_etl.lake.event_columns import JSON

ASKED = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROVENANCE = Provenance(requested_at=ASKED, project_id=1)


def event(day: date, name: str, insert_id: str, **properties: Any) -> bytes:
    """A line of an export; `device` and `user` stand for `$device_id` and `$user_id`."""
    names = {"device": "$device_id", "user": "$user_id", "before": "$distinct_id_before_identity"}
    time = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
    named = {names.get(key, key): value for key, value in properties.items()}
    return json.dumps({"event": name, "properties": {"time": time, "$insert_id": insert_id, **named}}).encode()


def table(
    lake: str,
    name: str,
    key: str,
    rows: list[dict[str, Any]],
    *,
    json_columns: Iterable[str] = (),
    provenance: Provenance = PROVENANCE,
) -> Table:
    """A table of one partition, written as the other parts of the package write theirs."""
    plain = pa.Table.from_pylist(rows)
    fields = [pa.field(f.name, JSON) if f.name in json_columns else f for f in plain.schema]
    columns = [
        pa.chunked_array([pa.ExtensionArray.from_storage(JSON, chunk) for chunk in column.chunks], JSON)
        if field.name in json_columns
        else column
        for field, column in zip(fields, plain.columns, strict=True)
    ]
    made = Table(lake, name, pa.schema(fields))
    made.write(key, pa.Table.from_arrays(columns, schema=made.schema), provenance)
    return made


def fill_other_tables(lake: str, ids: list[str]) -> None:
    """What other parts keep beside the events: profiles, cohorts, reports, pushes, rejected rows, raw replies."""
    day = "2026-03-01"
    table(
        lake,
        "profiles",
        day,
        [
            {
                "distinct_id": ids[0],
                "properties": json.dumps({"$distinct_id": ids[0], "$email": "someone@example.com"}),
            },
            {"distinct_id": "other", "properties": '{"$email": "other@example.com"}'},
        ],
        json_columns=["properties"],
        provenance=Provenance(requested_at=ASKED, request={"source": "engage"}),
    )
    table(lake, "cohort_members", day, [{"cohort_id": 1, "distinct_id": one} for one in [*ids[:3], "other"]])
    table(lake, "reports/by_user", day, [{"segment": one, "count": 2} for one in ["other", ids[1], "$overall"]])
    table(lake, "reports/quiet", day, [{"segment": "other", "count": 2}])
    activity = table(lake, "reports/activity", day, [{"distinct_id": ids[2], "event": "Visit"}])
    reply = {
        "results": {"events": [{"event": "Visit", "properties": {"distinct_id": one}} for one in (ids[2], "other")]}
    }
    activity.keep_reply(day, json.dumps(reply).encode())
    table(lake, "pushes/profiles", day, [{"key": ids[3], "hash": "00"}, {"key": "other", "hash": "01"}])
    rejected = [{"row": json.dumps({"event": "Pay", "properties": {"distinct_id": one}})} for one in (ids[4], "other")]
    table(lake, "rejected/orders", day, rejected)
    store = activity.storage
    store.write(
        "staged/profiles/page=0.json", json.dumps([{"$distinct_id": ids[5]}, {"$distinct_id": "other"}]).encode()
    )
    store.write("staged/events.jsonl", "".join(f'{{"distinct_id":"{one}"}}\n' for one in (ids[6], "other")).encode())
    store.write("seen.csv", f"id,name\n{ids[7]},a\nother,b\n".encode())


def everything(lake: Path) -> dict[str, bytes]:
    """All that the files of a lake say: their bytes, and for Parquet every value and all metadata, unpacked."""
    found = {}
    for path in sorted(path for path in lake.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content += gzip.decompress(content)
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            content += repr(file.metadata.metadata).encode() + repr(file.metadata.to_dict()).encode()
            content += json.dumps(as_rows(path), ensure_ascii=False, default=str).encode()
        found[str(path.relative_to(lake))] = content
    return found


def as_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, JSON columns as the text that they are."""
    rows: list[dict[str, Any]] = pq.read_table(path, partitioning=None, arrow_extensions_enabled=False).to_pylist()
    return rows


def events_of(lake: str) -> pl.DataFrame:
    return EventsTable(lake).scan().collect()
