"""Warehouse rows into Mixpanel: SQL in; events, profiles, groups and lookup tables out. Knows no Dagster."""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.push.chart_annotations import annotate
from mixpanel_etl.push.event_mapping import EventMapping
from mixpanel_etl.push.identity_links import IdentityMapping
from mixpanel_etl.push.lookup_push import LookupMapping
from mixpanel_etl.push.profile_mapping import ProfileMapping
from mixpanel_etl.push.project_copy import ProjectMapping
from mixpanel_etl.push.push_error import PushError
from mixpanel_etl.push.query_push import QueryPush

__all__ = [
    "EventMapping",
    "IdentityMapping",
    "LookupMapping",
    "ProfileMapping",
    "ProjectMapping",
    "PushError",
    "QueryPush",
    "annotate",
]
