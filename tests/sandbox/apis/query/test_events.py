"""`/events/top`, `/events/properties` and below. Source: mixpanel-api.md#query-events."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC
DAY, HOUR = 86_400, 3600
BUY = {"event": "Buy", "name": "item", "type": "general", "unit": "day"}
DATES = {"from_date": "2024-01-01", "to_date": "2024-01-02"}


@pytest.fixture
def shop(sandbox: Sandbox) -> Sandbox:
    """Buys: on 1 January a hat (ann, bob), a shirt (ann); on 2 January 5 (ann), nothing (bob); it is the 2nd, noon."""
    sandbox.clock.set(datetime(2024, 1, 2, 12, tzinfo=UTC), frozen=True)
    sandbox.load(
        [
            exported_line("Buy", JAN_1, distinct_id="ann", insert_id="1", item="hat"),
            exported_line("Buy", JAN_1, distinct_id="ann", insert_id="1", item="hat"),
            exported_line("Buy", JAN_1, distinct_id="bob", insert_id="2", item="hat", gift=True),
            exported_line("Buy", JAN_1 + HOUR, distinct_id="ann", insert_id="3", item="shirt"),
            exported_line("Buy", JAN_1 + DAY, distinct_id="ann", insert_id="4", item=5),
            exported_line("Buy", JAN_1 + DAY, distinct_id="bob", insert_id="5"),
            exported_line("View", JAN_1 + DAY, distinct_id="bob", insert_id="6", item="sock"),
        ]
    )
    return sandbox


def asked(query: HttpCall, path: str, **parameters: Any) -> Any:
    response = query(path, **parameters)
    assert response.status_code == 200, response.text
    return response.json()


def test_top_events_are_of_today_and_compared_with_the_same_part_of_yesterday(shop: Sandbox, query: HttpCall) -> None:
    # Half the day is over. Buy: 2 today, 3 yesterday, of which 1.5 were to be expected: up a third. View is new.
    reply = asked(query, "/events/top", type="general")
    assert reply["type"] == "general"
    assert reply["events"] == [
        {"amount": 2, "event": "Buy", "percent_change": pytest.approx(1 / 3)},
        {"amount": 1, "event": "View", "percent_change": 1.0},
    ]
    assert [event["event"] for event in asked(query, "/events/top", type="unique", limit=1)["events"]] == ["Buy"]


def test_top_events_need_a_type(query: HttpCall) -> None:
    assert query("/events/top").status_code == 400


def test_today_is_that_of_project_time(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(timezone="Asia/Tokyo")])
    sandbox.clock.set(datetime(2024, 1, 1, 20, tzinfo=UTC), frozen=True)  # the 2nd, 5:00 in Tokyo
    sandbox.load([exported_line("Late", JAN_1 + 16 * HOUR), exported_line("Early", JAN_1 + 14 * HOUR)])
    assert [event["event"] for event in asked(query, "/events/top", type="general")["events"]] == ["Late"]


def test_property_counts_are_by_value_and_day(shop: Sandbox, query: HttpCall) -> None:
    assert asked(query, "/events/properties", **BUY, **DATES) == {
        "data": {
            "series": ["2024-01-01", "2024-01-02"],
            "values": {"hat": {"2024-01-01": 2}, "5": {"2024-01-02": 1}, "shirt": {"2024-01-01": 1}},
        },
        "legend_size": 3,
    }


def test_property_counts_can_be_of_some_values_and_of_the_most_common(shop: Sandbox, query: HttpCall) -> None:
    some = asked(query, "/events/properties", **BUY, **DATES, values=json.dumps(["shirt", "5", "boot"]))
    assert list(some["data"]["values"]) == ["5", "shirt"]
    assert list(asked(query, "/events/properties", **BUY, **DATES, limit=1)["data"]["values"]) == ["hat"]


def test_property_counts_take_interval_for_dates_and_count_users(shop: Sandbox, query: HttpCall) -> None:
    data = asked(query, "/events/properties", **{**BUY, "type": "unique", "interval": 1})["data"]
    assert data == {"series": ["2024-01-02"], "values": {"5": {"2024-01-02": 1}}}


def test_top_properties_are_counted_and_ten_unless_asked(shop: Sandbox, query: HttpCall) -> None:
    assert asked(query, "/events/properties/top", event="Buy") == {
        "$insert_id": {"count": 5},
        "item": {"count": 4},
        "gift": {"count": 1},
    }
    shop.load([exported_line("Wide", JAN_1 + DAY, **{f"p{number:02}": 1 for number in range(20)})])
    assert len(asked(query, "/events/properties/top", event="Wide")) == 10
    assert len(asked(query, "/events/properties/top", event="Wide", limit=15)) == 15


def test_property_values_are_strings_and_the_most_common_come_first(shop: Sandbox, query: HttpCall) -> None:
    assert asked(query, "/events/properties/values", event="Buy", name="item") == ["hat", "5", "shirt"]
    assert asked(query, "/events/properties/values", event="Buy", name="item", limit=1) == ["hat"]
    assert asked(query, "/events/properties/values", event="Buy", name="size") == []


def test_properties_are_of_the_last_31_days_unless_dates_are_given(shop: Sandbox, query: HttpCall) -> None:
    shop.clock.set(datetime(2024, 2, 1, tzinfo=UTC), frozen=True)
    assert asked(query, "/events/properties/values", event="Buy", name="item") == ["5"]
    assert asked(query, "/events/properties/top", event="Buy", **DATES)["item"] == {"count": 4}


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        *[("/events/properties", name) for name in ("event", "name", "type", "unit", "from_date")],
        ("/events/properties/top", "event"),
        *[("/events/properties/values", name) for name in ("event", "name")],
    ],
)
def test_a_missing_parameter_is_named(query: HttpCall, path: str, missing: str) -> None:
    response = query(path, **{**BUY, **DATES, missing: None})
    assert (response.status_code, response.json()["error"]) == (400, f"{missing} is a required parameter")
