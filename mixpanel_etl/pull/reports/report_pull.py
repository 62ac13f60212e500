"""A report into its table: one query for all partitions asked for where Mixpanel allows it, split afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from logging import Logger, getLogger
from typing import Any, NamedTuple

import pyarrow as pa

from mixpanel_etl.client import Mixpanel, RawReply, ReplyError
from mixpanel_etl.client.http.json_text import decode_json
from mixpanel_etl.lake import PartitionsHeldBack, Provenance, Table
from mixpanel_etl.lake.errors import shrinks
from mixpanel_etl.lake.event_columns import replace_half_surrogates
from mixpanel_etl.pull.published import Doubts, Published
from mixpanel_etl.pull.reports.calendar import Days, end_of, start_of
from mixpanel_etl.pull.reports.report import Fact, RangeReport, Report, Row, Snapshot
from mixpanel_etl.pull.reports.unknown_names import asked_names, names_found, unknown_names

LOG = getLogger("mixpanel_etl")


class _Answer(NamedTuple):
    """What Mixpanel said for some partitions, or today's snapshot."""

    name: str
    reply: Any
    raws: Sequence[RawReply]

    @property
    def computed_at(self) -> datetime:
        return computed_at(self.raws[-1])


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
    allow_shrink: bool = False,
    log: Logger = LOG,
) -> Iterator[Published]:
    """Ask for all partitions, keep the replies, and publish each partition, those without facts too.

    The rows of a partition are the same whichever others are asked for with it. One query answers for all, unless
    Mixpanel's answer depends on the range: then each partition takes a query of its own, as it does when the reply for
    all of them is as long as Mixpanel's limit.

    Args:
        mixpanel: the project.
        report: what to ask.
        table: see `report_table`.
        keys: first days of the partitions (YYYY-MM-DD, of project time). What lies between them is asked for too,
            because Mixpanel answers for ranges, but not published.
        start: of the first partition there is. Reports whose numbers depend on what was before are asked for from
            there, so that a partition has the same numbers in every run.
        run_id: goes into the files.
        allow_shrink: replace partitions even if less than half of them is left; so does the report's own parameter.
        log: told of what may be wrong.

    Yields:
        Each partition when it is published.

    Raises:
        MixpanelError: one of the kinds in `client.errors`; nothing of the query is published then.
        PartitionsHeldBack: after all other partitions, for those that would shrink by more than half.
    """
    held: dict[str, tuple[float, float]] = {}
    unknown: list[str] | None = None
    allowed = allow_shrink or report.allow_shrink
    for number, (wanted, answer) in enumerate(_answers(mixpanel, report, sorted(keys), start, log)):
        facts = report.facts(answer.reply, mixpanel.settings.zone)
        tables = split(report, facts, set(wanted), answer.computed_at, answer.raws[-1].endpoint)
        if number == 0:
            seen = names_found(report, tables.values())
            unknown = unknown_names(mixpanel, report, table, seen, since=date.fromisoformat(min(keys)), log=log)
        provenance = _provenance(mixpanel, report, table, answer, run_id=run_id, unknown=unknown)
        for key in wanted:
            kept = report.of_partition(tables[key])
            if not allowed and (amounts := _shrunk(report, table, key, kept.rows)):
                held[key] = amounts
                continue
            doubts = Doubts(report.is_cut(answer.reply), False, kept.left_out, kept.missing, unknown or ())
            yield _published(table, key, kept.rows, provenance, doubts)
    if held:
        raise PartitionsHeldBack(held, report.counted or "rows")


def pull_snapshot(
    mixpanel: Mixpanel,
    report: Snapshot,
    table: Table,
    key: str,
    *,
    run_id: str = "",
    allow_shrink: bool = False,
    log: Logger = LOG,
) -> Published:
    """Ask, keep the reply, and publish it as what the report showed on a day, which is today's.

    Args:
        mixpanel: the project.
        report: what to ask.
        table: see `report_table`.
        key: today in project time, YYYY-MM-DD.
        run_id: goes into the file.
        allow_shrink: replace an earlier snapshot of the day even if less than half of it is left.
        log: told of what may be wrong.

    Raises:
        MixpanelError: one of the kinds in `client.errors`; nothing is published then.
        PartitionsHeldBack: less than half is left of an earlier snapshot of the day.
    """
    with mixpanel.replies() as replies:
        reply = report.ask(mixpanel.query)
    answer = _Answer(key, reply, replies)
    facts = [fact.values for fact in report.facts(reply, mixpanel.settings.zone)]
    rows = _as_table(report, facts, answer.computed_at)
    unknown = unknown_names(mixpanel, report, table, names_found(report, [rows]), log=log)
    provenance = _provenance(mixpanel, report, table, answer, run_id=run_id, unknown=unknown)
    if not (allow_shrink or report.allow_shrink) and (amounts := _shrunk(report, table, key, rows)):
        raise PartitionsHeldBack({key: amounts}, report.counted or "rows")
    doubts = Doubts(report.is_cut(reply), "limit" in report.model_fields_set, unknown_names=unknown or ())
    return _published(table, key, rows, provenance, doubts)


def _answers(
    mixpanel: Mixpanel, report: RangeReport, keys: Sequence[str], start: date | None, log: Logger
) -> Iterator[tuple[Sequence[str], _Answer]]:
    """One answer for all partitions, or one for each."""
    if not report.is_asked_by_partition:
        answer = _ask(mixpanel, report, keys, start)
        if len(keys) == 1 or not report.is_cut(answer.reply):
            yield keys, answer
            return
        log.warning(
            f"the reply for {answer.name} is as long as Mixpanel's limit: asking for each of {len(keys)} partitions"
        )
    for key in keys:
        yield [key], _ask(mixpanel, report, [key], start)


def _ask(mixpanel: Mixpanel, report: RangeReport, keys: Sequence[str], start: date | None) -> _Answer:
    unit = report.partition_unit
    first, last = date.fromisoformat(keys[0]), date.fromisoformat(keys[-1])
    if start and report.needs_the_past:
        first = min(first, start)
    # Whole units: Mixpanel cuts a week or a month at the edges of what is asked for.
    days = Days(start_of(first, unit), end_of(last, unit))
    with mixpanel.replies() as replies:
        reply = report.ask(mixpanel.query, days)
    return _Answer(str(days), reply, replies)


def _shrunk(report: Report, table: Table, key: str, rows: pa.Table) -> tuple[float, float] | None:
    """What was there and what would be, if that is less than half."""
    if table.partition(key) is None:
        return None
    before = report.amount(pa.Table.from_batches(table.batches(key), table.schema))
    after = report.amount(rows)
    return (before, after) if shrinks(before, after) else None


def _published(table: Table, key: str, rows: pa.Table, provenance: Provenance, doubts: Doubts) -> Published:
    partition = table.write(key, rows, provenance)
    return Published(partition, table.as_published(partition, rows), doubts)


def split(
    report: RangeReport, facts: Iterable[Fact], keys: set[str], computed: datetime, endpoint: str = ""
) -> dict[str, pa.Table]:
    """The rows of each partition as they came; a partition without facts has none.

    Raises:
        ReplyError: a label begins no day, Monday's week or month: its numbers are of other days than the partition.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
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
        reply = decode_json(raw.body)
        time = datetime.fromisoformat(reply["computed_at"])
    except (KeyError, TypeError, ValueError):
        return raw.requested_at.astimezone(UTC)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


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


def _as_table(report: Report, rows: Sequence[Row], computed: datetime) -> pa.Table:
    """Rows in the report's schema.

    Args:
        report: whose.
        rows: values of its columns, but for `computed_at`.
        computed: when Mixpanel computed them.
    """
    *columns, computed_column = report.schema
    values: Iterable[Row] = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_as_array(cells, column.type) for cells, column in zip(values, columns, strict=True)]
    arrays.append(pa.array([computed] * len(rows), computed_column.type))
    return pa.Table.from_arrays(arrays, schema=report.schema)


def _as_array(cells: Row, type_: pa.DataType) -> pa.Array:
    if pa.types.is_floating(type_):  # Arrow rejects integers from 2**53, which JSON may have
        cells = tuple(None if cell is None else float(cell) for cell in cells)
    try:
        return pa.array(cells, type_)
    except UnicodeEncodeError:  # half of a surrogate pair; the kept reply has it as it came
        return pa.array([_readable(cell) for cell in cells], type_)


def _readable(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_readable(one) for one in cell]
    return replace_half_surrogates(cell) if isinstance(cell, str) else cell


def _provenance(
    mixpanel: Mixpanel,
    report: Report,
    table: Table,
    answer: _Answer,
    *,
    run_id: str,
    unknown: Sequence[str] | None,
) -> Provenance:
    first, *more = answer.raws
    table.keep_reply(answer.name, first.body)
    for number, raw in enumerate(more, start=2):
        table.keep_reply(f"{answer.name} {number}", raw.body)
    names = {} if unknown is None else {"names": asked_names(report), "unknown_names": list(unknown)}
    return Provenance(
        requested_at=first.requested_at,
        run_id=run_id,
        project_id=mixpanel.settings.project_id,
        request={
            "kind": report.kind,
            "parameters": report.model_dump(exclude_none=True),
            "reply": answer.name,
            "replies": len(answer.raws),
            **names,
        },
    )
