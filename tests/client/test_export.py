"""`Mixpanel.export`: requests, checks before sending, replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from mixpanel_etl.client import InvalidRequest, Mixpanel

from .scripted import NOW, Answer, FakeClock, ScriptedServer, gzipped

LINES = b'{"event":"Sign up","properties":{"time":1768003200000}}\n' * 50
DAY = date(2026, 3, 1)


def test_export_asks_for_the_window_of_the_project_in_milliseconds_and_gzip(
    mixpanel: Mixpanel, server: ScriptedServer
) -> None:
    with mixpanel.export(date(2026, 3, 1), date(2026, 3, 3)) as stream:
        list(stream)
    (request,) = server.seen
    assert (request.method, request.path) == ("GET", "/api/2.0/export")
    assert request.query == {
        "project_id": ["12345"],
        "from_date": ["2026-03-01"],
        "to_date": ["2026-03-03"],
        "time_in_ms": ["true"],
    }
    assert request.headers["Accept-Encoding"] == "gzip"


def test_export_sends_event_names_as_a_json_array(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    with mixpanel.export(DAY, DAY, events=["Größe", 'a "b"'], where='properties["x"] > 1', limit=100_000):
        pass
    query = server.seen[0].query
    assert json.loads(query["event"][0]) == ["Größe", 'a "b"']
    assert query["where"] == ['properties["x"] > 1']
    assert query["limit"] == ["100000"]


def test_export_hands_out_decompressed_bytes_and_counts_those_of_the_wire(
    mixpanel: Mixpanel, server: ScriptedServer
) -> None:
    answer = gzipped(LINES)
    server.answers(answer)
    with mixpanel.export(DAY, DAY) as stream:
        assert b"".join(stream) == LINES
        assert stream.wire_bytes == len(answer.body or b"")


def test_a_small_export_comes_plain_and_is_taken_as_it_is(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(body=LINES[:57]))
    with mixpanel.export(DAY, DAY) as stream:
        assert b"".join(stream) == LINES[:57]


def test_requested_at_is_the_time_at_which_the_successful_attempt_was_sent(
    mixpanel: Mixpanel, server: ScriptedServer, clock: FakeClock
) -> None:
    server.answers(Answer(503), Answer())
    with mixpanel.export(DAY, DAY) as stream:
        assert stream.requested_at == clock.now()
        assert stream.requested_at > NOW


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"from_date": "1 March 2026"}, "a string like '2026-01-31'"),
        ({"from_date": "2026-03-02"}, "is after to_date"),
        ({"from_date": "2025-11-21"}, "are 101 days"),
        ({"to_date": datetime(2026, 3, 1, tzinfo=UTC)}, "datetime.date"),
        ({"from_date": date(2026, 3, 2)}, "is after to_date"),
        ({"from_date": date(2025, 11, 21)}, "are 101 days"),
        ({"to_date": date(2026, 3, 16)}, "in the future"),
        ({"events": []}, "at least one"),
        ({"events": ["Sign up", ""]}, "empty"),
        ({"events": "Sign up"}, "list of event names"),
        ({"events": [1]}, "list of event names"),
        ({"where": "  "}, "expression"),
        ({"limit": 0}, "1 to 100000"),
        ({"limit": 100_001}, "1 to 100000"),
        ({"limit": True}, "1 to 100000"),
    ],
)
def test_a_parameter_that_cannot_work_is_rejected_before_anything_is_sent(
    mixpanel: Mixpanel, server: ScriptedServer, parameters: dict[str, Any], says: str
) -> None:
    with (
        pytest.raises(InvalidRequest, match=says),
        mixpanel.export(**{"from_date": DAY, "to_date": DAY, **parameters}),
    ):
        pass
    assert server.seen == []


def test_days_may_be_strings(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(Answer(), Answer(body=b'{"data": {"series": [], "values": {}}, "legend_size": 0}'))
    with mixpanel.export("2026-02-01", "2026-03-01"):
        pass
    mixpanel.query.segmentation("Sign up", "2026-02-01", DAY)
    assert [(seen.query["from_date"], seen.query["to_date"]) for seen in server.seen] == [
        (["2026-02-01"], ["2026-03-01"])
    ] * 2


def test_one_hundred_days_are_allowed(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    with mixpanel.export(date(2025, 11, 22), DAY):
        pass
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("zone", "last_allowed"), [("Pacific/Kiritimati", date(2026, 3, 16)), ("Pacific/Honolulu", date(2026, 3, 15))]
)
def test_the_future_begins_tomorrow_in_the_projects_zone(
    make_mixpanel: Callable[..., Mixpanel], server: ScriptedServer, zone: str, last_allowed: date
) -> None:
    mixpanel = make_mixpanel(timezone=zone)
    with mixpanel.export(DAY, last_allowed):
        pass
    with (
        pytest.raises(InvalidRequest, match="future"),
        mixpanel.export(DAY, last_allowed.replace(day=last_allowed.day + 1)),
    ):
        pass
    assert len(server.seen) == 1
