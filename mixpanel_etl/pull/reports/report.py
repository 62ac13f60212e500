"""What a kind of report is: checked parameters, one query, a documented table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args, get_origin

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mixpanel_etl.client import Counting, Query, Unit
from mixpanel_etl.expressions import masked, parse, references
from mixpanel_etl.lake.event_columns import TIMESTAMP
from mixpanel_etl.lake.person_columns import declare_persons, is_known_by
from mixpanel_etl.pull.published import Column
from mixpanel_etl.pull.reports.calendar import Days, PartitionUnit
from mixpanel_etl.pull.reports.charts import Chart, Lines, Partitions, event_path, series_of

#: Days in which events still arrive (mixpanel-api.md#late-events): what a schedule asks for again when a report says
#: nothing.
LATE_DAYS = 5
#: Partitions of one run, and so of one query: a year of days, or a hundred days of hours ...
MAX_PARTITIONS = 366
MAX_FINE_PARTITIONS = 100
#: ... but not more numbers than this, which bounds the memory of a run.
MAX_NUMBERS = 1_000_000
#: What Dagster shows in the place of a value that may be a person's.
WITHHELD = "withheld"
#: Partitions of one run of a report that takes a query for each: they fit into an hour's budget.
MAX_QUERIES = 50
_UNITS_A_DAY = {"minute": 1440, "hour": 24}


def _parsed(text: str) -> str:
    parse(text)
    return text


class Shown(NamedTuple):
    """Marks a parameter that Dagster may show: it names a part of the project, never a person."""

    form: Callable[[str], str] = str


Value = Annotated[str, Field(min_length=1)]
Name = Annotated[Value, Shown()]
Expression = Annotated[str, AfterValidator(_parsed), Shown(masked)]
Count = Annotated[int, Field(ge=1)]


Row = tuple[Any, ...]


class Fact(NamedTuple):
    """One row. `label` is the unit of time to which it belongs, as Mixpanel writes it; None in snapshots."""

    label: str | None
    values: Row


class Kept(NamedTuple):
    """The rows of a partition.

    Attributes:
        rows: what is published.
        left_out: number of segments beyond the report's `limit`.
        missing: what the segments lack of the total (Mixpanel counts a user in each segment: they may exceed it).
    """

    rows: pa.Table
    left_out: int = 0
    missing: float = 0.0


COMPUTED_AT = Column(
    "computed_at", TIMESTAMP, "When Mixpanel computed it; when it was asked for, where Mixpanel is silent."
)
TIME = Column("time", TIMESTAMP, "Where the unit of time begins (in the project's zone), in UTC.")
EVENT = Column("event", pa.string(), "Name of the event.")
SEGMENT = Column("segment", pa.string(), "Value of `on`; null for all together.")
MEASURE = Column(
    "measure", pa.string(), "What `value` is: general (events), unique (users), average (events per user)."
)
VALUE = Column("value", pa.float64(), "The number.")
#: What the numbers of a report are, by its `type`.
MEASURED: Mapping[Counting, str] = {"general": "events", "unique": "users", "average": "events per user"}


class Report(BaseModel, ABC):
    """Parameters of one report, checked. Its subclasses are the kinds, and their docstrings document them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: ClassVar[str]
    #: Columns of the kind's table, without `computed_at`.
    columns: ClassVar[Sequence[Column]]
    #: Column whose sum says how much is in a partition; without one, the number of rows does.
    counted: ClassVar[str | None] = None
    #: Those whose values never tell anything of a person; a column that no kind names here may.
    impersonal: ClassVar[Collection[str]] = ()

    harmless: list[Name] | None = Field(
        default=None,
        description="Further columns whose values Dagster may show (previews, pictures), because they say nothing of a "
        "person: `[segment]` of a report by country. Erasure does not reach Dagster.",
    )

    allow_shrink: bool = Field(default=False, description="Replace a partition even if less than half of it is left.")

    @model_validator(mode="after")
    def _without_contradictions(self) -> Self:
        problems = [*self.contradictions(), *self._unknown_columns()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def contradictions(self) -> Iterator[str]:
        """Sentences about parameters that do not go together, each with what to give instead."""
        yield from ()

    def _unknown_columns(self) -> Iterator[str]:
        known = [column.name for column in self.table_columns()]
        for name in set(self.harmless or ()).difference(known):
            yield f"unknown column {name} in harmless; allowed: {', '.join(known)}"

    @property
    def shown_columns(self) -> Collection[str]:
        """Columns whose values may leave the lake for Dagster."""
        return {*self.impersonal, *(self.harmless or ()), COMPUTED_AT.name}

    @property
    def shows_segments(self) -> bool:
        """Whether the values of segments may leave the lake for Dagster."""
        return {"segment", "segments"}.intersection(self.schema.names) <= set(self.shown_columns)

    @property
    def shown_parameters(self) -> dict[str, Any]:
        """The parameters as Dagster may show them: without values that can be a person's."""
        given = self.model_dump(exclude_none=True)
        fields = type(self).model_fields
        marks = {name: _mark(fields[name].annotation, fields[name].metadata) for name in given}
        return {name: _as_shown(value, marks[name]) for name, value in given.items()}

    def table_columns(self) -> Sequence[Column]:
        """All columns of this report's table, beside the partition's `date`."""
        return [*self.columns, COMPUTED_AT]

    @property
    def schema(self) -> pa.Schema:
        fields = [pa.field(column.name, column.type) for column in self.table_columns()]
        persons = self.person_columns()
        return pa.schema([declare_persons(field) if field.name in persons else field for field in fields])

    def person_columns(self) -> set[str]:
        """Columns whose values are persons because the report is by who they are, which their names don't tell."""
        on, name = getattr(self, "on", None), getattr(self, "property", None)
        by_on = on is not None and any(is_known_by(read.name) for read in references(parse(on)))
        by_property = isinstance(name, str) and is_known_by(name)
        strings = {column.name for column in self.table_columns() if column.type == pa.string()}
        return strings & {*(["segment"] if by_on else []), *(["segment", "value"] if by_property else [])}

    @property
    def descriptions(self) -> dict[str, str]:
        return {column.name: column.description for column in self.table_columns()}

    def amount(self, rows: pa.Table) -> float:
        """How much is in the rows of a partition, to compare it with what was there before: zeros are nothing."""
        if self.counted:
            return float(pc.sum(rows[self.counted], min_count=0).as_py())
        if "value" in rows.schema.names and pa.types.is_floating(rows.schema.field("value").type):
            return float(pc.sum(pc.not_equal(rows["value"], 0), min_count=0).as_py())
        return float(rows.num_rows)

    def is_cut(self, reply: Any) -> bool:  # noqa: ARG002
        """Whether what `ask` returned is as long as Mixpanel's limit, so that more may be there."""
        return False

    @property
    def named_events(self) -> list[str]:
        """Events of the project that the parameters name."""
        given = self.model_dump(exclude_none=True)
        return list(
            dict.fromkeys([*filter(None, (given.get("born_event"), given.get("event"))), *given.get("events", [])])
        )

    @property
    def named_properties(self) -> list[str]:
        """Properties of events that the parameters name."""
        return list(dict.fromkeys([*self.segment_properties, *self._properties_in("where", "born_where")]))

    @property
    def segment_properties(self) -> list[str]:
        """Those of them whose values are segments."""
        given = self.model_dump(exclude_none=True)
        return [*self._properties_in("on"), *filter(None, [given.get("property")])]

    def _properties_in(self, *names: str) -> list[str]:
        given = self.model_dump(exclude_none=True)
        expressions = [parse(given[name]) for name in names if name in given]
        return [one.name for each in expressions for one in references(each) if one.source == "properties"]

    @property
    def title(self) -> str:
        """Title of the picture: the kind, and the number of a saved report."""
        return self.kind.replace("_", " ")

    def chart(self, partitions: Partitions, zone: tzinfo) -> Chart | None:  # noqa: ARG002
        """The picture of some partitions; None if the kind has none.

        Args:
            partitions: their keys and rows, in order.
            zone: of the project.
        """
        return None

    @abstractmethod
    def facts(self, reply: Any, zone: tzinfo) -> Iterator[Fact]:
        """The rows of what `ask` returned.

        Args:
            reply: the client's.
            zone: of the project.
        """


class RangeReport(Report):
    """A report over days: its partitions are days, weeks or months, and one query answers for many of them."""

    #: Whether the labels of facts are the first days of whole units, as Mixpanel's own are; else any day of them.
    labels_are_units: ClassVar[bool] = True

    lookback_partitions: Count | None = Field(
        default=None, description="Number of last partitions (days, weeks or months) that the schedule queries again."
    )

    @property
    def numbers_a_unit(self) -> int:
        """The most numbers that Mixpanel may answer for one unit of time."""
        return 1

    @property
    def most_partitions(self) -> int:
        """Of one run, and so of one query."""
        if self.is_asked_by_partition:
            return MAX_QUERIES
        units = _UNITS_A_DAY.get(getattr(self, "unit", "day"), 1)
        numbers = units * self.numbers_a_unit
        return max(1, min(MAX_PARTITIONS if units == 1 else MAX_FINE_PARTITIONS, MAX_NUMBERS // numbers))

    @property
    def is_asked_by_partition(self) -> bool:
        """Whether Mixpanel's answer for a day depends on the other days asked for, so that each takes a query."""
        return False

    def of_partition(self, rows: pa.Table) -> Kept:
        """The rows that a partition has whichever range was asked for.

        Args:
            rows: of one partition, from a reply for a range in which it lies.
        """
        return Kept(rows)

    @property
    def partition_unit(self) -> PartitionUnit:
        units: dict[str, PartitionUnit] = {"week": "week", "month": "month"}
        return units.get(getattr(self, "unit", "day"), "day")

    @property
    def needs_the_past(self) -> bool:
        """Whether numbers depend on the days asked for before theirs, so that every run has to ask from the start."""
        return False

    def partitions_to_refresh(self) -> int:
        """`lookback_partitions`, or what the kind thinks can still change."""
        return self.lookback_partitions or self._changing()

    def _changing(self) -> int:
        return LATE_DAYS if self.partition_unit == "day" else 2

    @abstractmethod
    def ask(self, query: Query, days: Days) -> Any:
        """One query for all days."""


class Snapshot(Report):
    """A report as it is today: its partitions are the days on which it was pulled."""

    @abstractmethod
    def ask(self, query: Query) -> Any:
        """One query."""


class TimeSeries(RangeReport):
    """What reports share that have a number for each unit of time."""

    @property
    @abstractmethod
    def measured(self) -> str:
        """What the numbers are, such as `users`."""

    def chart(self, partitions: Partitions, zone: tzinfo) -> Lines:  # noqa: ARG002
        counted = f"{self.measured} per {self.model_dump()['unit']}"
        return Lines(counted, series_of(partitions, event_path), self.shows_segments)


class Counted(TimeSeries):
    """What reports share that count over time."""

    unit: Unit = Field(default="day", description="Of the time series: minute, hour, day, week or month.")
    type: Counting = Field(
        default="general",
        description="`general` counts events, `unique` users (not by hour or minute), `average` events per user.",
    )

    @property
    def measured(self) -> str:
        return MEASURED[self.type]

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.type == "unique" and self.unit in ("minute", "hour"):
            yield f"type is 'unique' and unit is {self.unit!r}: count users by day, week or month"


def _mark(annotation: Any, metadata: Sequence[Any] = ()) -> Shown | None:
    """What says that a parameter of this type may be shown; None when nothing does."""
    if get_origin(annotation) is Literal:
        return Shown()
    marks = [one for one in metadata if isinstance(one, Shown)]
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        return marks[0] if marks else _mark(annotation, metadata)
    return next(filter(None, [*marks, *map(_mark, get_args(annotation))]), None)


def _as_shown(value: Any, mark: Shown | None) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mark.form(value) if mark else WITHHELD
    if mark and isinstance(value, Mapping):
        return dict(value)
    if mark:
        return [_as_shown(one, mark) for one in value]
    return f"{WITHHELD}: {len(value)}"


def units_in(days: timedelta, unit: PartitionUnit) -> int:
    """How many partitions that many days reach over, the begun one included."""
    length = {"day": 1, "week": 7, "month": 28}[unit]
    return -(-days // timedelta(days=length))
