"""Pushes as assets: the rows of a warehouse's query, in Mixpanel."""

# Dagster reads the annotations of assets, so they must be types, not strings.
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.recording import Metadata, recorded, withheld_messages
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.dagster.warehouse import WarehouseResource
from mixpanel_etl.lake import ConfigurationError
from mixpanel_etl.push.dead_letters import LATEST
from mixpanel_etl.push.profile_push import Pushed
from mixpanel_etl.push.projects import ProjectMapping
from mixpanel_etl.push.query import QueryPush, Window, counted, reasons
from mixpanel_etl.push.rows import PushedRows

#: Days of one run; each is a query of its own.
MOST_DAYS = 100
_SAY_EVERY = 15.0  # seconds
_SHOWN = 20


@dataclass(frozen=True)
class PushAsset:
    """A push that becomes an asset.

    Attributes:
        spec: key, the assets that feed its query (`deps`), group, owners, tags, description.
        push: what is sent.
        most_refused: how many rows may lie in the dead letters before the check fails.
    """

    spec: dg.AssetSpec
    push: QueryPush
    most_refused: int = 0


@dataclass(frozen=True)
class Pushes:
    """Pushes into one Mixpanel project, as Dagster assets.

    Attributes:
        pushes: their names differ.
        mixpanel: the project.
        warehouse: in which the queries run.
        lake: where dead letters and snapshots are kept; by default the project's setting.
        start_date: first day of pushes by day; by default the project's setting.
    """

    pushes: Sequence[PushAsset]
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    warehouse: WarehouseResource = field(default_factory=WarehouseResource)
    lake: str | None = None
    start_date: date | None = None

    def __post_init__(self) -> None:
        names = [item.push.name for item in self.pushes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"two pushes are called {twice[0]!r}: give one of them another name")

    def lake_uri(self) -> str:
        return self.lake or self.mixpanel.settings().lake

    def partitions(self, push: QueryPush) -> dg.DailyPartitionsDefinition | None:
        """The days in project time, of a query with `$start` and `$end`; those of the lake that is copied."""
        if not push.by_day:
            return None
        settings = self.mixpanel.settings()
        zone = push.mapping.time_zone if isinstance(push.mapping, ProjectMapping) else settings.timezone
        return dg.DailyPartitionsDefinition(str(self.start_date or settings.start_date), timezone=zone)


class PushConfig(dg.Config):
    """What a run can be told."""

    only_refused: bool = False
    allow_shrink: bool = False
    retry_unconfirmed: bool = False


def push_definitions(pushes: Pushes) -> dg.Definitions:
    """An asset for each push, and the check of its dead letters."""
    return dg.Definitions(
        assets=[push_asset(pushes, item) for item in pushes.pushes],
        asset_checks=[none_refused(pushes, item) for item in pushes.pushes],
    )


def push_asset(pushes: Pushes, item: PushAsset) -> dg.AssetsDefinition:
    """The asset of a push: materializing a partition sends the rows of its day, again and again to the same end."""
    key, push = item.spec.key, item.push

    @dg.multi_asset(
        specs=[
            item.spec.replace_attributes(partitions_def=pushes.partitions(push)).merge_attributes(
                kinds={"mixpanel", "sql"} if push.sql else {"mixpanel"},
                metadata={"mixpanel_etl/query": dg.MetadataValue.md(f"```sql\n{push.sql}\n```")} if push.sql else {},
            )
        ],
        name=key.to_python_identifier(),
        backfill_policy=dg.BackfillPolicy.multi_run(MOST_DAYS) if push.by_day else None,
        pool=pushes.mixpanel.pool("ingestion"),
    )
    def pushed(context: dg.AssetExecutionContext, config: PushConfig) -> dg.MaterializeResult[Any]:
        lake, warehouse = pushes.lake_uri(), pushes.warehouse.warehouse()
        with recorded(context, key) as done, pushes.mixpanel.client(context.log) as mixpanel:
            found: Metadata = {}
            for part, window in _parts(context, push, mixpanel):
                found = _metadata(
                    push.send(
                        mixpanel,
                        warehouse,
                        lake,
                        part,
                        window,
                        run_id=context.run.root_run_id or context.run.run_id,
                        **config.model_dump(),
                        on_progress=Progress(context.log.info, push.count(warehouse, window), part),
                    )
                )
                if window is not None:
                    done[part] = found
        return dg.MaterializeResult(metadata=None if push.by_day else found)

    return pushed


def none_refused(pushes: Pushes, item: PushAsset) -> dg.AssetChecksDefinition:
    """Whether no more rows lie in the dead letters than may."""

    @dg.asset_check(
        name="none_refused",
        asset=item.spec.key,
        description=f"At most {item.most_refused:,} rows were refused, by Mixpanel or before they were sent.",
    )
    @withheld_messages()
    def check() -> dg.AssetCheckResult:
        import polars as pl

        letters = item.push.dead_letters(pushes.lake_uri())
        rows = letters.scan()
        count = int(rows.select(pl.len()).collect().item())
        told = rows.group_by("field", "message").len("rows").sort("rows", descending=True).head(_SHOWN).collect()
        where = f"{letters.uri}; `mixpanel-etl push {item.push.name} --retry-rejected` sends them again"
        return dg.AssetCheckResult(
            passed=count <= item.most_refused,
            description=f"{count:,} rows were refused" + (f": they are in {where}" if count else ""),
            metadata={
                "mixpanel_etl/refused": count,
                "mixpanel_etl/reasons": dg.MetadataValue.md(_listed(told.iter_rows())),
            },
        )

    return check


class Progress:
    """Tells a log how far a push is: rows, their rate, and the time that is left."""

    def __init__(self, say: Any, rows: int, part: str) -> None:
        self._say, self._rows, self._part = say, rows, part
        self._started = time.monotonic()
        self._said = self._started

    def __call__(self, pushed: PushedRows | Pushed) -> None:
        now = time.monotonic()
        if now - self._said < _SAY_EVERY:
            return
        self._said = now
        rate = pushed.done / (now - self._started)
        left = timedelta(seconds=round(max(0, self._rows - pushed.done) / rate)) if rate else "unknown time"
        self._say(
            f"{self._part}: {pushed.done:,} of {self._rows:,} rows, {rate:,.0f} a second, {left} left, "
            f"{pushed.refused:,} refused"
        )


def window_of(day: str, zone: ZoneInfo) -> Window:
    """The bounds of a day of project time."""
    first = date.fromisoformat(day)
    after = first + timedelta(days=1)
    return datetime(first.year, first.month, first.day, tzinfo=zone), datetime(
        after.year, after.month, after.day, tzinfo=zone
    )


def _parts(
    context: dg.AssetExecutionContext, push: QueryPush, mixpanel: Mixpanel
) -> Iterator[tuple[str, Window | None]]:
    if not push.by_day:
        yield LATEST, None
        return
    for day in context.partition_keys:
        yield day, window_of(day, mixpanel.settings.zone)


def _metadata(pushed: PushedRows | Pushed) -> Metadata:
    found: Mapping[str, int] = counted(pushed)
    shown: Metadata = {f"mixpanel_etl/{name}": value for name, value in found.items()}
    if pushed.messages:
        shown["mixpanel_etl/reasons"] = dg.MetadataValue.md(
            _listed(("", message, count) for message, count in reasons(pushed)[:_SHOWN])
        )
    if isinstance(pushed, PushedRows) and pushed.overwritten:
        shown["mixpanel_etl/overwritten"] = dg.MetadataValue.json(pushed.overwritten)
    if isinstance(pushed, PushedRows) and pushed.left_out:
        shown["mixpanel_etl/left_out"] = dg.MetadataValue.json(pushed.left_out)
    if pushed.altered:
        shown["mixpanel_etl/altered"] = dg.MetadataValue.json(pushed.altered)
    return shown


def _listed(found: Any) -> str:
    lines = [f"| {count:,} | {field} | {message.replace('|', '/')} |" for field, message, count in found]
    return "\n".join(["| rows | field | why |", "|---:|---|---|", *lines])
