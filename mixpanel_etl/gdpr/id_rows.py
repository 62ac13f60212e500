"""What the rows of a lake say of ids. Source: mixpanel-api.md#export-records, #identity-merge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mixpanel_etl.gdpr.erased_ids import Ids
from mixpanel_etl.gdpr.evidence import IDENTITY_EVENTS
from mixpanel_etl.gdpr.lake_files import LakeFile
from mixpanel_etl.lake.json_tokens import tokens
from mixpanel_etl.lake.person_columns import ID_COLUMNS, ID_PROPERTY_NAMES
from mixpanel_etl.lake.string_values import as_text

#: Properties beside the columns of the same meaning, which hold the same values.
_ONLY_IN_PROPERTIES = frozenset(ID_PROPERTY_NAMES) - {"distinct_id", "$device_id", "$user_id"}
#: With these, Mixpanel notes on an event that it did not join the ids (mixpanel-api.md#identity-merge).
_REJECTIONS = frozenset(("$failure_reason", "$identity_failure_reason"))
#: A table with all of these holds exported events, whose `distinct_id` is as Mixpanel resolved it.
_EXPORTED = frozenset((*ID_COLUMNS, "event_name"))


class IdRow(NamedTuple):
    """What a row says of ids.

    Attributes:
        columns: `distinct_id`, `device_id`, `user_id`; empty strings where there is none.
        named: other places with their ids.
        event: its name, if it is an identity event.
        has_event: whether it is an event at all.
        is_resolved: whether it is of a table in which Mixpanel has resolved the distinct id.
        is_rejected: whether Mixpanel notes on it that it did not join the ids.
    """

    columns: tuple[str, str, str]
    named: tuple[tuple[str, str], ...]
    event: str
    has_event: bool
    is_resolved: bool
    is_rejected: bool


@dataclass
class Place:
    """The first of the equal rows of a file, and their number."""

    table: str
    file: str
    row: int
    rows: int = 0


def rows_of(file: LakeFile, ids: Ids) -> dict[IdRow, Place] | None:
    """The different things that rows of a file say of some ids; None when it can't be read."""
    found: dict[IdRow, Place] = {}
    try:
        with file.store.open(file.name) as handle, pq.ParquetFile(handle, pre_buffer=False) as parquet:
            columns = _telling_columns(parquet.schema_arrow)
            start = 0
            for number in range(parquet.num_row_groups) if columns else ():
                rows = parquet.read_row_group(number, columns=columns, use_threads=False)
                theirs, mentions = ids.in_table(rows)
                if numbers := sorted(theirs | mentions | _quoted_in(rows, ids)):
                    taken = rows.take(pa.array(numbers, pa.int64()))
                    for within, row in zip(numbers, _read(taken), strict=True):
                        if not ids.all.isdisjoint((*row.columns, *(one for _, one in row.named))):
                            place = found.setdefault(row, Place(file.table, file.name, start + within))
                            place.rows += 1
                start += rows.num_rows
    except FileNotFoundError:
        return {}
    except (pa.ArrowInvalid, TypeError):
        return None
    return found


def _quoted_in(rows: pa.Table, ids: Ids) -> set[int]:
    """Rows in which one of the ids is a string of a JSON text, under any name: `alias` is one of persons here only."""
    quoted = [json.dumps(one, ensure_ascii=False) for one in ids.all]
    found: set[int] = set()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if name not in ID_COLUMNS and (text := as_text(name, column)) is not None:
            found.update(text.str.contains_any(quoted).fill_null(False).arg_true().to_list())
    return found


def _telling_columns(schema: pa.Schema) -> list[str]:
    """The columns of a table of persons that say who they are; none for other tables."""
    if not set(schema.names) & set(ID_COLUMNS):
        return []
    names = (*ID_COLUMNS, "event_name", "properties")
    return [field.name for field in schema if field.name in names or isinstance(field.type, pa.BaseExtensionType)]


def _read(rows: pa.Table) -> Iterator[IdRow]:
    columns = {
        name: text.to_list()
        for name, column in zip(rows.column_names, rows.columns, strict=True)
        if (text := as_text(name, column)) is not None
    }
    empty = [None] * rows.num_rows
    for number in range(rows.num_rows):
        event = columns.get("event_name", empty)[number] or ""
        named: list[tuple[str, str]] = []
        is_rejected = False
        for name, values in columns.items():
            text = values[number]
            if name not in ID_COLUMNS and text and text.lstrip()[:1] == "{":
                for token in tokens(text):
                    if token.depth == 1 and token.name in _REJECTIONS:
                        is_rejected = True
                    elif token.depth == 1 and _names_an_id(token.name, event):
                        named.append((f"{name}.{token.name}", token.value))
        yield IdRow(
            columns=tuple(columns.get(name, empty)[number] or "" for name in ID_COLUMNS),  # type: ignore[arg-type]
            named=tuple(dict.fromkeys(named)),
            event=event if event in IDENTITY_EVENTS else "",
            has_event="event_name" in columns,
            is_resolved=set(rows.column_names) >= _EXPORTED,
            is_rejected=is_rejected,
        )


def _names_an_id(name: str, event: str) -> bool:
    return name in _ONLY_IN_PROPERTIES or (name == "alias" and event == "$create_alias")
