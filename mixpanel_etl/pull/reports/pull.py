"""A report into its table: one query for all partitions asked for, split afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from mixpanel_etl.client import Mixpanel, RawReply, ReplyError
from mixpanel_etl.lake import Partition, Provenance, Table
from mixpanel_etl.pull.reports.calendar import Days, end_of, start_of
from mixpanel_etl.pull.reports.report import Fact, RangeReport, Report, Snapshot


class Taken(NamedTuple):
    """A published partition, and its rows as they were published."""

    partition: Partition
    rows: pa.Table


def report_table(lake: str, name: str, report: Report) -> Table:
    """The table of a report: `<lake>/<name>/date=<first day of the partition>/data.parquet`."""
    return Table(lake, name, report.schema)


def pull_range(
    mixpanel: Mixpanel,
    report: RangeReport,
    table: Table,
    keys: Sequence[str],
    *,
    start: date | None = None,
    run_id: str = "",
) -> Iterator[Taken]:
    """Ask once for all partitions, keep the reply, and publish each partition, those without facts too.

    Args:
        mixpanel: the project.
        report: what to ask.
        table: see `report_table`.
        keys: first days of the partitions (YYYY-MM-DD, of project time). What lies between them is asked for too,
            because Mixpanel answers for ranges, but not published.
        start: of the first partition there is. Reports whose numbers depend on what was before are asked for from
            there, so that a partition has the same numbers in whatever run.
        run_id: goes into the files.

    Raises:
        MixpanelError: one of the kinds in `client.errors`; nothing is published then.
    """
    unit = report.partition_unit
    first, last = date.fromisoformat(min(keys)), date.fromisoformat(max(keys))
    if start and report.needs_the_past:
        first = min(first, start)
    # Whole units: Mixpanel cuts a week or a month at the edges of what is asked for.
    days = Days(start_of(first, unit), end_of(last, unit))
    with mixpanel.replies() as replies:
        reply = report.ask(mixpanel.query, days)
    raw = replies[-1]
    facts = report.facts(reply, mixpanel.settings.zone)
    rows = split(report, facts, set(keys), computed_at(raw), raw.endpoint)
    provenance = _provenance(mixpanel, report, table, raw, name=str(days), run_id=run_id)
    for key in sorted(keys):
        published = table.write(key, rows[key], provenance)
        yield Taken(published, table.as_published(published, rows[key]))


def pull_snapshot(mixpanel: Mixpanel, report: Snapshot, table: Table, key: str, *, run_id: str = "") -> Taken:
    """Ask, keep the reply, and publish it as what the report showed on a day, which is today's.

    Raises:
        MixpanelError: one of the kinds in `client.errors`; nothing is published then.
    """
    with mixpanel.replies() as replies:
        reply = report.ask(mixpanel.query)
    raw = replies[-1]
    facts = report.facts(reply, mixpanel.settings.zone)
    rows = _as_table(report, [fact.values for fact in facts], computed_at(raw))
    provenance = _provenance(mixpanel, report, table, raw, name=key, run_id=run_id)
    published = table.write(key, rows, provenance)
    return Taken(published, table.as_published(published, rows))


def split(
    report: RangeReport, facts: Iterable[Fact], keys: set[str], computed: datetime, endpoint: str = ""
) -> dict[str, pa.Table]:
    """The rows of each partition; a partition without facts has none.

    Raises:
        ReplyError: a label begins no day, Monday's week or month: its numbers are of other days than the partition.
    """
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    partitions: dict[str, str] = {}
    for label, values in facts:
        key = partitions.get(label or "")
        if key is None:
            key = partitions[label or ""] = _partition_of(label or "", report, endpoint)
        if key in keys:
            rows[key].append(values)
    return {key: _as_table(report, rows[key], computed) for key in keys}


def computed_at(raw: RawReply) -> datetime:
    """When Mixpanel computed a reply (UTC): what it says itself, else when it was asked."""
    try:
        said = msgspec.json.decode(raw.body, type=_Computed).computed_at
        moment = datetime.fromisoformat(said or "")
    except (msgspec.DecodeError, ValueError):
        return raw.requested_at.astimezone(UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


class _Computed(msgspec.Struct):
    computed_at: str | None = None


def _partition_of(label: str, report: RangeReport, endpoint: str) -> str:
    unit = report.partition_unit
    try:
        day = date.fromisoformat(label[:10])
    except ValueError:
        raise ReplyError("the reply has a text where a date should be", endpoint=endpoint) from None
    start = start_of(day, unit)
    if report.labels_are_units and day != start:
        raise ReplyError(
            f"the reply has numbers for a {unit} that begins on {label}, a {day:%A}",
            endpoint=endpoint,
            advice=f"Its partitions begin with the calendar's {unit}: give unit: day, and sum up what can be summed.",
        )
    return str(start)


def _as_table(report: Report, rows: list[tuple[Any, ...]], computed: datetime) -> pa.Table:
    *columns, computed_column = report.schema
    values: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_as_array(cells, column.type) for cells, column in zip(values, columns, strict=True)]
    arrays.append(pa.array([computed] * len(rows), computed_column.type))
    return pa.Table.from_arrays(arrays, schema=report.schema)


def _as_array(cells: tuple[Any, ...], type_: pa.DataType) -> pa.Array:
    if pa.types.is_floating(type_):  # Arrow refuses integers from 2**53, which JSON may have
        cells = tuple(None if cell is None else float(cell) for cell in cells)
    return pa.array(cells, type_)


def _provenance(
    mixpanel: Mixpanel, report: Report, table: Table, raw: RawReply, *, name: str, run_id: str
) -> Provenance:
    table.keep_reply(name, raw.body)
    return Provenance(
        requested_at=raw.requested_at,
        run_id=run_id,
        project_id=mixpanel.settings.project_id,
        request={"kind": report.kind, "parameters": report.model_dump(exclude_none=True), "reply": name},
    )
