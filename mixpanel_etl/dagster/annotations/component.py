"""`type: mixpanel_etl.MixpanelAnnotation`."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import dagster as dg

from mixpanel_etl.dagster.annotations.sensors import Ending, JobAnnotation, annotation_definitions
from mixpanel_etl.dagster.fields import EnvPrefix, identifier
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.settings import DEFAULT_PREFIX


@dataclass
class MixpanelAnnotation(dg.Component, dg.Resolvable):
    """An annotation on Mixpanel's charts for each end of some jobs, so that a backfill or a release shows there.

    The service account must be analyst, admin or owner of the project.
    """

    jobs: Annotated[
        Sequence[str],
        dg.Resolver.default(
            description="Jobs of this code location; `__ASSET_JOB` is what *Materialize* in the UI runs.",
            examples=[["mixpanel__events_job"]],
        ),
    ]
    description: Annotated[
        str,
        dg.Resolver.default(
            description="The text, with {job}, {status}, {partitions}, {run_id}, {seconds} and {tags[NAME]}."
        ),
    ] = "{job}: {status} {partitions}"
    tags: Annotated[
        Sequence[str], dg.Resolver.default(description="Of the annotation; one that there is not is made.")
    ] = field(default_factory=list)
    endings: Annotated[
        Sequence[Ending], dg.Resolver.default(description="Which ends are annotated: success, failure, canceled.")
    ] = field(default_factory=lambda: ["success"])
    env_prefix: EnvPrefix = DEFAULT_PREFIX

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The sensor, called after the folder."""
        return annotation_definitions(self.annotation(identifier(context.path)))

    def annotation(self, name: str) -> JobAnnotation:
        """What this instance describes; override it to describe something else."""
        return JobAnnotation(
            jobs=self.jobs,
            name=name,
            description=self.description,
            tags=self.tags,
            endings=self.endings,
            mixpanel=MixpanelResource(env_prefix=self.env_prefix),
        )
