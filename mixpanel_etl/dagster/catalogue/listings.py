"""Listings as assets: what Mixpanel lists of one kind, one partition for each day on which it was asked."""

# Dagster reads the annotations of assets, so they must be types, not strings.
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from mixpanel_etl.dagster.metadata import preview, published, queries
from mixpanel_etl.dagster.reports.checks import NOT_CUT
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.snapshots import Taking, run_id_of, snapshot_asset
from mixpanel_etl.lake import Table
from mixpanel_etl.pull.listings import Listing, pull_listing
from mixpanel_etl.pull.published import Published

#: Judges what was just listed.
Judge = Callable[[Published], Iterable[dg.AssetCheckResult]]


def listing_asset(
    spec: dg.AssetSpec,
    table: Table,
    listing: Listing,
    mixpanel: MixpanelResource,
    *,
    partitions: dg.DailyPartitionsDefinition,
    checks: Sequence[dg.AssetCheckSpec] = (),
    judge: Judge = lambda _: (),
) -> dg.AssetsDefinition:
    """The asset of one listing.

    Args:
        spec: key, group, owners, tags and description.
        table: with the listing's schema.
        listing: what is asked for.
        mixpanel: the project.
        partitions: see `snapshot_partitions`.
        checks: of the asset.
        judge: gives their results.
    """

    def take(taking: Taking) -> dg.MaterializeResult[Any]:
        client, run_id = taking.mixpanel, run_id_of(taking.context)
        listed = pull_listing(client, listing, table, taking.day, run_id=run_id, allow_shrink=taking.allow_shrink)
        metadata = {**published(listed.partition), **preview(listed.rows, listing.impersonal)}
        if listing.budget == "query":
            metadata |= queries(client)
        return dg.MaterializeResult(metadata=metadata, check_results=[*_not_cut(listing, listed), *judge(listed)])

    return snapshot_asset(
        spec,
        table,
        listing.descriptions,
        mixpanel,
        take,
        partitions=partitions,
        budget=listing.budget,
        checks=[*_not_cut_spec(listing, spec.key), *checks],
    )


def _not_cut_spec(listing: Listing, key: dg.AssetKey) -> Iterator[dg.AssetCheckSpec]:
    if listing.limit is not None:
        yield dg.AssetCheckSpec(NOT_CUT, asset=key, description="No reply is as long as Mixpanel's limit.")


def _not_cut(listing: Listing, listed: Published) -> Iterator[dg.AssetCheckResult]:
    if listing.limit is None:
        return
    cut = listing.cut(listed.rows)
    told = f"{cut} replies have {listing.limit:,} rows, as many as Mixpanel gives: there may be more."
    yield dg.AssetCheckResult(
        check_name=NOT_CUT, passed=not cut, description=told if cut else "Nothing is cut.", metadata={"cut": cut}
    )
