"""A team's own classes: each component's two methods can be overridden."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mixpanel_etl import (
    MixpanelCatalogue,
    MixpanelCohorts,
    MixpanelProfiles,
    MixpanelReports,
    MixpanelTypedEvents,
)
from mixpanel_etl.dagster.component import MixpanelComponent
from mixpanel_etl.dagster.recording import Results
from mixpanel_etl.dagster.reports.yaml_entries import NamedReport
from mixpanel_etl.dagster.typed_events.assets import TypedEvent
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import EventFilter, pull_events
from mixpanel_etl.pull.reports import report_of
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Settings

from ..conftest import FIRST
from .profiles import Today, logged


@pytest.mark.parametrize(
    ("component", "attributes", "key"),
    [
        (
            MixpanelReports,
            {"reports": [NamedReport("top_events", report_of("top_events", {}))]},
            "mixpanel/reports/top_events",
        ),
        (MixpanelProfiles, {"asset": dg.AssetSpec(["mixpanel", "profiles"])}, "mixpanel/profiles"),
        (MixpanelCohorts, {}, "mixpanel/cohorts"),
        (MixpanelCatalogue, {"groups": ["lookup_tables"]}, "mixpanel/catalogue/lookup_tables"),
        (
            MixpanelTypedEvents,
            {"events": [TypedEvent("checkout")], "types_from": "data", "check_drift": False},
            "mixpanel/events_typed/checkout",
        ),
    ],
)
def test_a_subclass_describes_its_assets_and_does_more(
    mixpanel: Sandbox,
    instance: dg.DagsterInstance,
    component: type[Any],
    attributes: dict[str, Any],
    key: str,
) -> None:
    class Own(component):  # type: ignore[misc]
        """A team's own component."""

        def get_asset_spec(self, *item: Any) -> dg.AssetSpec:
            spec: dg.AssetSpec = super().get_asset_spec(*item)
            return spec.merge_attributes(tags={"tier": "raw"})

        def execute(self, context: dg.AssetExecutionContext, *given: Any) -> Results:
            yield from super().execute(context, *given)
            context.log.info("done by the team's own class")

    own: MixpanelComponent = Own(**attributes)
    definitions = own.definitions()
    node = definitions.resolve_asset_graph().get(dg.AssetKey.from_user_string(key))
    assert node.tags["tier"] == "raw"
    assert node.group_name == component.group
    today = Today(instance, definitions)
    day = today.key_of_today(key)
    if component is MixpanelTypedEvents:
        mixpanel.generate(10, FIRST, FIRST)
        day = str(FIRST)
        with own.mixpanel.client() as client:
            list(pull_events(client, EventsTable(Settings.load().lake), [FIRST], EventFilter(), run_id="export"))
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, partition_key=day)
    assert "done by the team's own class" in logged(result, instance)
