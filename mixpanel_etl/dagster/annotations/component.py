"""`type: mixpanel_etl.MixpanelAnnotations`: annotations on Mixpanel's charts when jobs end."""

# Dagster reads the annotations of components, so they must be types, not strings.
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, ClassVar, get_args

import dagster as dg

from mixpanel_etl.dagster.annotations.sensors import EndedRun, Ending, RunTags, annotation_sensor
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.lake import ConfigurationError


@dataclass(kw_only=True)
class MixpanelAnnotations(MixpanelComponent):
    """An annotation on Mixpanel's charts each time one of some jobs ends: a backfill or a release shows there.

    The service account must be analyst, admin or owner of the project. It has no assets; override `text`.

    Example: a subclass that links to the release

        .. code-block:: python

            class ReleaseAnnotations(MixpanelAnnotations):
                def text(self, run):
                    return f"{super().text(run)} https://releases.example.com/{run.tags['version']}"
    """

    group: ClassVar[str] = "mixpanel_annotations"

    jobs: Annotated[
        Sequence[str],
        dg.Resolver.default(
            description="Names of jobs of this code location; `__ASSET_JOB` is the job behind *Materialize* in the UI.",
            examples=[["mixpanel__events_job"]],
        ),
    ]
    description: Annotated[
        str,
        dg.Resolver.default(
            description="Text of the annotation, with {job}, {status}, {partitions}, {run_id}, {seconds} and "
            "{tags[NAME]}."
        ),
    ] = "{job}: {status} {partitions}"
    tags: Annotated[
        Sequence[str], dg.Resolver.default(description="Tags of the annotation. Missing tags are created.")
    ] = field(default_factory=list)
    endings: Annotated[
        Sequence[Ending], dg.Resolver.default(description="Which ends are annotated: success, failure, canceled.")
    ] = field(default_factory=lambda: ["success"])

    def __post_init__(self) -> None:
        if not self.jobs:
            raise ConfigurationError("jobs is empty; name at least one job")
        for ending in self.endings:
            if ending not in get_args(Ending):
                raise ConfigurationError(f"endings has {ending!r}; allowed: {', '.join(get_args(Ending))}")
        try:
            text = self._formatted(EndedRun("job", "success", "id", datetime.now(UTC), "", 1.0, RunTags()))
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"description is {self.description!r} ({type(error).__name__}: {error}); allowed: {{job}}, {{status}}, "
                "{partitions}, {run_id}, {seconds} and {tags[NAME]}; write {{ and }} for braces"
            ) from None
        if not text:
            raise ConfigurationError("description is empty; write the text of the annotation")

    def text(self, run: EndedRun) -> str:
        """Text of the annotation for a run or backfill. Override it to write something else.

        Args:
            run: what ended.
        """
        return self._formatted(run)

    def build(self) -> dg.Definitions:
        """The sensor."""
        return dg.Definitions(sensors=[annotation_sensor(self)])

    def _formatted(self, run: EndedRun) -> str:
        return self.description.format(
            job=run.job,
            status=run.ending,
            run_id=run.run_id,
            partitions=run.partitions,
            seconds=round(run.seconds),
            tags=run.tags,
        ).strip()
