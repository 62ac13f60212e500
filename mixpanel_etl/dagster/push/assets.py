"""Pushes as assets: the rows of a warehouse's query, in Mixpanel."""

# Dagster reads the annotations of assets, so they must be types, not strings.
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.recording import Metadata
from mixpanel_etl.push.profile_push import Pushed
from mixpanel_etl.push.query_push import QueryPush, Window, counted, reasons
from mixpanel_etl.push.rejected_rows import LATEST
from mixpanel_etl.push.row_push import PushedRows

if TYPE_CHECKING:
    from mixpanel_etl.dagster.push.component import MixpanelPush

#: Days of one run; each is a query of its own.
MAX_DAYS = 100
#: Reasons of rejected rows that the UI shows, the most frequent first.
MAX_REASONS = 20
_SECONDS_BETWEEN_PROGRESS = 15.0


@dataclass(frozen=True)
class PushAsset:
    """A push that becomes an asset.

    Attributes:
        asset: key, the assets that feed its query (`deps`), group, owners, tags and description.
        push: what is sent.
        max_rejected_rows: number of rejected rows above which the check fails.
    """

    asset: dg.AssetSpec
    push: QueryPush
    max_rejected_rows: int = 0


class PushConfig(dg.Config):
    """What each run can set in the launchpad."""

    retry_rejected: bool = Field(
        default=False, description="Run the query again, and send only the rows that were rejected."
    )
    allow_shrink: bool = Field(
        default=False, description="Send profiles and lookup tables even if more than half of them would be removed."
    )
    retry_unconfirmed: bool = Field(
        default=False,
        description="Also send rows whose $add, $append or $remove may have arrived already: it can be applied twice.",
    )


def push_asset(component: "MixpanelPush", item: PushAsset) -> dg.AssetsDefinition:
    """The asset of a push: materializing a partition again sends nothing twice."""

    @dg.multi_asset(
        specs=[component.get_asset_spec(item)],
        **component.op.arguments(
            name=item.asset.key.to_python_identifier(),
            pool=component.mixpanel.pool("ingestion"),
            backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS) if item.push.by_day else None,
        ),
    )
    def push(context: dg.AssetExecutionContext, config: PushConfig) -> Iterator[dg.MaterializeResult[Any]]:
        yield from component.execute(context, item, config)

    return push


def push_parts(
    context: dg.AssetExecutionContext,
    component: "MixpanelPush",
    push: QueryPush,
    mixpanel: Mixpanel,
    config: PushConfig,
) -> Iterator[tuple[str, Metadata]]:
    """Send the rows of a run: its days one after the other, or all rows of a push without partitions.

    Args:
        context: context of the run.
        component: the component.
        push: what is sent.
        mixpanel: client of the component's project.
        config: what the launchpad says.

    Yields:
        The partition that was sent, and its metadata.
    """
    warehouse = component.warehouse_resource.warehouse()
    for part, window in _parts(context, push, mixpanel):
        pushed = push.send(
            mixpanel,
            warehouse,
            component.lake_uri,
            part,
            window,
            run_id=context.run.root_run_id or context.run.run_id,
            retry_rejected=config.retry_rejected,
            allow_shrink=config.allow_shrink,
            retry_unconfirmed=config.retry_unconfirmed,
            on_progress=Progress(context.log.info, push.count(warehouse, window), part),
        )
        yield part, _metadata(pushed, "dagster/row_count" if window is None else "dagster/partition_row_count")


class Progress:
    """Logs how far a push is: rows, their rate, and the remaining time."""

    def __init__(self, log: Callable[[str], None], rows: int, part: str) -> None:
        self._log, self._rows, self._part = log, rows, part
        self._started = time.monotonic()
        self._logged = self._started

    def __call__(self, pushed: PushedRows | Pushed) -> None:
        now = time.monotonic()
        if now - self._logged < _SECONDS_BETWEEN_PROGRESS:
            return
        self._logged = now
        rate = pushed.done / (now - self._started)
        left = timedelta(seconds=round(max(0, self._rows - pushed.done) / rate)) if rate else "unknown time"
        self._log(
            f"{self._part}: {pushed.done:,} of {self._rows:,} rows, {rate:,.0f} per second, {left} left, "
            f"{pushed.rejected:,} rejected"
        )


def window_of(day: str, zone: ZoneInfo) -> Window:
    """The bounds of a day of project time."""
    first = date.fromisoformat(day)
    after = first + timedelta(days=1)
    return datetime(first.year, first.month, first.day, tzinfo=zone), datetime(
        after.year, after.month, after.day, tzinfo=zone
    )


def reasons_table(rows: Iterable[tuple[str, str, int]]) -> dg.MarkdownMetadataValue:
    """Why rows were rejected.

    Args:
        rows: field, message and number of rows.
    """
    lines = [f"| {count:,} | {field} | {message.replace('|', '/')} |" for field, message, count in rows]
    return dg.MetadataValue.md("\n".join(["| rows | field | reason |", "|---:|---|---|", *lines]))


def _parts(
    context: dg.AssetExecutionContext, push: QueryPush, mixpanel: Mixpanel
) -> Iterator[tuple[str, Window | None]]:
    if not push.by_day:
        yield LATEST, None
        return
    for day in context.partition_keys:
        yield day, window_of(day, mixpanel.settings.zone)


def _metadata(pushed: PushedRows | Pushed, row_count: str) -> Metadata:
    numbers = {f"mixpanel_etl/{name}": value for name, value in counted(pushed).items()}
    metadata: Metadata = {row_count: pushed.rows, **numbers}
    if pushed.messages:
        metadata["mixpanel_etl/reasons"] = reasons_table(
            ("", message, count) for message, count in reasons(pushed)[:MAX_REASONS]
        )
    if isinstance(pushed, PushedRows) and pushed.overwritten:
        metadata["mixpanel_etl/overwritten"] = dg.MetadataValue.json(pushed.overwritten)
    if isinstance(pushed, PushedRows) and pushed.left_out:
        metadata["mixpanel_etl/left_out"] = dg.MetadataValue.json(pushed.left_out)
    if pushed.altered:
        metadata["mixpanel_etl/altered"] = dg.MetadataValue.json(pushed.altered)
    return metadata
