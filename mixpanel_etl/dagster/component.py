"""The base of all components: one dataclass for YAML and Python."""

# Dagster reads the annotations of components, so they must be types, not strings.
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import dagster as dg

from mixpanel_etl.dagster.fields import Lake, Op, OpSpec, Project
from mixpanel_etl.dagster.resource import MixpanelResource, registered
from mixpanel_etl.dagster.scaffold import TemplateScaffolder


@dg.scaffold_with(TemplateScaffolder)
@dataclass(kw_only=True)
class MixpanelComponent(dg.Component, dg.Resolvable):
    """What every component has. Dagster makes components from YAML; in Python, make one and call `definitions()`.

    Override `get_asset_spec` to describe the assets otherwise and `execute` to do something before or after the work.

    Example: many projects from one Python file below the `defs` folder

        .. code-block:: python

            @dg.definitions
            def defs() -> dg.Definitions:
                exports = [
                    MixpanelExport(
                        asset=dg.AssetSpec(["mixpanel", name, "events"]),
                        mixpanel=MixpanelResource(env_prefix=f"MIXPANEL_{name.upper()}_"),
                        table=f"{name}/events",
                    )
                    for name in ("eu", "us", "in")
                ]
                return dg.Definitions.merge(*(export.definitions() for export in exports))
    """

    #: Group of assets for which neither YAML nor `get_asset_spec` names one.
    group: ClassVar[str] = "mixpanel"

    mixpanel: Project = field(default_factory=MixpanelResource)
    lake: Lake = None
    op: Op = field(default_factory=OpSpec)
    name: Annotated[
        str,
        dg.Resolver.default(
            description="Prefix of the names of jobs, schedules and sensors: `<name>_job`, `<name>_schedule`, "
            "`<name>_sensor`. Default: from the asset's key, or from the folder of the YAML file if there are several."
        ),
    ] = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions, named after the folder of the YAML file."""
        folder = context.path.stem if context.path.suffix else context.path.name
        return self._named(re.sub(r"\W", "_", folder)).definitions()

    def definitions(self) -> dg.Definitions:
        """Assets, checks, jobs, schedules and sensors, and the project's resource.

        Raises:
            SettingsError: the project's settings are malformed or contradict each other.
            ConfigurationError: attributes of the component contradict each other.
        """
        return dg.Definitions.merge(self._named(self.group).build(), dg.Definitions(resources=self.resources()))

    def build(self) -> dg.Definitions:
        """The definitions without the resources; `name` is set."""
        raise NotImplementedError

    def resources(self) -> dict[str, dg.ConfigurableResource[Any]]:
        """What the definitions provide to assets of your own, by resource key: the project."""
        return {self.mixpanel.resource_key: registered(self.mixpanel)}

    def default_name(self, folder: str) -> str:
        """`name` when none is given: components of one asset use its key, others the folder.

        Args:
            folder: name of the YAML file's folder, or in Python the group.
        """
        return folder if folder.startswith("mixpanel") else f"mixpanel__{folder}"

    def grouped(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """The spec in the component's group, unless it names one itself."""
        return spec.replace_attributes(group_name=spec.group_name or self.group)

    @property
    def lake_uri(self) -> str:
        """Path or URI of the lake."""
        return self.lake or self.mixpanel.settings().lake

    def _named(self, folder: str) -> "MixpanelComponent":
        return self if self.name else replace(self, name=self.default_name(folder))
