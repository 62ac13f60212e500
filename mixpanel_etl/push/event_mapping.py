"""Rows as events: how the columns of a query become lines of JSON. Source: mixpanel-api.md#import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import pyarrow as pa

from mixpanel_etl.client.ingestion.events import (
    EARLIEST,
    MAX_AHEAD,
    MAX_BYTES,
    MAX_MEMBERS,
    MAX_STRING_BYTES,
    RESERVED_PROPERTIES,
)
from mixpanel_etl.push.event_values import (
    PLACEHOLDER,
    TRIMMED,
    WHITESPACE,
    altered,
    altered_number,
    as_json,
    first_fault,
    frame_of,
    insert_ids,
    is_id,
    json_text,
    milliseconds,
    nested_faults,
    untrimmed,
    without_nulls,
)
from mixpanel_etl.push.push_error import PushError, check_columns
from mixpanel_etl.push.unsendable_times import BEYOND
from mixpanel_etl.reserved_ids import RESERVED_IDS
from mixpanel_etl.warehouse import NumberType

if TYPE_CHECKING:
    import polars as pl

Nulls = Literal["skip", "send"]
TimeUnit = Literal["s", "ms", "us", "ns"]
_IDS = ("distinct_id", "user_id", "device_id")
_PROPERTIES = {"distinct_id": "distinct_id", "user_id": "$user_id", "device_id": "$device_id"}
_ADDED = 3  # time, $insert_id, ip


@dataclass(frozen=True)
class EventMapping:
    """How the columns of a query become events.

    Attributes:
        time: the column with the time: timestamps, dates, or numbers since 1970.
        key: columns that tell a row from all others. Their hash becomes the `$insert_id`; a single one whose value can
            be an `$insert_id` becomes it as it is.
        event: the name of all events; or None, when `event_column` has it.
        event_column: the column with the event's name.
        distinct_id: the column with whose event it is. One of the three ids is needed.
        user_id: the column for `$user_id`, of a user who is known (Simplified ID Merge).
        device_id: the column for `$device_id`.
        ip: the column with an address that places the event on the map; without it, it has no place.
        properties: the property of each column. Without it, the columns that are named nowhere are properties under
            their own names.
        nulls: whether a null is left out (`skip`) or sent.
        time_unit: unit of times that are integers: s, ms, us or ns.
        time_zone: of timestamps without a zone, and of dates, which begin at midnight there.

    Raises:
        PushError: attributes are missing or contradict each other.
    """

    time: str
    key: Sequence[str]
    event: str | None = None
    event_column: str | None = None
    distinct_id: str | None = None
    user_id: str | None = None
    device_id: str | None = None
    ip: str | None = None
    properties: Mapping[str, str] | None = None
    nulls: Nulls = "skip"
    time_unit: TimeUnit | None = None
    time_zone: str | None = None

    def __post_init__(self) -> None:
        if not self.time:
            raise PushError("time is missing: name the column with the time of the event")
        if not self.key or isinstance(self.key, str):
            raise PushError("key is missing: list the columns that tell a row from all others, as [order_id]")
        if (self.event is None) == (self.event_column is None):
            raise PushError("give one of event (the name of all events) and event_column (the column that has it)")
        if not any((self.distinct_id, self.user_id, self.device_id)):
            raise PushError("the id is missing: name the column of distinct_id, user_id or device_id")
        for name, value, known in (("nulls", self.nulls, Nulls), ("time_unit", self.time_unit, TimeUnit)):
            if value is not None and value not in get_args(known):
                raise PushError(f"{name} is {value!r}: write one of {', '.join(get_args(known))}")
        if self.time_zone is not None:
            _zone(self.time_zone)
        taken = sorted({*RESERVED_PROPERTIES, *_PROPERTIES.values()} & set((self.properties or {}).values()))
        if taken:
            raise PushError(f"properties: {taken[0]!r} is a field of its own, and not a property to be named here")
        names = list((self.properties or {}).values())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PushError(f"properties: two columns become {twice[0]!r}; name one of them otherwise")

    def of(self, schema: pa.Schema) -> ResolvedEvents:
        """The mapping with all columns named, checked against the columns of a query.

        Raises:
            PushError: a column is not there, or of a type that cannot be sent; names it.
        """
        check_columns(self.named, schema.names)
        _check_time(self, schema.field(self.time).type)
        for column in {*self.ids.values(), *([self.event_column] if self.event_column else [])}:
            kind = schema.field(column).type
            if not is_id(kind):
                raise PushError(f"column {column!r} is a {kind}, and an id or name is a text: cast it in the query")
        if self.properties is not None:
            properties = dict(self.properties)
        else:
            # A key is also a property, as a rule: `order_id`.
            properties = {name: name for name in schema.names if name not in self._placed}
            reserved = sorted({*RESERVED_PROPERTIES, *_PROPERTIES.values()} & properties.keys())
            if reserved:
                raise PushError(f"column {reserved[0]!r} would be a field of its own: map it, or name it otherwise")
        for column in properties:
            _check_type(column, schema.field(column).type)
        return ResolvedEvents(self, properties, schema)

    @property
    def named(self) -> list[str]:
        """The columns that are named."""
        return sorted({*self._placed, *self.key, *(self.properties or {})})

    @property
    def person_columns(self) -> list[str]:
        """Those that say whose a row is."""
        return list(self.ids.values())

    @property
    def _placed(self) -> set[str]:
        """Those that have a place of their own in the event."""
        return {self.time, *filter(None, (self.event_column, *self.ids.values(), self.ip))}

    @property
    def ids(self) -> dict[str, str]:
        """The columns of the ids that are mapped."""
        return {name: column for name in _IDS if (column := getattr(self, name))}


@dataclass(frozen=True)
class ResolvedEvents:
    """A mapping and the schema that it fits."""

    mapping: EventMapping
    properties: Mapping[str, str]
    schema: pa.Schema
    _nested: list[str] = field(init=False)

    def __post_init__(self) -> None:
        nested = [
            name
            for name in self.properties
            if _is_json(kind := self.schema.field(name).type) or pa.types.is_nested(kind)
        ]
        object.__setattr__(self, "_nested", nested)

    def encode(self, batch: pa.RecordBatch, now: datetime) -> pl.DataFrame:
        """The events of some rows.

        Args:
            batch: of the schema.
            now: what is later than an hour from it is rejected.

        Returns:
            A row for each, in order: `line` (JSON), `insert_id`, `event`, `field` and `message` (what is wrong; null
            where nothing is), `identity` (a hash of what Mixpanel tells events apart by: equal ones would become one).
        """
        import polars as pl

        rows = frame_of(batch)
        mapping = self.mapping
        if isinstance(self.schema.field(mapping.time).type, NumberType):
            rows = rows.with_columns(pl.col(mapping.time).cast(pl.Float64, strict=False))
        rows = rows.with_columns(
            **{
                f"$id:{name}": pl.col(column).cast(pl.String).str.strip_chars(WHITESPACE)
                for name, column in mapping.ids.items()
            },
            **{
                "$event": pl.col(mapping.event_column).cast(pl.String)
                if mapping.event_column
                else pl.lit(mapping.event)
            },
            **{
                "$ms": milliseconds(
                    mapping.time, rows.schema[mapping.time], unit=mapping.time_unit, zone=mapping.time_zone
                )
            },
        )
        rows = rows.with_columns(insert_ids(rows, mapping.key))
        rows = rows.with_columns(self._line(rows).alias("line"))
        nested = {column: list(nested_faults(rows[column])) for column in self._nested}
        return rows.select(
            "line",
            pl.col("$insert_id").alias("insert_id"),
            pl.col("$event").alias("event"),
            *first_fault(self._faults(nested, now, rows.columns)),
            pl.struct(
                "$event",
                *(f"$id:{name}" for name in mapping.ids),
                "$insert_id",
                (pl.col("$ms") // 86_400_000).alias("$day"),
            )
            .hash()
            .alias("identity"),
        )

    def _line(self, rows: pl.DataFrame) -> pl.Expr:
        """The event as JSON. Strings that are JSON already are inserted unchanged, at the end."""
        import polars as pl

        mapping = self.mapping
        kinds = {name: self.schema.field(name).type for name in self.properties}
        raw = [name for name, kind in kinds.items() if _is_json(kind) or _is_exact(kind)]
        # The first two are never null, so that every null has a comma before it.
        fields = [
            pl.col("$ms").fill_null(0).alias("time"),
            pl.col("$insert_id").fill_null("").alias("$insert_id"),
            (pl.col(mapping.ip).cast(pl.String).fill_null("0") if mapping.ip else pl.lit("0")).alias("ip"),
            *(pl.col(f"$id:{name}").alias(_PROPERTIES[name]) for name in mapping.ids),
            *(
                as_json(column, rows.schema[column]).alias(name)
                for column, name in self.properties.items()
                if column not in raw
            ),
        ]
        text = pl.struct(fields).struct.json_encode().str.strip_suffix("}")
        nullable = [*mapping.ids, *(self.properties if mapping.nulls == "skip" else ())]
        if nullable:
            names = {_PROPERTIES.get(name, self.properties.get(name, name)) for name in nullable}
            # Quotation marks within strings are escaped, so this finds members only.
            keys = "|".join(re.escape(msgspec.json.encode(name).decode()) for name in sorted(names))
            text = (
                text.str.replace_all(f",(?:{keys}):null", "")
                if self._has_no_objects(raw)
                else without_nulls(text, names)
            )
        for column in raw:
            key = msgspec.json.encode(self.properties[column]).decode()
            absent = pl.lit(f",{key}:null" if mapping.nulls == "send" else "")
            value = json_text(column, rows.schema[column], is_number=_is_exact(kinds[column]))
            found = pl.when(value.is_null()).then(absent).otherwise(pl.lit(f",{key}:") + value)
            text = text + found
        event = pl.struct(pl.col("$event").fill_null("").alias("event")).struct.json_encode().str.strip_suffix("}")
        return event + pl.lit(',"properties":') + text + pl.lit("}}")

    def alterations(self, batch: pa.RecordBatch) -> dict[str, pl.Series]:
        """What we or Mixpanel change of rows, as `column: how`, and which rows."""
        rows = frame_of(batch)
        found = {f"{column}: {TRIMMED}": untrimmed(rows[column]) for column in self.mapping.ids.values()}
        for name in dict.fromkeys([*self.properties, *filter(None, [self.mapping.event_column])]):
            kind = self.schema.field(name).type
            if isinstance(kind, NumberType):
                changes = altered_number(rows[name])
            else:
                changes = altered(rows[name], is_json=_is_json(kind))
            found |= {f"{name}: {how}": places for how, places in changes.items()}
        return {how: places for how, places in found.items() if places.any()}

    def _has_no_objects(self, raw: Sequence[str]) -> bool:
        return all(name in raw for name in self._nested)

    def _faults(
        self, nested: Mapping[str, list[str | None]], now: datetime, columns: Sequence[str]
    ) -> Iterator[tuple[str, pl.Expr, pl.Expr]]:
        """The checks of a row: field, whether it is wrong, and why."""
        import polars as pl

        mapping, reserved = self.mapping, list(RESERVED_IDS)
        event, time = pl.col("$event"), pl.col("$ms")
        if BEYOND in columns:
            yield "", pl.col(BEYOND).is_not_null(), pl.col(BEYOND)
        yield "event", event.is_null() | (event == ""), pl.lit("the event has no name")
        yield mapping.time, time.is_null(), pl.lit("the event has no time")
        early, late = int(EARLIEST.timestamp() * 1000), int((now + MAX_AHEAD).timestamp() * 1000)
        shown = pl.from_epoch(time, "ms").dt.to_string("%Y-%m-%d %H:%M:%S UTC")
        yield mapping.time, time < early, pl.lit("before 1971: ") + shown
        yield mapping.time, time > late, pl.lit("more than an hour in the future: ") + shown
        empty = pl.any_horizontal(pl.col(name).is_null() for name in mapping.key)
        yield ", ".join(mapping.key), empty, pl.lit("a column of the key is null, so that the row cannot be told apart")
        ids = [pl.col(f"$id:{name}") for name in mapping.ids]
        yield (
            ", ".join(mapping.ids.values()),
            pl.all_horizontal(one.is_null() | (one == "") for one in ids),
            pl.lit("the id is missing"),
        )
        for column, one in zip(mapping.ids.values(), ids, strict=True):
            size = one.str.len_bytes()
            yield (
                column,
                size > MAX_STRING_BYTES,
                pl.format("an id of {} bytes, of which Mixpanel keeps " + str(MAX_STRING_BYTES), size),
            )
        for (_, column), one in zip(mapping.ids.items(), ids, strict=True):
            yield (
                column,
                one.str.to_lowercase().is_in(reserved),
                pl.format(PLACEHOLDER, one),
            )
        for column, reasons in nested.items():
            why = pl.lit(pl.Series(reasons, dtype=pl.String))
            yield column, why.is_not_null(), why
        for column in self.properties:
            kind = self.schema.field(column).type
            if _is_whole(kind) or isinstance(kind, NumberType):
                number = pl.col(column).cast(pl.String)
                whole = number.str.contains(r"^-?\d{19,}$")
                beyond = whole & number.cast(pl.Int64, strict=False).is_null()
                yield column, beyond, pl.format("{} has more than 64 bits: cast it to a text", pl.col(column))
        if len(self.properties) + len(ids) + _ADDED > MAX_MEMBERS:
            skip = mapping.nulls == "skip"
            present = [pl.col(name).is_not_null() if skip else pl.lit(True) for name in self.properties]
            given = pl.sum_horizontal(present) + pl.sum_horizontal(one.is_not_null() for one in ids) + _ADDED
            yield (
                "",
                given > MAX_MEMBERS,
                pl.format("{} properties, at most " + str(MAX_MEMBERS) + " are allowed", given),
            )
        size = pl.col("line").str.len_bytes()
        yield "", size > MAX_BYTES, pl.format("{} bytes, an event must be smaller than 1 MB", size)


def _check_time(mapping: EventMapping, kind: pa.DataType) -> None:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or isinstance(kind, NumberType):
        if mapping.time_unit is None:
            raise PushError(f"time: column {mapping.time!r} has numbers; give time_unit: s, ms, us or ns")
        return
    if mapping.time_unit is not None:
        raise PushError(f"time_unit is for numbers, and column {mapping.time!r} is a {kind}: leave it out")
    if pa.types.is_timestamp(kind):
        if kind.tz is None and mapping.time_zone is None:
            raise PushError(f"time: column {mapping.time!r} has no time zone; give time_zone, as Europe/Berlin or UTC")
        return
    if not pa.types.is_date(kind):
        raise PushError(f"time: column {mapping.time!r} is a {kind}; cast it to a timestamp in the query")


def _check_type(column: str, kind: pa.DataType) -> None:
    if (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_interval(kind)
        or pa.types.is_union(kind)
        or pa.types.is_map(kind)
    ):
        raise PushError(f"column {column!r} is a {kind}, which JSON does not have: cast it in the query")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise PushError(f"time_zone is {name!r}: give an IANA name, as Europe/Berlin") from None


def _is_whole(kind: pa.DataType) -> bool:
    """Whether it is a decimal without a fraction, as the sum of integers is in DuckDB."""
    return bool(pa.types.is_decimal(kind) and kind.scale == 0)


def _is_exact(kind: pa.DataType) -> bool:
    """Whether numbers of this type are sent digit by digit: a float would lose some."""
    return isinstance(kind, NumberType) or bool(pa.types.is_decimal(kind))


def _is_json(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.JsonType)
