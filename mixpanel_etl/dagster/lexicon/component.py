"""`type: mixpanel_etl.MixpanelLexicon`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.fields import EnvPrefix
from mixpanel_etl.dagster.lexicon.assets import LexiconSync, lexicon_definitions
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelLexicon(dg.Component, dg.Resolvable):
    """Mixpanel's data dictionary, kept in YAML files: an asset whose materialization applies them.

    The service account must be admin or owner of the project. `mixpanel-etl lexicon pull` writes the files.
    """

    asset: Annotated[dg.ResolvedAssetSpec, dg.Resolver.default(description="Key, group, owners, tags, description.")]
    directory: Annotated[
        str,
        dg.Resolver.default(
            description="With one YAML file for each event; a relative path is looked for beside this file.",
            examples=["schemas"],
        ),
    ]
    env_prefix: EnvPrefix = DEFAULT_PREFIX
    delete: Annotated[bool, dg.Resolver.default(description="Delete what only Mixpanel has.")] = False
    allow_drop: Annotated[
        bool,
        dg.Resolver.default(description="Let Mixpanel lose at ingestion, for ever, what is `dropped: true`."),
    ] = False

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, check and jobs."""
        return lexicon_definitions(self.sync(context.path))

    def sync(self, folder: Path) -> LexiconSync:
        """What this instance describes; override it to describe something else."""
        return LexiconSync(
            spec=self.asset,
            directory=(folder if folder.is_dir() else folder.parent) / self.directory,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
            delete=self.delete,
            allow_drop=self.allow_drop,
        )
