"""Snapshots of listings: what Mixpanel lists of one kind, one partition for each day on which it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from mixpanel_etl.dagster.metadata import preview, published, queries
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.reports.checks import NOT_TRUNCATED
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import ShrinkConfig, Taking, run_id_of, take_snapshot
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.listings import Listing, pull_listing
from mixpanel_etl.pull.published import Published

#: Judges what was just listed.
Judge = Callable[[Published], Iterator[dg.AssetCheckResult]]


def listing_checks(listing: Listing) -> dict[str, str]:
    """The checks of every listing: description by name.

    Args:
        listing: kind of listing.
    """
    return {} if listing.limit is None else {NOT_TRUNCATED: "Every reply is shorter than Mixpanel's limit."}


def take_listing(
    context: dg.AssetExecutionContext,
    mixpanel: MixpanelResource,
    listing: Listing,
    table: Table,
    config: ShrinkConfig,
    *,
    judge: Judge = lambda _: iter(()),
) -> Results:
    """Take today's snapshot of a listing, and check it.

    Args:
        context: context of the run.
        mixpanel: resource of the project.
        listing: kind of listing.
        table: table of the lake with the listing's schema.
        config: what the launchpad says.
        judge: gives the results of further checks.
    """

    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        client, run_id = taking.client, run_id_of(context)
        listed = pull_listing(client, listing, table, taking.day, run_id=run_id, allow_shrink=taking.allow_shrink)
        metadata = {**published(listed.partition), **preview(listed.rows, listing.impersonal)}
        if listing.budget == "query":
            metadata |= queries(client)
        return dg.MaterializeResult(metadata=metadata, check_results=[*_not_truncated(listing, listed), *judge(listed)])

    yield from take_snapshot(context, mixpanel, table, config, take)


def _not_truncated(listing: Listing, listed: Published) -> Iterator[dg.AssetCheckResult]:
    if listing.limit is None:
        return
    cut = listing.cut(listed.rows)
    truncated = f"{cut} replies have {listing.limit:,} rows, as many as Mixpanel gives: there may be more."
    yield dg.AssetCheckResult(
        check_name=NOT_TRUNCATED,
        passed=not cut,
        description=truncated if cut else "Replies are complete.",
        metadata={"possibly_truncated": cut},
    )
