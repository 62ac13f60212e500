"""Days of raw events, from `/export` into an `EventsTable`, with as few requests as Mixpanel allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from mixpanel_etl.client import IncompleteResponse, Mixpanel, MixpanelError
from mixpanel_etl.lake import (
    DaysHeldBack,
    DaysMalformed,
    DaysMissing,
    DaysMixed,
    EventsTable,
    ExportProvenance,
    PublishedDay,
    TerminatedEarly,
    Window,
    ingest,
)

#: Days that Mixpanel exports in one request (mixpanel-api.md#export).
MAX_DAYS = 100
#: Events that one request should bring: until the last has arrived, they wait on disk (some 300 bytes each).
MAX_ROWS = 10_000_000
#: Failed days in a row after which the others are not asked for, to save the budget.
_MAX_FAILURES = 3

#: Days of the lake whose sizes are looked at before a request.
_MAX_SAMPLES = 3

log = logging.getLogger("mixpanel_etl")


@dataclass(frozen=True)
class EventFilter:
    """Which events are exported; all of them by default.

    Attributes:
        events: names.
        where: a segmentation expression.
    """

    events: tuple[str, ...] = ()
    where: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a request is: rows decoded and (compressed) bytes received since it began."""

    window: Window
    rows: int
    wire_bytes: int


def pull_events(
    mixpanel: Mixpanel,
    table: EventsTable,
    days: Iterable[date],
    only: EventFilter = EventFilter(),
    *,
    run_id: str = "",
    allow_shrink: bool = False,
    set_aside_malformed: bool = False,
    days_per_request: int = MAX_DAYS,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[PublishedDay]:
    """Export days and publish each of them; one request for each run of contiguous days.

    A request has at most 100 days, and about ten million events: as many as the days of the
    lake nearby have, or as the response itself shows when it grows beyond that.

    A response that ends early is thrown away and its days are asked for in two halves, down to single days. A day that
    does not arrive, has malformed lines, or has lost events is left as it is, and the others are published.

    Args:
        mixpanel: the project.
        table: where the days go.
        days: in the zone in which the project's export cuts them (`Settings.export_zone`), in any order.
        only: a part of the events.
        run_id: goes into the files, so that a retry of the run can tell what is done.
        allow_shrink: let a day with fewer events than the lake holds replace it.
        set_aside_malformed: publish also days with malformed lines, and keep these lines beside them.
        days_per_request: most days of a request, 1 to 100.
        on_progress: called as rows arrive.

    Yields:
        Each day when it is published. What was yielded before an error stays published.

    Raises:
        MixpanelError: the request failed for good; `IncompleteResponse` when no day arrives whole.
        ExportError: the response cannot be trusted (see `mixpanel_etl.lake.ingest`).
        DaysHeldBack: after all other days, for those that would have shrunk.
        DaysMalformed: after all other days, for those with malformed lines.
        DaysMissing: after all other days, when days are missing for several reasons, or some did not arrive.
        OSError: the disk is full or the upload failed.
        ColumnTaken: a promoted column holds another property in the days that are published.
        ValueError: `days_per_request` is not from 1 to 100.
    """
    if not 1 <= days_per_request <= MAX_DAYS:
        raise ValueError(f"days_per_request must be from 1 to {MAX_DAYS}, not {days_per_request}")
    table.check_columns()  # before anything is asked for
    pull = _Pull(mixpanel, table, only, run_id, allow_shrink, set_aside_malformed, on_progress)
    for window in windows(days, mixpanel.settings.export_zone, days_per_request):
        yield from pull.window(window)
    pull.check()


def windows(days: Iterable[date], zone: str = "UTC", most: int = MAX_DAYS) -> list[Window]:
    """The days as contiguous windows of limited length, in order."""
    found: list[list[date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][-1] == timedelta(days=1) and len(found[-1]) < most:
            found[-1].append(day)
        else:
            found.append([day])
    return [Window(run[0], run[-1], zone) for run in found]


class _TooLarge(Exception):
    """More events came than a request should bring; `days` would bring about as many as it should."""

    def __init__(self, days: int) -> None:
        self.days = days


@dataclass
class _Pull:
    """One call of `pull_events`: what it asks for, and what is missing so far."""

    mixpanel: Mixpanel
    table: EventsTable
    only: EventFilter
    run_id: str
    allow_shrink: bool
    set_aside_malformed: bool
    on_progress: Callable[[Progress], None]
    held: list[DaysHeldBack] = field(default_factory=list)
    malformed: list[DaysMalformed] = field(default_factory=list)
    failed: dict[date, Exception] = field(default_factory=dict)
    failures: int = 0

    def window(self, window: Window) -> Iterator[PublishedDay]:
        """Ask for contiguous days in as many requests as their size makes necessary."""
        for part in self._sized(window):
            yield from self._in_parts(part)

    def check(self) -> None:
        """Raise for what is missing."""
        errors: list[Exception] = []
        if self.held:
            errors.append(DaysHeldBack.joined(self.held))
        if self.malformed:
            errors.append(DaysMalformed({day: why for error in self.malformed for day, why in error.days.items()}))
        errors += self.failed.values()
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise DaysMissing(self.held, self.malformed, self.failed) from errors[0]

    def _in_parts(self, window: Window, tries: int = 2) -> Iterator[PublishedDay]:
        try:
            yield from self._arrived(window)
            self.failures = 0
        except _TooLarge as large:
            log.warning("the days of %s are large; asking for %d at a time", window, large.days)
            for part in windows(window, window.zone, large.days):
                yield from self._in_parts(part)
        except (MixpanelError, TerminatedEarly, DaysMixed) as error:
            cut = isinstance(error, IncompleteResponse | TerminatedEarly)
            timed_out = isinstance(error, MixpanelError) and error.timed_out
            if not (cut or timed_out or isinstance(error, DaysMixed)):
                raise
            if len(window) > 1:
                log.warning("the export of %s did not arrive whole; asking again for its halves: %s", window, error)
                for half in window.halves():
                    yield from self._in_parts(half)
            elif tries > 1 and cut:
                log.warning("the export of %s ended early; asking again: %s", window, error)
                yield from self._in_parts(window, tries - 1)
            else:
                self._failed(window.first, error)

    def _arrived(self, window: Window) -> Iterator[PublishedDay]:
        try:
            yield from self._export(window)
        except DaysHeldBack as error:
            self.held.append(error)
        except DaysMalformed as error:
            self.malformed.append(error)

    def _sized(self, window: Window) -> list[Window]:
        """The window in parts that are not too large, as far as the days of the lake tell."""
        near = sorted(self.table.days(), key=lambda day: abs((day - window.first).days))[:_MAX_SAMPLES]
        rows = max((published.rows for day in near if (published := self.table.day(day))), default=0)
        return windows(window, window.zone, _days_of(rows, 1))

    def _failed(self, day: date, error: Exception) -> None:
        self.failures += 1
        if self.failures >= _MAX_FAILURES:
            raise error
        log.error("%s did not arrive; going on with the other days: %s", day, error)
        self.failed[day] = error

    def _export(self, window: Window) -> Iterator[PublishedDay]:
        names = self.only.events or None
        with self.mixpanel.export(window.first, window.last, events=names, where=self.only.where) as stream:
            provenance = ExportProvenance(
                requested_at=stream.requested_at,
                window=window,
                run_id=self.run_id,
                project_id=self.mixpanel.settings.project_id,
                events=self.only.events,
                where=self.only.where,
            )
            rows = 0

            def count(decoded: int, day: date) -> None:
                nonlocal rows
                rows += decoded
                self.on_progress(Progress(window, rows, stream.wire_bytes))
                seen = (day - window.first).days + 1
                if rows > MAX_ROWS and (most := _days_of(rows, seen)) < len(window):
                    raise _TooLarge(most)

            yield from ingest(
                stream,
                self.table,
                provenance,
                allow_shrink=self.allow_shrink,
                set_aside_malformed=self.set_aside_malformed,
                on_rows=count,
            )


def _days_of(rows: int, days: int) -> int:
    """Number of days that a request should have, from the rows of some days."""
    return min(MAX_DAYS, max(1, MAX_ROWS * days // max(rows, 1)))
