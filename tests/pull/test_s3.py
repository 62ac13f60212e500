"""The whole path onto a real S3 API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events, reconcile
from mixpanel_etl.sandbox import Fault, Sandbox

from ..conftest import FIRST
from ..lakehouse import assert_equals_store, days_from

DAYS = days_from(FIRST, 30)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="events")
    yield "s3://events/lake"
    server.stop()


def test_days_go_from_mixpanel_to_s3_and_agree(mixpanel: Sandbox, client: Mixpanel, bucket: str) -> None:
    mixpanel.generate(3_000, DAYS[0], DAYS[-1], duplicates=0.05)
    mixpanel.add_fault(Fault("/export", "cut", count=1, after=20_000))
    table = EventsTable(bucket)
    published = list(pull_events(client, table, DAYS))
    assert published[0].uri.startswith("s3://events/lake/events/date=2026-01-")
    assert_equals_store(table, mixpanel, DAYS)
    assert reconcile(client, table, DAYS).beyond(0) == []
