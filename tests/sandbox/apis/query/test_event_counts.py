"""`GET /events` and `/events/names`. Source: mixpanel-api.md#project-time, #deduplication, #query, #query-events."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC


def counted(query: HttpCall, *events: str, **parameters: Any) -> Any:
    defaults = {"from_date": "2024-01-01", "to_date": "2024-01-03", "type": "general", "unit": "day"}
    response = query("/events", event=json.dumps(events or ["Login"]), **{**defaults, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


def seconds(zone: str, *timestamp: int) -> int:
    return int(datetime(*timestamp, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type, misc]


def test_counts_are_per_event_and_day_and_list_all_days(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.load(
        [exported_line("Login", JAN_1, insert_id="a"), exported_line("Login", JAN_1 + 2 * 86_400, insert_id="b")]
    )
    sandbox.load([exported_line("Pay", JAN_1, insert_id="c"), exported_line("Other", JAN_1)])
    assert counted(query, "Login", "Pay", "Never") == {
        "data": {
            "series": ["2024-01-01", "2024-01-02", "2024-01-03"],
            "values": {"Login": {"2024-01-01": 1, "2024-01-03": 1}, "Pay": {"2024-01-01": 1}, "Never": {}},
        },
        "legend_size": 3,
    }


def test_days_are_of_project_time_and_23_hours_long_when_clocks_go_forward(sandbox: Sandbox, query: HttpCall) -> None:
    zone = "America/New_York"
    sandbox.reset([Project(timezone=zone)])
    times = [(2024, 3, 9, 23, 59), (2024, 3, 10), (2024, 3, 10, 23, 59), (2024, 3, 11)]
    sandbox.load([exported_line(time=seconds(zone, *time), insert_id=str(time)) for time in times])
    values = counted(query, from_date="2024-03-09", to_date="2024-03-11")["data"]["values"]["Login"]
    assert values == {"2024-03-09": 1, "2024-03-10": 2, "2024-03-11": 1}


def test_times_of_a_project_created_before_2023_are_in_project_time_already(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(timezone="America/New_York", created_before_2023=True)])
    sandbox.load([exported_line(time=JAN_1)])
    assert counted(query)["data"]["values"]["Login"] == {"2024-01-01": 1}


def test_a_duplicate_counts_once_and_a_row_without_insert_id_always(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.load([exported_line(insert_id="a", note=note) for note in "xyz"])
    sandbox.load(
        [
            exported_line(insert_id="a", distinct_id="u2"),
            exported_line(time=JAN_1 + 1, insert_id="a"),
            exported_line(insert_id="b"),
        ]
    )
    sandbox.load([exported_line(), exported_line()])
    assert counted(query)["data"]["values"]["Login"] == {"2024-01-01": 1 + 3 + 2}


def test_unique_counts_users_and_average_events_per_user(sandbox: Sandbox, query: HttpCall) -> None:
    users = ["u1", "u1", "u2", ""]
    sandbox.load([exported_line(distinct_id=user, insert_id=str(number)) for number, user in enumerate(users)])
    assert counted(query, type="unique")["data"]["values"]["Login"] == {"2024-01-01": 2}
    assert counted(query, type="average")["data"]["values"]["Login"] == {"2024-01-01": 2.0}


@pytest.mark.parametrize(
    ("unit", "series", "values"),
    [
        ("hour", ["2024-01-01 00:00:00", "2024-01-01 01:00:00"], {"2024-01-01 01:00:00": 2}),
        ("minute", ["2024-01-01 00:00:00", "2024-01-01 00:01:00"], {"2024-01-01 01:01:00": 2}),
        ("week", ["2024-01-01"], {"2024-01-01": 2}),
        ("month", ["2024-01-01"], {"2024-01-01": 2}),
    ],
)
def test_units_have_their_labels(
    sandbox: Sandbox, query: HttpCall, unit: str, series: list[str], values: dict[str, int]
) -> None:
    sandbox.load([exported_line(time=JAN_1 + 3660 + number, insert_id=str(number)) for number in range(2)])
    data = counted(query, unit=unit, to_date="2024-01-01")["data"]
    assert data["series"][:2] == series
    assert data["values"]["Login"] == values


def test_interval_stands_for_dates_and_ends_today(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.clock.set(datetime(2024, 1, 3, 12, tzinfo=UTC))
    data = counted(query, unit="day", interval=2, from_date=None, to_date=None)["data"]
    assert data["series"] == ["2024-01-02", "2024-01-03"]
    data = counted(query, unit="month", interval=3, from_date=None, to_date=None)["data"]
    assert data["series"] == ["2023-11-01", "2023-12-01", "2024-01-01"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"type": None}, "type is a required parameter"),
        ({"type": "total"}, "type must be one of general, unique, average, not 'total'"),
        ({"unit": "year"}, "unit must be one of minute, hour, day, week, month, not 'year'"),
        ({"event": None}, "event is a required parameter"),
        ({"event": "Login"}, "event must be a JSON array of strings, not 'Login'"),
        ({"from_date": None}, "from_date is a required parameter"),
        ({"to_date": "2023-12-31"}, "from_date 2024-01-01 must not be later than to_date 2023-12-31"),
        ({"type": "unique", "unit": "hour"}, "type unique is not available for unit hour"),
        ({"interval": 3}, "specify either interval or from_date and to_date"),
        ({"format": "csv"}, "format must be json: the sandbox has no other"),
        ({"where": "true"}, "where is not a parameter of this endpoint"),
    ],
)
def test_a_wrong_parameter_is_named(query: HttpCall, parameters: dict[str, object], text: str) -> None:
    good = {"event": "[]", "from_date": "2024-01-01", "to_date": "2024-01-03", "type": "general", "unit": "day"}
    response = query("/events", **{**good, **parameters})
    assert (response.status_code, response.json()["error"]) == (400, text)
    assert response.json()["request"].startswith("/api/query/events?")


def test_names_are_those_of_the_last_31_days_most_common_first(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.clock.set(datetime(2024, 1, 31, 12, tzinfo=UTC))
    sandbox.load([exported_line("Rare", JAN_1), exported_line("Old", JAN_1 - 1), *[exported_line("Common", JAN_1)] * 2])
    assert query("/events/names", type="general").json() == ["Common", "Rare"]
    assert query("/events/names", type="general", limit=1).json() == ["Common"]
    dates = {"from_date": "2023-12-31", "to_date": "2023-12-31"}
    assert query("/events/names", type="general", **dates).json() == ["Old"]


def test_names_number_255_unless_asked_and_never_more_than_5000(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.load(exported_line(f"event {number}") for number in range(5001))
    dates = {"from_date": "2024-01-01", "to_date": "2024-01-01", "type": "general"}
    assert len(query("/events/names", **dates).json()) == 255
    assert len(query("/events/names", **dates, limit=9999).json()) == 5000


def test_names_do_not_go_back_before_2000(query: HttpCall) -> None:
    response = query("/events/names", type="general", from_date="1999-12-31", to_date="2000-01-01")
    assert response.status_code == 400


def test_the_old_prefix_answers_too(sandbox: Sandbox) -> None:
    for path in ("/api/2.0/events/names", "/api/query/events/names/"):
        response = requests.get(
            sandbox.url + path,
            params={"project_id": "12345", "type": "general"},
            auth=sandbox.projects[0].account[:2],
            allow_redirects=False,
            timeout=10,
        )
        assert (response.status_code, response.json()) == (200, [])


def test_a_free_plan_has_no_query_api_but_an_export(sandbox: Sandbox, query: HttpCall, export: HttpCall) -> None:
    sandbox.reset([Project(plan="free")])
    assert query("/events/names", type="general").status_code == 402
    assert export().status_code == 200


def test_a_query_beyond_the_history_of_the_plan_is_forbidden(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(max_history_days=90)])
    sandbox.clock.set(datetime(2024, 4, 1, tzinfo=UTC))
    dates = {"event": "[]", "to_date": "2024-01-10", "type": "general", "unit": "day"}
    assert query("/events", from_date="2024-01-02", **dates).status_code == 200
    rejected = query("/events", from_date="2024-01-01", **dates)
    assert (rejected.status_code, rejected.json()["error"]) == (403, "Date range exceeds 90 days into the past")
