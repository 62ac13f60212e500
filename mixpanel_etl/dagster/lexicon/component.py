"""`type: mixpanel_etl.MixpanelLexicon`: Mixpanel's data dictionary, applied from files."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import dagster as dg

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.fields import Asset
from mixpanel_etl.dagster.lexicon.assets import LexiconConfig, apply_files, lexicon_asset, lexicon_jobs, matches_files
from mixpanel_etl.dagster.recording import as_failure
from mixpanel_etl.lexicon import Plan, compare, fetch, read_directory


def _directory(context: dg.ResolutionContext, value: str) -> Path:
    return Path(context.resolve_source_relative_path(context.resolve_value(value, str)))


@dataclass(kw_only=True)
class MixpanelLexicon(MixpanelComponent):
    """Mixpanel's data dictionary, kept in YAML files: an asset whose materialization applies them.

    The service account must be admin or owner of the project. `mixpanel-etl lexicon pull` writes the files.

    Example: a subclass that posts what was applied

        .. code-block:: python

            class AnnouncedLexicon(MixpanelLexicon):
                def execute(self, context, config):
                    for result in super().execute(context, config):
                        announce(result.metadata["mixpanel_etl/uploaded"])
                        yield result
    """

    group: ClassVar[str] = "mixpanel_lexicon"

    asset: Asset
    directory: Annotated[
        Path,
        dg.Resolver(
            _directory,
            model_field_type=str,
            description="Folder with one YAML file per event, relative to the folder of this file.",
            examples=["schemas"],
        ),
    ]
    delete: Annotated[bool, dg.Resolver.default(description="Delete schemas that only Mixpanel has.")] = False
    allow_drop: Annotated[
        bool,
        dg.Resolver.default(
            description="Allow `dropped: true`: Mixpanel discards these events permanently at ingestion."
        ),
    ] = False

    def get_asset_spec(self) -> dg.AssetSpec:
        """Spec of the asset. Override it to change tags or metadata.

        Example:
            .. code-block:: python

                class TaggedLexicon(MixpanelLexicon):
                    def get_asset_spec(self):
                        return super().get_asset_spec().merge_attributes(tags={"tier": "governance"})
        """
        return self.grouped(self.asset).merge_attributes(kinds={"mixpanel"})

    def execute(self, context: dg.AssetExecutionContext, config: LexiconConfig) -> Iterator[dg.MaterializeResult[Any]]:
        """Apply the files. Override it to do something before or after."""
        with as_failure(), self.mixpanel.client(context.log) as client:
            result = apply_files(context, self, client, config)
        yield result

    def plan(self, mixpanel: Mixpanel, *, truncate: bool = False) -> Plan:
        """What applying the files would change. One request.

        Args:
            mixpanel: client of the project.
            truncate: whether the dictionary is emptied first.

        Raises:
            LexiconFilesError: files have mistakes; no request was sent.
            MixpanelError: one of the kinds in `client.errors`.
        """
        wanted = {key: described.entry for key, described in read_directory(self.directory).items()}
        return compare(wanted, fetch(mixpanel), delete=self.delete, truncate=truncate)

    def build(self) -> dg.Definitions:
        """The asset, the check that compares without a change, and a job for each.

        There is no schedule: a dictionary changes when its files do, so the job belongs to what deploys them.
        """
        return dg.Definitions(assets=[lexicon_asset(self)], asset_checks=[matches_files(self)], jobs=lexicon_jobs(self))

    def default_name(self, folder: str) -> str:  # noqa: ARG002
        """From the asset's key."""
        return self.asset.key.to_python_identifier()
