"""Query API. Source: mixpanel-api.md#query. All dates are days of the project's time zone."""

from __future__ import annotations

from mixpanel_etl.client.query.events import EventQueries
from mixpanel_etl.client.query.funnels import FunnelQueries
from mixpanel_etl.client.query.jql import JqlQueries
from mixpanel_etl.client.query.profiles import ProfileQueries
from mixpanel_etl.client.query.retention import RetentionQueries
from mixpanel_etl.client.query.saved import SavedQueries
from mixpanel_etl.client.query.segmentation import SegmentationQueries
from mixpanel_etl.client.query.stream import StreamQueries


class Query(
    SegmentationQueries,
    FunnelQueries,
    RetentionQueries,
    EventQueries,
    ProfileQueries,
    SavedQueries,
    StreamQueries,
    JqlQueries,
):
    """Reports, events, profiles. 60 requests an hour for the whole project: ask for much at a time.

    Every method raises `InvalidRequest` when a parameter can't work (nothing was sent then), and one of the kinds in
    `client.errors` otherwise. `where` and `on` are segmentation expressions, such as `properties["plan"] == "pro"`.
    """
