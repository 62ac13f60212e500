"""Mixpanel's events into the lake, and the proof that they arrived. Knows the client and the lake, no Dagster."""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.pull.event_export import MAX_DAYS as MAX_DAYS
from mixpanel_etl.pull.event_export import EventFilter as EventFilter
from mixpanel_etl.pull.event_export import Progress as Progress
from mixpanel_etl.pull.event_export import pull_events as pull_events
from mixpanel_etl.pull.event_export import windows as windows
from mixpanel_etl.pull.reconcile import DayCounts as DayCounts
from mixpanel_etl.pull.reconcile import Reconciliation as Reconciliation
from mixpanel_etl.pull.reconcile import reconcile as reconcile
