"""The data dictionary as an asset: to materialize it is to make Mixpanel say what the files say."""

# Dagster reads the annotations of assets and checks, so they must be types, not strings.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lexicon import Plan, apply, compare, fetch, lines, read_directory

CHECK = "says_what_the_files_say"
_SHOWN_LINES = 500


@dataclass(frozen=True)
class LexiconSync:
    """A schema directory, and the project whose dictionary shall say the same.

    Attributes:
        spec: the asset's key, group, owners, tags and description.
        directory: with the YAML files, see `lexicon.schema_files`. Read when something runs, not when definitions load.
        mixpanel: the project.
        delete: delete what only Mixpanel has.
        allow_drop: let Mixpanel lose at ingestion, for ever, what is `dropped: true`.
    """

    spec: dg.AssetSpec
    directory: Path
    mixpanel: MixpanelResource = field(default_factory=MixpanelResource)
    delete: bool = False
    allow_drop: bool = False

    def plan(self, mixpanel: Mixpanel, *, truncate: bool = False) -> Plan:
        """What `apply` would change. One request.

        Raises:
            LexiconFilesError: files have mistakes; nothing was asked.
            MixpanelError: one of the kinds in `client.errors`.
        """
        wanted = {key: described.entry for key, described in read_directory(self.directory).items()}
        return compare(wanted, fetch(mixpanel), delete=self.delete, truncate=truncate)


class LexiconConfig(dg.Config):
    """What may be decided anew for each run, in the launchpad."""

    allow_drop: bool = Field(
        default=False, description="Let Mixpanel lose at ingestion, for ever, what is `dropped: true`."
    )
    truncate: bool = Field(default=False, description="Empty Mixpanel's ENTIRE dictionary first.")


def lexicon_definitions(sync: LexiconSync) -> dg.Definitions:
    """The asset, the check that compares without a change, and a job for each: `..._apply` and `..._plan`.

    There is no schedule: a dictionary changes when its files do, so the job belongs to what deploys them.
    """
    asset, check = _asset(sync), _check(sync)
    name, key = sync.spec.key.to_python_identifier(), sync.spec.key
    jobs = [
        dg.define_asset_job(
            f"{name}_apply",
            selection=dg.AssetSelection.assets(key).without_checks(),
            description="Makes Mixpanel's dictionary say what the schema directory says.",
        ),
        dg.define_asset_job(
            f"{name}_plan",
            selection=dg.AssetSelection.checks_for_assets(key),
            description="Shows what that would change.",
        ),
    ]
    return dg.Definitions(assets=[asset], asset_checks=[check], jobs=jobs)


def _asset(sync: LexiconSync) -> dg.AssetsDefinition:
    @dg.multi_asset(
        specs=[sync.spec.merge_attributes(kinds={"mixpanel"})],
        name=sync.spec.key.to_python_identifier(),
        pool=sync.mixpanel.pool("lexicon"),
    )
    def lexicon(context: dg.AssetExecutionContext, config: LexiconConfig) -> dg.MaterializeResult[Any]:
        with as_failure(), sync.mixpanel.client(context.log) as mixpanel:
            plan = sync.plan(mixpanel, truncate=config.truncate)
            context.log.info("\n".join(lines(plan, contacts=False)))
            done = apply(mixpanel, plan, allow_drop=sync.allow_drop or config.allow_drop)
        return dg.MaterializeResult(
            metadata={
                **_metadata(plan),
                "mixpanel_etl/uploaded": done.uploaded,
                "mixpanel_etl/deleted": done.deleted,
                "mixpanel_etl/requests": done.requests,
            }
        )

    return lexicon


def _check(sync: LexiconSync) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=sync.spec.key,
        name=CHECK,
        description="Mixpanel's dictionary says what the schema directory says; changes nothing.",
        pool=sync.mixpanel.pool("lexicon"),
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with as_failure(), sync.mixpanel.client(context.log) as mixpanel:
            plan = sync.plan(mixpanel)
        return dg.AssetCheckResult(
            passed=not plan, severity=dg.AssetCheckSeverity.WARN, description=str(plan), metadata=_metadata(plan)
        )

    return check


def _metadata(plan: Plan) -> dict[str, Any]:
    told = list(lines(plan, contacts=False))
    more = [f"... and {len(told) - _SHOWN_LINES} lines more"] if len(told) > _SHOWN_LINES else []
    # Indented, not fenced: a description may hold a fence of its own.
    shown = "\n".join(f"    {line}" for line in [*told[:_SHOWN_LINES], *more])
    return {"mixpanel_etl/plan": dg.MetadataValue.md(shown), "mixpanel_etl/changes": len(plan.changes)}
