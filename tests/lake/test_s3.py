"""The lake in a bucket, over a real S3 API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from mixpanel_etl.lake import DaysHeldBack, EventsTable, PromotedColumn
from mixpanel_etl.lake.storage import S3

from .exports import DAY, days_from, files, line, ms, pull, request
from .s3_server import S3Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 with one empty bucket, which the environment names as a user's would."""
    settings = {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-lake",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    running.rejected = lambda *_: False
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = S3("bucket").fs
    if bucket.exists("bucket"):
        bucket.rm("bucket", recursive=True)
    bucket.mkdir("bucket")
    running.requests.clear()
    return running


@pytest.fixture
def table(server: S3Server, scratch: Path) -> EventsTable:
    return EventsTable("s3://bucket/some/lake", promoted=[PromotedColumn("n", "integer")])


def objects(table: EventsTable) -> list[str]:
    assert isinstance(table.storage, S3)
    names: list[str] = table.storage.fs.find("bucket")
    return sorted(name for name in names if "/_columns/" not in name and not name.endswith("/_format.json"))


def unfinished_uploads(table: EventsTable) -> list[object]:
    assert isinstance(table.storage, S3)
    found: list[object] = table.storage.fs.call_s3("list_multipart_uploads", Bucket="bucket").get("Uploads", [])
    return found


def test_days_are_published_read_back_and_scanned(table: EventsTable) -> None:
    days = days_from(DAY, 3)
    told = pull(table, [line(ms(days[0]), n=1), line(ms(days[2]), n=3)], request(days[0], days[-1]))
    name = f"bucket/some/lake/events/date={DAY}/events.parquet"
    assert told[0].uri == f"s3://{name}"
    assert objects(table) == [f"bucket/some/lake/events/date={day}/events.parquet" for day in days]
    assert table.days() == days
    assert [table.day(day) for day in days] == told
    assert [day.rows for day in told] == [1, 0, 1]
    assert table.file_schema(DAY).equals(table.schema, check_metadata=True)
    scanned = table.scan().collect()
    assert scanned["n"].to_list() == [1, 3]
    assert json.loads(scanned["properties"][1])["n"] == 3
    assert table.scan([days[2]]).collect()["n"].to_list() == [3]


def test_a_day_is_replaced_and_read_anew(table: EventsTable) -> None:
    for later in (1, 2):
        pull(table, [line(n=later)] * later, request(later=later))
        there = table.day(DAY)
        assert there
        assert there.rows == later
        assert table.scan().collect()["n"].to_list() == [later] * later


def test_the_later_request_wins_and_shrinking_is_held_back(table: EventsTable) -> None:
    pull(table, [line(n=1)] * 2, request(later=5))
    assert pull(table, [line(n=2)] * 3, request())[0].rows == 2
    with pytest.raises(DaysHeldBack, match="2 rows -> 1"):
        pull(table, [line(n=3)], request(later=6))
    assert table.scan().collect()["n"].to_list() == [1, 1]
    assert pull(table, [line(n=3)], request(later=6), allow_shrink=True)[0].rows == 1


def test_an_early_end_uploads_nothing(table: EventsTable, server: S3Server) -> None:
    with pytest.raises(Exception, match="ended early"):
        pull(table, [line(), b"terminated early\n"])
    assert objects(table) == []
    assert not [method for method, *_ in server.requests if method in {"PUT", "POST"}]


def test_tables_of_one_lake_do_not_see_each_other(table: EventsTable) -> None:
    other = EventsTable(table.lake, "events_eu")
    pull(other, [line()])
    assert table.days() == []
    assert table.day(DAY) is None
    assert table.scan().collect().height == 0
    assert other.days() == [DAY]


def test_the_bucket_itself_may_be_the_lake(table: EventsTable) -> None:
    root = EventsTable("s3://bucket/")
    pull(root, [line()])
    assert root.days() == [DAY]
    assert root.uri == "s3://bucket/events"


def noise(megabytes: int) -> Iterator[bytes]:
    for n in range(megabytes):
        yield line(n=n, noise=os.urandom(600_000).hex())


def test_a_large_day_is_uploaded_in_parts(table: EventsTable, server: S3Server) -> None:
    (told,) = pull(table, noise(30))
    assert told.bytes > 16 << 20
    parts = [path for method, path, query in server.requests if method == "PUT" and "partNumber" in query]
    assert len(parts) == -(-told.bytes // (8 << 20))
    assert table.scan().collect()["n"].to_list() == list(range(30))


def test_an_upload_that_fails_midway_leaves_the_old_object_and_no_parts(table: EventsTable, server: S3Server) -> None:
    pull(table, [line(n=-1)])
    server.rejected = lambda method, path, query: query.get("partNumber") == ["2"]
    with pytest.raises(PermissionError, match=f"s3://bucket/some/lake/events/date={DAY}/events.parquet: Access Denied"):
        pull(table, noise(30), request(later=1))
    assert {"POST", "DELETE"} < {method for method, _, query in server.requests if {"uploads", "uploadId"} & query}
    assert table.scan().collect()["n"].to_list() == [-1]
    assert unfinished_uploads(table) == []


def test_an_upload_whose_completion_fails_publishes_nothing(table: EventsTable, server: S3Server) -> None:
    server.rejected = lambda method, path, query: method == "POST" and "uploadId" in query
    with pytest.raises(PermissionError):
        pull(table, noise(30))
    assert objects(table) == []
    assert unfinished_uploads(table) == []


def test_a_refused_upload_fails_its_day_and_the_days_told_are_there(table: EventsTable, server: S3Server) -> None:
    days = days_from(DAY, 6)
    server.rejected = lambda method, path, query: method == "PUT" and str(days[2]) in path
    with pytest.raises(PermissionError, match=str(days[2])):
        pull(table, [], request(days[0], days[-1]))
    assert days[2] not in table.days()


def test_the_probe_writes_and_leaves_nothing(table: EventsTable, server: S3Server) -> None:
    table.storage.probe()
    assert [method for method, *_ in server.requests][-2:] == ["PUT", "DELETE"]
    assert objects(table) == []


def test_the_probe_says_what_is_not_allowed(table: EventsTable, server: S3Server) -> None:
    server.rejected = lambda method, path, query: method == "PUT"
    with pytest.raises(PermissionError, match=r"s3://bucket/some/lake/\.probe: Access Denied"):
        table.storage.probe()


def test_a_bucket_that_does_not_exist_is_named(server: S3Server) -> None:
    lost = EventsTable("s3://nowhere/lake")
    with pytest.raises(FileNotFoundError, match="s3://nowhere/lake/events: The specified bucket does not exist"):
        lost.days()


@pytest.mark.usefixtures("scratch")
def test_an_s3_that_cannot_be_reached_is_an_os_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    s3fs.S3FileSystem.clear_instance_cache()
    lost = EventsTable("s3://bucket/lake")
    for call in (lost.days, lost.storage.probe, lambda: pull(lost, [line()])):
        with pytest.raises(OSError, match=r"s3://bucket/lake.*Could not connect") as raised:
            call()
        assert "s3cr3t" not in repr(raised.value)


def test_missing_credentials_are_an_os_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(OSError, match="Unable to locate credentials"):
        EventsTable("s3://bucket/lake").storage.probe()


def test_rows_wait_in_the_temporary_folder_without_a_name(table: EventsTable, scratch: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for chunk in noise(3):
            assert files(scratch) == []
            yield chunk

    assert pull(table, chunks())[0].rows == 3
