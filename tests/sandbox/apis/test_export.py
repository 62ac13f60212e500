"""`GET /export` as documented. Source: mixpanel-api.md#export."""

import json
from datetime import UTC, date, datetime

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ..http_calls import HttpCall, exported_events, exported_line

DAY_MS = 86_400_000
JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC


@pytest.mark.parametrize(
    "sent",
    [
        '{"event":"Login","properties":{"time":1704067200,"distinct_id":"u1","note":"A Coruña \u2028 東京"}}',
        '{"event": "Log in" , "properties": { "n": 1.0e5, "time" : 1704067200 , "x": {"time": 5}, "n": 2 } }',
        r'{"event":"a\"b","properties":{"a":"\"time\":7","\u0074ype":"\ud83d\ude00","time":1704067200}}',
        '{"event":"Login","properties":{"nested":{"time":1},"list":[{"time":2}],"time":1704067200,"after":null}}',
        '{"event":"Login","time":9,"properties":{"big":123456789012345678901234567890,"time":1704067200}}',
    ],
)
def test_a_loaded_line_is_exported_byte_for_byte(sandbox: Sandbox, export: HttpCall, sent: str) -> None:
    sandbox.load([sent.encode()])
    assert export().content == sent.encode() + b"\n"
    expected = sent.replace("1704067200", "1704067200000")
    assert export(time_in_ms="true").content == expected.encode() + b"\n"


def test_time_is_in_seconds_unless_milliseconds_are_asked_for(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(time=JAN_1 * 1000 + 123)])
    assert exported_events(export())[0]["properties"]["time"] == JAN_1
    assert exported_events(export(time_in_ms="true"))[0]["properties"]["time"] == JAN_1 * 1000 + 123


def test_both_days_are_inclusive_and_cut_in_utc(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.reset([Project(timezone="Asia/Tokyo")])
    before, first, last, after = JAN_1 - 1, JAN_1, JAN_1 + 3 * 86_400 - 1, JAN_1 + 3 * 86_400
    sandbox.load([exported_line(time=time) for time in (before, first, last, after)])
    assert [event["properties"]["time"] for event in exported_events(export())] == [first, last]


def test_days_of_a_project_created_before_2023_are_those_of_its_shifted_times(
    sandbox: Sandbox, export: HttpCall
) -> None:
    sandbox.reset([Project(timezone="America/New_York", created_before_2023=True)])
    sandbox.load([exported_line(time=JAN_1), exported_line(time=JAN_1 - 1)])
    assert [event["properties"]["time"] for event in exported_events(export())] == [JAN_1]


def test_every_ingested_copy_is_exported(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(insert_id="a")] * 3)
    assert len(exported_events(export())) == 3


def test_only_the_events_named_in_a_json_array_are_exported(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line("Login"), exported_line("Añadir"), exported_line("Logout")])
    names = [event["event"] for event in exported_events(export(event=json.dumps(["Añadir", "Logout"])))]
    assert names == ["Añadir", "Logout"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('properties["plan"] == "pro"', ["a", "b", "b"]),
        ('properties["plan"] == "pro" AND number(properties["mp_processing_time_ms"]) < 5', ["a"]),
        ('any(X, properties["groups"], X="g1") or string(properties["groups"], "none") == "g1"', ["c", "d"]),
        ('event["$time"] >= datetime("2024-01-02T00:00:00")', ["d"]),
        ('properties["$time"] >= datetime(1704153600)', ["d"]),
        ('not defined(properties["plan"])', ["c", "d"]),
        ('user["tier"] == "gold"', []),
    ],
)
def test_where_keeps_the_copies_that_satisfy_it(
    sandbox: Sandbox, export: HttpCall, where: str, expected: list[str]
) -> None:
    sandbox.load(
        [exported_line(insert_id="a", plan="pro", mp_processing_time_ms=1), exported_line(insert_id="b", plan="pro")]
    )
    sandbox.load([exported_line(insert_id="b", plan="pro"), exported_line(insert_id="c", groups=["g1", "g2"])])
    sandbox.load([exported_line(insert_id="d", time=JAN_1 + 86_400, groups="g1")])
    assert [event["properties"]["$insert_id"] for event in exported_events(export(where=where))] == expected


def test_where_goes_with_events_limit_and_milliseconds(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load(
        exported_line(name, n=number, insert_id=str(number)) for number in range(5) for name in ("Login", "Pay")
    )
    found = exported_events(export(event='["Pay"]', where='properties["n"] > 1', limit=2, time_in_ms="true"))
    assert [(event["event"], event["properties"]["n"]) for event in found] == [("Pay", 2), ("Pay", 3)]
    assert found[0]["properties"]["time"] == JAN_1 * 1000


def test_a_filter_with_a_string_instead_of_a_condition_is_400(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(flag=True), exported_line(flag="yes")])
    response = export(where='properties["flag"] and true')
    assert (response.status_code, response.text) == (
        400,
        "error evaluating where: 'and' expects conditions, not the value 'yes'",
    )


def test_limit_cuts_the_export_without_an_error(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(insert_id=str(number)) for number in range(10)])
    assert len(exported_events(export(limit=4))) == 4


def test_events_of_other_projects_are_not_exported(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.reset([Project(1), Project(2)])
    sandbox.load([exported_line("One")], project_id=1)
    sandbox.load([exported_line("Two")], project_id=2)
    assert [event["event"] for event in exported_events(export(project_id=2))] == ["Two"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"from_date": None}, "from_date is a required parameter"),
        ({"to_date": "2024-1-3"}, "to_date must be a date in the form yyyy-mm-dd, not '2024-1-3'"),
        ({"to_date": "20240103"}, "to_date must be a date in the form yyyy-mm-dd, not '20240103'"),
        ({"from_date": "2024-01-04"}, "from_date 2024-01-04 must not be later than to_date 2024-01-03"),
        ({"to_date": "2024-04-10"}, "date range of 101 days exceeds the maximum of 100 days"),
        ({"limit": 100_001}, "limit cannot be over 100000, not 100001"),
        ({"limit": "many"}, "limit must be an integer, not 'many'"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"event": "Login"}, "event must be a JSON array of strings, not 'Login'"),
        (
            {"where": 'properties["a"] =='},
            'error parsing where: the expression ends too early at position 19: properties["a"] ==>>> '
            "(complete it, or close what was opened)",
        ),
    ],
)
def test_a_wrong_parameter_is_answered_with_400_in_plain_text(
    sandbox: Sandbox, export: HttpCall, parameters: dict[str, object], text: str
) -> None:
    response = export(**parameters)
    assert (response.status_code, response.text) == (400, text)
    assert response.headers["Content-Type"].startswith("text/plain")


def test_a_hundred_days_are_not_too_many(export: HttpCall) -> None:
    assert export(to_date="2024-04-09").status_code == 200


def test_today_is_that_of_project_time(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.reset([Project(1, timezone="America/Los_Angeles"), Project(2, timezone="Asia/Tokyo")])
    sandbox.clock.set(datetime(2024, 1, 2, 20, 0, tzinfo=UTC))  # Tokyo has the 3rd already
    assert export(project_id=2).status_code == 200
    late = export(project_id=1)
    assert (late.status_code, late.text) == (400, "to_date cannot be later than today")
    assert export(project_id=1, to_date="2024-01-02").status_code == 200


def test_gzip_is_for_clients_that_accept_it_and_bodies_over_1400_bytes(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(note="x" * 1200)])
    assert "Content-Encoding" not in export({"Accept-Encoding": "gzip"}).headers
    sandbox.load([exported_line(note="x" * 200)])
    response = export({"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(exported_events(response)) == 2
    assert "Content-Encoding" not in export({"Accept-Encoding": "identity"}).headers


def test_the_body_is_plain_text_and_empty_when_nothing_happened(export: HttpCall) -> None:
    response = export()
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Type"].startswith("text/plain")


def test_a_trailing_slash_is_not_a_redirect(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line()])
    url = export().url.replace("/export?", "/export/?")
    response = requests.get(url, auth=sandbox.projects[0].account[:2], allow_redirects=False, timeout=10)
    assert len(exported_events(response)) == 1


def test_an_unknown_path_is_404_and_a_wrong_method_405(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/api/2.0/exports", timeout=10).status_code == 404
    assert requests.post(f"{sandbox.url}/api/2.0/export", timeout=10).status_code == 405


def test_an_export_of_many_events_is_complete_and_equal_with_gzip_and_without(
    sandbox: Sandbox, export: HttpCall
) -> None:
    sandbox.generate(20_000, date(2024, 1, 1), date(2024, 1, 3))
    plain = export({"Accept-Encoding": "identity"}, time_in_ms="true").content
    assert plain.count(b"\n") == 20_000
    assert export({"Accept-Encoding": "gzip"}, time_in_ms="true").content == plain


def test_requests_are_logged_without_secrets(sandbox: Sandbox, export: HttpCall) -> None:
    export(token="hush", limit=7)
    (seen,) = sandbox.requests
    assert (seen.method, seen.path, seen.status) == ("GET", "/api/2.0/export", 200)
    assert seen.params["limit"] == "7"
    assert seen.params["token"] == "***"
    assert sandbox.projects[0].account.secret not in repr(seen)
