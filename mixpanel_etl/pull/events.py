"""Days of raw events, from `/export` into an `EventsTable`, with as few requests as Mixpanel allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from mixpanel_etl.client import IncompleteResponse, Mixpanel, MixpanelError
from mixpanel_etl.lake import DaysHeldBack, EventsTable, ExportProvenance, PublishedDay, TerminatedEarly, Window, ingest

#: Days that Mixpanel exports in one request (specification 4).
MAX_DAYS = 100

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
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Iterator[PublishedDay]:
    """Export days and publish each of them; one request for each run of up to 100 contiguous days.

    A response that ends early is thrown away and its days are asked for in two halves, down to single days. So are
    days for which Mixpanel takes too long: a 504 or a time-out would come again.

    Args:
        mixpanel: the project.
        table: where the days go.
        days: in the zone in which the project's export cuts them (`Settings.export_zone`), in any order.
        only: a part of the events.
        run_id: goes into the files, so that a retry of the run can tell what is done.
        allow_shrink: let a day with fewer events than the lake holds replace it.
        on_progress: called as rows arrive.

    Yields:
        Each day when it is published. What was yielded before an error stays published.

    Raises:
        MixpanelError: the request failed for good; `IncompleteResponse` when even a single day does not arrive whole.
        ExportError: the response cannot be trusted (see `mixpanel_etl.lake.ingest`).
        DaysHeldBack: after all other days, for those that would have shrunk.
        OSError: the disk is full or the upload failed.
    """
    zone = mixpanel.settings.export_zone

    def export(window: Window) -> Iterator[PublishedDay]:
        names = only.events or None
        with mixpanel.export(window.first, window.last, events=names, where=only.where) as stream:
            provenance = ExportProvenance(
                requested_at=stream.requested_at,
                window=window,
                run_id=run_id,
                project_id=mixpanel.settings.project_id,
                events=only.events,
                where=only.where,
            )
            rows = 0

            def count(decoded: int) -> None:
                nonlocal rows
                rows += decoded
                on_progress(Progress(window, rows, stream.wire_bytes))

            yield from ingest(stream, table, provenance, allow_shrink=allow_shrink, on_rows=count)

    held: dict[date, tuple[int, int]] = {}
    for window in windows(days, zone):
        yield from _in_parts(window, export, held)
    if held:
        raise DaysHeldBack(held)


def windows(days: Iterable[date], zone: str = "UTC", most: int = MAX_DAYS) -> list[Window]:
    """The days as contiguous windows of at most so many days, in order."""
    found: list[list[date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][-1] == timedelta(days=1) and len(found[-1]) < most:
            found[-1].append(day)
        else:
            found.append([day])
    return [Window(run[0], run[-1], zone) for run in found]


def _in_parts(
    window: Window,
    export: Callable[[Window], Iterator[PublishedDay]],
    held: dict[date, tuple[int, int]],
    tries: int = 2,
) -> Iterator[PublishedDay]:
    try:
        yield from export(window)
    except DaysHeldBack as shrunk:
        held.update(shrunk.days)
    except (MixpanelError, TerminatedEarly) as error:
        cut = isinstance(error, IncompleteResponse | TerminatedEarly)
        timed_out = isinstance(error, MixpanelError) and error.timed_out
        if len(window) > 1 and (cut or timed_out):
            log.warning("the export of %s did not arrive whole; asking again for its halves: %s", window, error)
            for half in window.halves():
                yield from _in_parts(half, export, held)
        elif tries > 1 and cut:
            log.warning("the export of %s ended early; asking again: %s", window, error)
            yield from _in_parts(window, export, held, tries - 1)
        else:
            raise
