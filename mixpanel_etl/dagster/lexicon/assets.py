"""The data dictionary as an asset: materializing it makes Mixpanel's dictionary match the files."""

# Dagster reads the annotations of assets and checks, so they must be types, not strings.
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.lexicon import Plan, apply, lines

if TYPE_CHECKING:
    from mixpanel_etl.dagster.lexicon.component import MixpanelLexicon

CHECK = "matches_files"
_MAX_LINES = 500


class LexiconConfig(dg.Config):
    """What each run can set in the launchpad."""

    allow_drop: bool = Field(
        default=False, description="Allow `dropped: true`: Mixpanel discards these events permanently at ingestion."
    )
    truncate: bool = Field(default=False, description="Empty Mixpanel's ENTIRE dictionary first.")


def lexicon_asset(component: "MixpanelLexicon") -> dg.AssetsDefinition:
    """The asset whose materialization applies the files."""

    @dg.multi_asset(
        specs=[component.get_asset_spec()],
        **component.op.arguments(
            name=component.asset.key.to_python_identifier(), pool=component.mixpanel.pool("lexicon")
        ),
    )
    def lexicon(context: dg.AssetExecutionContext, config: LexiconConfig) -> Iterator[dg.MaterializeResult[Any]]:
        yield from component.execute(context, config)

    return lexicon


def apply_files(
    context: dg.AssetExecutionContext, component: "MixpanelLexicon", mixpanel: Mixpanel, config: LexiconConfig
) -> dg.MaterializeResult[Any]:
    """Make Mixpanel's dictionary match the files.

    Args:
        context: context of the run, which logs the plan.
        component: the component.
        mixpanel: client of its project.
        config: what the launchpad says.
    """
    plan = component.plan(mixpanel, truncate=config.truncate)
    context.log.info("\n".join(lines(plan, contacts=False)))
    applied = apply(mixpanel, plan, allow_drop=component.allow_drop or config.allow_drop)
    return dg.MaterializeResult(
        metadata={
            **_metadata(plan),
            "mixpanel_etl/uploaded": applied.uploaded,
            "mixpanel_etl/deleted": applied.deleted,
            "mixpanel_etl/requests": applied.requests,
        }
    )


def matches_files(component: "MixpanelLexicon") -> dg.AssetChecksDefinition:
    """Whether Mixpanel's dictionary matches the files."""

    @dg.asset_check(
        asset=component.asset.key,
        name=CHECK,
        description="Mixpanel's dictionary matches the schema directory. The check changes nothing.",
        pool=component.mixpanel.pool("lexicon"),
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with as_failure(), component.mixpanel.client(context.log) as mixpanel:
            plan = component.plan(mixpanel)
        return dg.AssetCheckResult(
            passed=not plan, severity=dg.AssetCheckSeverity.WARN, description=str(plan), metadata=_metadata(plan)
        )

    return check


def lexicon_jobs(component: "MixpanelLexicon") -> list[Any]:
    """The job that applies the files, and the job that shows what would change."""
    key = component.asset.key
    return [
        dg.define_asset_job(
            f"{component.name}_apply_job",
            selection=dg.AssetSelection.assets(key).without_checks(),
            description="Makes Mixpanel's dictionary match the schema directory.",
        ),
        dg.define_asset_job(
            f"{component.name}_plan_job",
            selection=dg.AssetSelection.checks_for_assets(key),
            description="Shows what applying the schema directory would change.",
        ),
    ]


def _metadata(plan: Plan) -> dict[str, Any]:
    shown = list(lines(plan, contacts=False))
    more = [f"... and {len(shown) - _MAX_LINES} more lines"] if len(shown) > _MAX_LINES else []
    # Indented, not fenced: a description may hold a fence of its own.
    text = "\n".join(f"    {line}" for line in [*shown[:_MAX_LINES], *more])
    return {"mixpanel_etl/plan": dg.MetadataValue.md(text), "mixpanel_etl/changes": len(plan.changes)}
