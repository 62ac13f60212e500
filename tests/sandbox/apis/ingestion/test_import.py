"""`POST /import`: validation, replies, and stored events.

Source: mixpanel-api.md#import, #hot-shards.
"""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_events

NOW = datetime(2024, 1, 2, 12, tzinfo=UTC)
JAN_1 = 1_704_067_200
OK = {"code": 200, "num_records_imported": 1, "status": "OK"}


def event(name: object = "Pay", **properties: object) -> dict[str, Any]:
    """An importable event; a property of None is left out, `insert_id` means `$insert_id`."""
    members = {"time": JAN_1, "distinct_id": "u1", "insert_id": "abc-1", **properties}
    members["$insert_id"] = members.pop("insert_id")
    return {"event": name, "properties": {key: value for key, value in members.items() if value is not None}}


@pytest.fixture(autouse=True)
def _now(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOW, frozen=True)


def stored(export: HttpCall) -> list[dict[str, Any]]:
    return [one["properties"] for one in exported_events(export(to_date="2024-01-02", time_in_ms="true"))]


def test_an_event_arrives_with_the_properties_mixpanel_adds(export: HttpCall, post_import: HttpCall) -> None:
    response = post_import(event(amount=5, token="t", ip="203.0.113.7"))
    assert (response.status_code, response.json()) == (200, OK)
    now_ms = int(NOW.timestamp() * 1000)
    (properties,) = stored(export)
    assert properties.pop("$mp_event_size") > 50
    assert properties == {
        "time": JAN_1 * 1000,
        "distinct_id": "u1",
        "$user_id": "u1",
        "$insert_id": "abc-1",
        "amount": 5,
        "$import": True,
        "$mp_api_endpoint": "api.mixpanel.com",
        "$mp_api_timestamp_ms": now_ms,
        "mp_processing_time_ms": now_ms,
    }


@pytest.mark.parametrize(
    ("bad", "field", "message"),
    [
        (event(time="x"), "properties.time", "'properties.time' is invalid: must be specified as seconds since epoch"),
        (event(time=None), "properties.time", "'properties.time' is invalid: must be specified as seconds since epoch"),
        (event(time=True), "properties.time", "'properties.time' is invalid: must be specified as seconds since epoch"),
        (event(time=31_535_999), "properties.time", "'properties.time' is invalid: must not be before 1971-01-01"),
        (
            event(time=int(NOW.timestamp()) + 3601),
            "properties.time",
            "'properties.time' is invalid: must not be more than one hour in the future",
        ),
        (
            event(insert_id="a:b"),
            "$insert_id",
            "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters",
        ),
        (event(insert_id=None), "$insert_id", "'$insert_id' is invalid: must not be missing or empty"),
        (event(insert_id="a" * 37), "$insert_id", "'$insert_id' is invalid: must not be longer than 36 bytes"),
        (event(insert_id="undefined"), "$insert_id", "'$insert_id' is invalid: must identify an event"),
        (
            event(distinct_id="anonymous"),
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: must identify a user",
        ),
        (
            event(distinct_id=None),
            "properties.distinct_id",
            "'properties.distinct_id' is invalid: must not be missing",
        ),
        (
            event(utm_source="\ud800"),
            "properties.utm_source",
            "properties.utm_source is invalid: string should be valid utf8",
        ),
        (event(None), "event", "'event' is invalid: must be a non-empty string"),
        ({"event": "Pay"}, "properties", "'properties' is invalid: must be an object"),
        ("Pay", "", "record is invalid: must be an object"),
        (
            event(**{f"p{number}": 1 for number in range(252)}),
            "properties",
            "'properties' is invalid: must have at most 254 properties",
        ),
        (
            event(tags=["x"] * 255),
            "properties.tags",
            "'properties.tags' is invalid: must have at most 254 elements",
        ),
        (
            event(map={str(number): 1 for number in range(255)}),
            "properties.map",
            "'properties.map' is invalid: must have at most 254 keys",
        ),
        (
            event(deep={"a": {"b": {"c": {}}}}),
            "properties.deep",
            "'properties.deep' is invalid: objects must not be nested deeper than 3 levels",
        ),
        (
            event(list=["x" * 8192]),
            "properties.list",
            "'properties.list' is invalid: lists and objects must not be larger than 8192 bytes",
        ),
        (event(text="x" * 1_048_576), "event", "'event' is invalid: must be smaller than 1 MB"),
    ],
)
def test_a_record_that_fails_is_reported_and_the_others_are_imported(
    export: HttpCall, post_import: HttpCall, bad: Any, field: str, message: str
) -> None:
    response = post_import(event(insert_id="good-1"), bad, event(insert_id="good-2"))
    assert response.status_code == 400
    body = response.json()
    (failed,) = body.pop("failed_records")
    assert body == {
        "code": 400,
        "error": "some data points in the request failed validation",
        "status": "Bad Request",
        "num_records_imported": 2,
    }
    assert (failed["index"], failed["field"], failed["message"]) == (1, field, message)
    assert [properties["$insert_id"] for properties in stored(export)] == ["good-1", "good-2"]


def test_the_failed_record_is_named_by_its_insert_id(post_import: HttpCall) -> None:
    (failed,) = post_import(event(insert_id="a:b")).json()["failed_records"]
    assert failed["insert_id"] == "a:b"


@pytest.mark.parametrize(
    "good",
    [
        event(distinct_id=""),
        event(distinct_id=42),
        event(insert_id="a" * 36),
        event(time=JAN_1 * 1000),
        event(time=31_536_000),
        event(tags=["x"] * 254),
        event(deep={"a": [{"b": {}}]}),
        event(**{f"p{number}": 1 for number in range(251)}),
    ],
)
def test_events_within_the_limits_are_imported(post_import: HttpCall, good: Any) -> None:
    assert post_import(good).json() == OK


@pytest.mark.parametrize(
    ("ids", "distinct_id"),
    [({"$user_id": "u9"}, "u9"), ({"$device_id": "d1"}, "$device:d1"), ({"$user_id": "u9", "$device_id": "d1"}, "u9")],
)
def test_the_id_of_a_user_or_device_stands_for_a_missing_distinct_id(
    export: HttpCall, post_import: HttpCall, ids: dict[str, str], distinct_id: str
) -> None:
    assert post_import(event(distinct_id=None, **ids)).status_code == 200
    assert stored(export)[0]["distinct_id"] == distinct_id


def test_a_time_less_than_an_hour_ahead_becomes_now(export: HttpCall, post_import: HttpCall) -> None:
    assert post_import(event(time=int((NOW + timedelta(minutes=59)).timestamp()))).json() == OK
    assert stored(export)[0]["time"] == int(NOW.timestamp() * 1000)


def test_times_in_milliseconds_keep_them(export: HttpCall, post_import: HttpCall) -> None:
    post_import(event(time=JAN_1 * 1000 + 7))
    assert stored(export)[0]["time"] == JAN_1 * 1000 + 7


def test_a_project_created_before_2023_stores_project_time_as_if_it_were_epoch(
    sandbox: Sandbox, export: HttpCall, post_import: HttpCall
) -> None:
    sandbox.reset([Project(timezone="America/New_York", created_before_2023=True)])
    summer, winter = datetime(2022, 7, 1, 12, tzinfo=UTC), datetime(2022, 12, 1, 12, tzinfo=UTC)
    post_import(
        *(event(time=int(timestamp.timestamp()), insert_id=f"m{timestamp.month}") for timestamp in (summer, winter))
    )
    for timestamp, hours in ((summer, 4), (winter, 5)):
        (one,) = exported_events(export(from_date=timestamp.date(), to_date=timestamp.date()))
        assert one["properties"]["time"] == (timestamp - timedelta(hours=hours)).timestamp()


def test_names_and_strings_are_cut_to_255_characters(export: HttpCall, post_import: HttpCall) -> None:
    assert post_import(event(note="ñ" * 300, list=["x" * 300], **{"k" * 300: 1})).json() == OK
    properties = stored(export)[0]
    assert properties["note"] == "ñ" * 255
    assert properties["list"] == ["x" * 255]
    assert "k" * 255 in properties


@pytest.mark.parametrize(("ignore", "kept"), [(True, 0), ("yes", 0), (False, 1), ("", 1)])
def test_ignored_events_are_counted_as_imported_and_not_stored(
    export: HttpCall, post_import: HttpCall, ignore: object, kept: int
) -> None:
    assert post_import(event(**{"$ignore": ignore})).json() == OK
    assert len(stored(export)) == kept


def send(sandbox: Sandbox, body: bytes, headers: dict[str, str], **parameters: Any) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/import",
        params={"project_id": 12345, "strict": 1, **parameters},
        auth=sandbox.projects[0].account[:2],
        data=body,
        headers=headers,
        timeout=10,
    )


def test_ndjson_and_gzip_are_understood(sandbox: Sandbox, export: HttpCall) -> None:
    body = "\n".join(json.dumps(event(insert_id=f"n{number}")) for number in range(3)).encode() + b"\n"
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert send(sandbox, gzip.compress(body), headers).json() == {**OK, "num_records_imported": 3}
    assert len(stored(export)) == 3


def test_invalid_utf8_rejects_its_record_only(sandbox: Sandbox, export: HttpCall) -> None:
    body = json.dumps([event(insert_id="good"), event(note="@")]).encode().replace(b"@", b"\xff")
    response = send(sandbox, body, {"Content-Type": "application/json"})
    assert response.json()["failed_records"][0]["field"] == "properties.note"
    assert [properties["$insert_id"] for properties in stored(export)] == ["good"]


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (b"[", {"Content-Type": "application/json"}, "request body is not valid JSON"),
        (b'[{"a":NaN}]', {"Content-Type": "application/json"}, "request body is not valid JSON"),
        (b"[]", {"Content-Encoding": "gzip"}, "request body is not valid gzip"),
        (gzip.compress(b"[]", mtime=0)[:-4], {"Content-Encoding": "gzip"}, "request body is not valid gzip"),
        (b"[" + b"{}," * 2000 + b"{}]", {}, "request has 2001 events, the maximum is 2000"),
    ],
)
def test_an_unreadable_body_is_rejected(sandbox: Sandbox, body: bytes, headers: dict[str, str], text: str) -> None:
    response = send(sandbox, body, headers)
    assert response.json() == {"code": 400, "error": text, "status": "Bad Request"}
    assert sandbox.count() == 0


@pytest.mark.parametrize("compress", [False, True])
def test_a_body_over_the_limit_is_413_by_its_uncompressed_size(sandbox: Sandbox, compress: bool) -> None:
    sandbox.reset([Project(max_import_bytes=1000)])
    body = json.dumps([event(note="x" * 1000)]).encode()
    response = send(sandbox, gzip.compress(body), {"Content-Encoding": "gzip"}) if compress else send(sandbox, body, {})
    assert response.status_code == 413
    text = "request exceeds max limit of 1000 bytes"
    assert response.json() == {"code": 413, "error": text, "status": "Request Entity Too Large"}


def test_without_strict_storable_events_are_stored_and_errors_are_not_reported(
    export: HttpCall, post_import: HttpCall
) -> None:
    bad = [event(insert_id="a:b"), event(distinct_id=None, insert_id=None), event(time="x"), {"event": "Pay"}]
    response = post_import(*bad, strict=0)
    assert (response.status_code, response.json()) == (200, {**OK, "num_records_imported": 2})
    assert [properties["distinct_id"] for properties in stored(export)] == ["u1", ""]


def test_without_strict_invalid_utf8_is_replaced(export: HttpCall, post_import: HttpCall) -> None:
    assert post_import(event("P\ud800y", note="a\ud800", insert_id="\udcff"), strict=0).json() == OK
    assert stored(export)[0]["note"] == "a?"


@pytest.mark.parametrize("strict", [0, 1])
def test_an_event_that_is_nested_too_deeply_fails_alone(sandbox: Sandbox, export: HttpCall, strict: int) -> None:
    response = send(sandbox, nested(900), {"Content-Type": "application/json"}, strict=strict)
    assert response.status_code == (400 if strict else 200)
    assert response.json()["num_records_imported"] == 1
    assert [properties["$insert_id"] for properties in stored(export)] == ["good"]


def test_nesting_that_no_parser_can_read_fails_the_request(sandbox: Sandbox) -> None:
    response = send(sandbox, nested(50_000), {"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]) == (400, "request body is not valid JSON")


def nested(levels: int) -> bytes:
    return json.dumps([event(insert_id="good"), event(deep="@")]).replace('"@"', "[" * levels + "]" * levels).encode()


def test_an_event_without_insert_id_gets_a_unique_one(export: HttpCall, post_import: HttpCall) -> None:
    post_import(event(insert_id=None), event(insert_id=None), strict=0)
    assert len({properties["$insert_id"] for properties in stored(export)}) == 2


def test_the_form_of_the_official_sdk_gets_the_reply_it_expects(sandbox: Sandbox, export: HttpCall) -> None:
    response = requests.post(
        f"{sandbox.url}/import",
        auth=(sandbox.projects[0].secret, ""),
        data={"data": json.dumps(event()), "verbose": 1, "ip": 0},
        timeout=10,
    )
    assert response.json() == {"status": 1, "error": None}
    assert len(stored(export)) == 1


def test_events_above_the_hot_shard_threshold_are_rewritten(
    sandbox: Sandbox, export: HttpCall, post_import: HttpCall
) -> None:
    sandbox.reset([Project(hot_shard_threshold=3, enforce_budgets=False)])
    sandbox.clock.set(NOW, frozen=True)
    post_import(*(event(insert_id=f"a{number}") for number in range(2)))
    post_import(*(event(insert_id=f"b{number}") for number in range(2)))
    post_import(event(insert_id="c", time=JAN_1 + 86_400), event(insert_id="d", distinct_id="u2"))
    exported = exported_events(export(to_date="2024-01-02"))
    assert [one["event"] for one in exported] == ["Pay", "Pay", "Pay", "$hotshard_events", "Pay", "Pay"]
    hot = exported[3]["properties"]
    assert hot["distinct_id"] == ""
    assert (hot["mp_original_event_name"], hot["mp_original_distinct_id"]) == ("Pay", "u1")
