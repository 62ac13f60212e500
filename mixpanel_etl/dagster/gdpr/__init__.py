"""Requests of data subjects as Dagster assets. `gdpr_definitions` is the way in."""

from __future__ import annotations

import dagster as dg

from mixpanel_etl.dagster.gdpr.assets import step_assets
from mixpanel_etl.dagster.gdpr.checks import daily_schedule, gdpr_checks, overview_asset
from mixpanel_etl.dagster.gdpr.intake import intake_check, intake_sensor
from mixpanel_etl.dagster.gdpr.sensors import progress_sensor
from mixpanel_etl.dagster.gdpr.settings import Gdpr as Gdpr


def gdpr_definitions(gdpr: Gdpr) -> dg.Definitions:
    """The assets of all steps, the sensors that start them, the checks, and the daily look at deadlines."""
    return dg.Definitions(
        assets=[*step_assets(gdpr), overview_asset(gdpr)],
        asset_checks=[*gdpr_checks(gdpr), intake_check(gdpr)],
        sensors=[intake_sensor(gdpr), progress_sensor(gdpr)],
        schedules=[daily_schedule(gdpr)],
    )
