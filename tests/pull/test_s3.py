"""The whole path onto a real S3 API."""

from __future__ import annotations

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events, reconcile
from mixpanel_etl.sandbox import Fault, Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, days_from

DAYS = days_from(FIRST, 30)


def test_days_go_from_mixpanel_to_s3_and_agree(mixpanel: Sandbox, client: Mixpanel, s3_lake: str) -> None:
    mixpanel.generate(3_000, DAYS[0], DAYS[-1], duplicates=0.05)
    mixpanel.add_fault(Fault("/export", "cut", count=1, after=20_000))
    table = EventsTable(s3_lake)
    published = list(pull_events(client, table, DAYS))
    assert published[0].uri.startswith(f"{s3_lake}/events/date=2026-01-")
    assert_equals_store(table, mixpanel, DAYS)
    assert reconcile(client, table, DAYS).beyond(0) == []
