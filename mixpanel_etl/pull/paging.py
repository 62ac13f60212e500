"""Answers of `/engage` into a table, page by page. Each page costs a query, so none is asked for twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from logging import Logger
from typing import Any

import pyarrow as pa

from mixpanel_etl.client import BadRequest, Mixpanel, MixpanelError, Usage
from mixpanel_etl.client.query_replies import PAGE_SIZE, Profile, ProfilePage
from mixpanel_etl.lake import Partition, Provenance, Table
from mixpanel_etl.lake.pages import Pages
from mixpanel_etl.lake.repeats import without_repeats

#: Asks for the pages from a number on, of a session or (None, 0) of a new one.
Ask = Callable[[str | None, int], Iterator[ProfilePage]]
ToRows = Callable[[Sequence[Profile]], pa.RecordBatch]


@dataclass(frozen=True)
class Snapshot:
    """A partition as it was published.

    Attributes:
        partition: its file.
        repeats: rows left out because their id had come on an earlier page: it moved while the pages were asked for.
    """

    partition: Partition
    repeats: int = 0


def fill(pages: Pages, ask: Ask, to_rows: ToRows, mixpanel: Mixpanel, log: Logger) -> None:
    """Ask for the pages that are missing.

    A session that Mixpanel does not know any more is begun anew; one that is lost on the way fails, because the next
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
        log.warning(f"Mixpanel has ended the session of the {kept} pages that are there: beginning anew. {error.fact}")
        pages.discard()
        _ask_for_missing(pages, ask, to_rows, mixpanel, log)


def publish(
    table: Table, key: str, parts: Sequence[Pages], *, project_id: int | None, run_id: str, request: Mapping[str, Any]
) -> Snapshot:
    """Make the pages a partition, and remove them.

    Args:
        table: where.
        key: of the partition.
        parts: complete, at least one; no distinct_id comes twice in any of them.
        project_id: of Mixpanel.
        run_id: goes into the file.
        request: what was asked for.
    """
    asked = min(pages.requested_at for pages in parts if pages.requested_at)
    provenance = Provenance(requested_at=asked, run_id=run_id, project_id=project_id, request=request)
    rows = (batch for pages in parts for batch in without_repeats(pages.batches, "distinct_id"))
    partition = table.write(key, rows, provenance)
    repeats = sum(pages.rows for pages in parts) - partition.rows - partition.provenance.get("suppressed", 0)
    for pages in parts:
        pages.discard()
    return Snapshot(partition, repeats)


def _ask_for_missing(pages: Pages, ask: Ask, to_rows: ToRows, mixpanel: Mixpanel, log: Logger) -> None:
    answers = ask(pages.session or None, pages.number)
    try:
        while True:
            requested_at = mixpanel.transport.now()
            page = next(answers, None)
            if page is None:
                return
            pages.keep(to_rows(page.results), page.session_id or pages.session, requested_at, last=page.is_last)
            log.info(_progress(pages, page, mixpanel.budget("query")))
    except MixpanelError as error:
        if pages.number:
            kept = f"The {pages.number} pages that arrived are kept: materialize {pages.key} again to go on from there."
            error.advice = f"{error.advice} {kept}".strip()
        raise


def _progress(pages: Pages, page: ProfilePage, usage: Usage) -> str:
    arrived = f"page {pages.number}: {pages.rows:,} rows so far"
    if page.is_last:
        return f"{arrived}; it is the last one"
    # Mixpanel's documents disagree on whether `total` counts the page or all pages (api-facts C8): good for a guess.
    left = f"{usage.left} of this hour's {usage.limit} queries are left"
    if page.total is None or page.total <= len(page.results):
        return f"{arrived}; Mixpanel does not say how many pages follow; {left}"
    remaining = max(1, math.ceil(page.total / (page.page_size or PAGE_SIZE)) - pages.number)
    # Pages arrive so fast that an hour's queries are gone at once: what is beyond them waits for whole hours.
    hours = math.ceil(max(0, remaining - usage.left) / usage.limit) * usage.seconds // 3600
    wait = f"up to {hours} h of waiting for queries" if hours else "no waiting"
    return f"{arrived}; {remaining} pages, a query each, remain; {left}: {wait}"
