"""The check that no more rows are rejected than may be."""

# Dagster reads the annotations of checks, so they must be types, not strings.
from typing import TYPE_CHECKING

import dagster as dg

from mixpanel_etl.dagster.push.assets import MAX_REASONS, PushAsset, reasons_table
from mixpanel_etl.dagster.recording import withheld_messages

if TYPE_CHECKING:
    from mixpanel_etl.dagster.push.component import MixpanelPush

CHECK = "no_rejected_rows"


def rejected_rows_check(component: "MixpanelPush", item: PushAsset) -> dg.AssetChecksDefinition:
    """Whether at most `max_rejected_rows` rows are rejected."""

    @dg.asset_check(
        name=CHECK,
        asset=item.asset.key,
        description=f"At most {item.max_rejected_rows:,} rows are rejected, by Mixpanel or before they are sent.",
    )
    @withheld_messages()
    def check() -> dg.AssetCheckResult:
        import polars as pl

        table = item.push.rejected_rows(component.lake_uri)
        rows = table.scan()
        count = int(rows.select(pl.len()).collect().item())
        groups = rows.group_by("field", "message").len("rows").sort("rows", descending=True).head(MAX_REASONS)
        remedy = f"{table.uri}; `mixpanel-etl push {item.push.name} --retry-rejected` sends them again"
        return dg.AssetCheckResult(
            passed=count <= item.max_rejected_rows,
            description=f"{count:,} rows are rejected" + (f": they are in {remedy}" if count else ""),
            metadata={
                "mixpanel_etl/rejected": count,
                "mixpanel_etl/reasons": reasons_table(groups.collect().iter_rows()),
            },
        )

    return check
