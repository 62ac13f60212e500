"""Answers of `/engage` into a table, page by page. Each page costs a query, so none is asked for twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any

import pyarrow as pa

from mixpanel_etl.client import Arrived, BadRequest, Mixpanel, MixpanelError, Profile, ProfilePage, Usage
from mixpanel_etl.client.query.profiles import PAGE_SIZE
from mixpanel_etl.lake import Partition, Provenance, Table
from mixpanel_etl.lake.repeated_rows import without_repeats
from mixpanel_etl.lake.staged_pages import Pages

#: Asks for the pages from a number on, of a session or (None, 0) of a new one; counts what has arrived.
Ask = Callable[[str | None, int, Arrived], Iterator[ProfilePage]]
ToRows = Callable[[Sequence[Profile]], pa.RecordBatch]

#: Share of an answer that may be deleted while its pages are asked for, which takes hours when it waits for queries.
MAX_CHANGED = 0.01


@dataclass(frozen=True)
class Arrival:
    """How much of an answer of several pages arrived.

    Attributes:
        rows: different ids that arrived, suppressed persons included.
        total: number that Mixpanel announced on the first page; None where it did not say.
        pages: number of pages.
    """

    rows: int
    total: int | None
    pages: int

    @property
    def is_whole(self) -> bool:
        """Whether no more is missing than may have been deleted meanwhile: nothing of one page, a hundredth of more."""
        if self.total is None:
            return True
        allowed = math.ceil(MAX_CHANGED * self.total) if self.total > PAGE_SIZE else 0
        return abs(self.rows - self.total) <= allowed


@dataclass(frozen=True)
class Snapshot:
    """A partition as it was published.

    Attributes:
        partition: its file.
        repeats: rows left out because their id had come on an earlier page: it moved while the pages were asked for.
        arrivals: how much of each answer arrived; empty where the source announces no number.
    """

    partition: Partition
    repeats: int = 0
    arrivals: Sequence[Arrival] = ()


def fill(pages: Pages, ask: Ask, to_rows: ToRows, mixpanel: Mixpanel, log: Logger) -> None:
    """Ask for the pages that are missing.

    A session that Mixpanel does not know any more is begun again; one that is lost on the way fails, because the next
    might be, too.

    Args:
        pages: what an earlier run has kept, perhaps nothing.
        ask: asks for the rest.
        to_rows: makes rows of a page.
        mixpanel: whose budget it costs.
        log: told after each page how many follow, and how long they will take.

    Raises:
        MixpanelError: its advice says what is kept.
    """
    if pages.complete:
        log.info(f"all {pages.number} pages are there already")
        return
    if not pages.session:  # without one, nothing can go on
        pages.discard()
    kept = pages.number
    if kept:
        log.info(f"{kept} pages ({pages.rows:,} rows) are there already: going on with page {kept + 1}")
    try:
        _ask_for_missing(pages, ask, to_rows, mixpanel, log)
    except BadRequest as error:
        if not kept or pages.number > kept:
            raise
        log.warning(f"Mixpanel has ended the session of the {kept} pages that are there: beginning again. {error.fact}")
        pages.discard()
        _ask_for_missing(pages, ask, to_rows, mixpanel, log)


def publish(
    table: Table,
    key: str,
    parts: Sequence[Pages],
    *,
    project_id: int | None,
    run_id: str,
    request: Mapping[str, Any],
    allow_shrink: bool = True,
) -> Snapshot:
    """Make the pages a partition, and remove them.

    Args:
        table: where.
        key: of the partition.
        parts: complete, at least one; no distinct_id comes twice in any of them.
        project_id: of Mixpanel.
        run_id: goes into the file.
        request: what was asked for.
        allow_shrink: replace a partition that has more than twice as many rows.

    Raises:
        PartitionsHeldBack: the partition would shrink by more than half; the pages are kept.
    """
    asked = min(pages.requested_at for pages in parts if pages.requested_at)
    provenance = Provenance(requested_at=asked, run_id=run_id, project_id=project_id, request=request)
    different = [0] * len(parts)

    def rows() -> Iterator[pa.RecordBatch]:
        for number, pages in enumerate(parts):
            for batch in without_repeats(pages.batches, "distinct_id"):
                different[number] += batch.num_rows
                yield batch

    partition = table.write(key, rows(), provenance, allow_shrink=allow_shrink)
    arrivals = [
        Arrival(number + pages.received - pages.rows, pages.total, pages.number)
        for number, pages in zip(different, parts, strict=True)
    ]
    repeats = sum(pages.rows for pages in parts) - sum(different)
    for pages in parts:
        pages.discard()
    return Snapshot(partition, repeats, arrivals)


def _ask_for_missing(pages: Pages, ask: Ask, to_rows: ToRows, mixpanel: Mixpanel, log: Logger) -> None:
    arrived = Arrived(pages.received, pages.total)
    answers = ask(pages.session or None, pages.number, arrived)
    try:
        while True:
            requested_at = mixpanel.transport.now()
            page = next(answers, None)
            if page is None:
                return
            rows, session = to_rows(page.results), page.session_id or pages.session
            pages.keep(rows, session, requested_at, last=arrived.complete, total=arrived.total)
            log.info(_progress(pages, page, mixpanel.budget("query")))
    except MixpanelError as error:
        if pages.number:
            kept = f"The {pages.number} pages that arrived are kept: materialize {pages.key} again to go on from there."
            raise error.replace(advice=f"{error.advice} {kept}".strip()) from error.__cause__
        raise


def _progress(pages: Pages, page: ProfilePage, usage: Usage) -> str:
    arrived = f"page {pages.number}: {pages.rows:,} rows so far"
    if pages.complete:
        return f"{arrived}; it is the last one"
    left = f"{usage.left} of this hour's {usage.limit} queries are left"
    if pages.total is None:
        return f"{arrived}; Mixpanel does not say how many pages follow; {left}"
    remaining = max(1, math.ceil(pages.total / (page.page_size or PAGE_SIZE)) - pages.number)
    # Pages arrive so fast that an hour's queries are gone at once: what is beyond them waits for whole hours.
    hours = math.ceil(max(0, remaining - usage.left) / usage.limit) * usage.seconds // 3600
    wait = f"up to {hours} h of waiting for queries" if hours else "no waiting"
    return f"{arrived}; {remaining} pages, a query each, remain; {left}: {wait}"
