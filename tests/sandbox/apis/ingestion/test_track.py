"""`/track`: every wire form, and the many meanings of 1. Source: mixpanel-api.md#track."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_events

NOW = datetime(2024, 1, 3, 12, tzinfo=UTC)


def event(token: object = "sandbox-token-12345", **properties: object) -> dict[str, Any]:
    return {"event": "Click", "properties": {"token": token, "distinct_id": "u1", **properties}}


@pytest.fixture(autouse=True)
def _now(sandbox: Sandbox) -> None:
    sandbox.clock.set(NOW, frozen=True)


def post(sandbox: Sandbox, *events: object, **parameters: object) -> requests.Response:
    return requests.post(f"{sandbox.url}/track", params=parameters, json=events, timeout=10)  # type: ignore[arg-type]


def stored(export: HttpCall) -> list[dict[str, Any]]:
    return [one["properties"] for one in exported_events(export())]


ONE = json.dumps(event()).encode()
BASE64 = base64.b64encode(ONE).decode()


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST", "json": [event()]},
        {"method": "POST", "json": event()},
        {"method": "POST", "data": {"data": ONE}},
        {"method": "POST", "data": {"data": BASE64}},
        {"method": "POST", "data": {"data": BASE64.rstrip("=")}},
        {"method": "POST", "data": f"data={BASE64}", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"method": "POST", "data": gzip.compress(ONE), "headers": {"Content-Encoding": "gzip"}},
        {"method": "GET", "params": {"data": BASE64}},
        {"method": "GET", "params": {"data": ONE}},
    ],
)
def test_every_wire_form_arrives(sandbox: Sandbox, export: HttpCall, request_: dict[str, Any]) -> None:
    response = requests.request(url=f"{sandbox.url}/track", timeout=10, **request_)
    assert (response.status_code, response.text) == (200, "1")
    (properties,) = stored(export)
    assert properties["distinct_id"] == "u1"
    assert properties["time"] == int(NOW.timestamp())
    assert properties["$mp_api_endpoint"] == "api.mixpanel.com"
    assert not {"token", "ip", "$import"} & properties.keys()


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (event(token=None), "token, missing or empty"),
        ({"event": "Click"}, "properties, missing or empty"),
        ({"properties": {}}, "event, missing or empty"),
        (event(time="x"), "'properties.time' is invalid: must be specified as seconds since epoch"),
    ],
)
def test_nothing_valid_is_0_and_verbose_says_why(sandbox: Sandbox, bad: Any, error: str) -> None:
    assert post(sandbox, bad).text == "0"
    assert post(sandbox, bad, verbose=1).json() == {"status": 0, "error": error}
    assert sandbox.count() == 0


def test_invalid_json_is_0(sandbox: Sandbox) -> None:
    response = requests.post(f"{sandbox.url}/track", data={"data": "%%%"}, params={"verbose": 1}, timeout=10)
    assert response.json() == {"status": 0, "error": "data must be JSON, or base64 of it"}
    assert post(sandbox).text == "0"


def test_one_valid_event_is_enough_for_a_1(sandbox: Sandbox) -> None:
    assert post(sandbox, event(token=None), event(), verbose=1).json() == {"status": 1, "error": None}
    assert sandbox.count() == 1


def test_an_unknown_token_is_a_1_and_stores_nothing(sandbox: Sandbox) -> None:
    assert post(sandbox, event(token="anonymous's")).text == "1"
    assert sandbox.count() == 0


def test_events_go_to_the_project_of_their_token(sandbox: Sandbox) -> None:
    sandbox.reset([Project(1), Project(2)])
    post(sandbox, event(token="sandbox-token-2"), event(token="sandbox-token-1"), event(token="sandbox-token-2"))
    assert [sandbox.count(project_id) for project_id in (1, 2)] == [1, 2]


@pytest.mark.parametrize(("age", "kept"), [(timedelta(days=5), 1), (timedelta(days=5, seconds=1), 0)])
def test_events_older_than_five_days_are_dropped_with_a_1(sandbox: Sandbox, age: timedelta, kept: int) -> None:
    assert post(sandbox, event(time=int((NOW - age).timestamp()))).text == "1"
    assert sandbox.count() == kept


def test_a_time_in_the_future_becomes_now(sandbox: Sandbox, export: HttpCall) -> None:
    post(sandbox, event(time=int(NOW.timestamp()) + 86_400))
    assert stored(export)[0]["time"] == int(NOW.timestamp())


def test_img_answers_a_pixel_and_callback_a_script(sandbox: Sandbox) -> None:
    pixel = post(sandbox, event(), img=1)
    assert pixel.headers["Content-Type"] == "image/gif"
    assert pixel.content.startswith(b"GIF89a")
    script = post(sandbox, event(), callback="done")
    assert (script.headers["Content-Type"].split(";")[0], script.text) == ("text/javascript", "done(1);")
    assert post(sandbox, event(), callback="done", verbose=1).text == 'done({"status":1,"error":null});'
    assert post(sandbox, event(), callback="alert(1)//").text == "1"


def test_with_ip_1_the_address_becomes_the_id_of_an_event_without_ids(sandbox: Sandbox, export: HttpCall) -> None:
    anonymous = {"event": "Click", "properties": {"token": "sandbox-token-12345"}}
    post(sandbox, anonymous)
    post(sandbox, anonymous, ip=1)
    post(sandbox, anonymous, ip=1)
    first, second, third = (properties["distinct_id"] for properties in stored(export))
    assert first == ""
    assert second == third != ""
