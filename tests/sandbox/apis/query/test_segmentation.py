"""`GET /segmentation` and its numeric forms, against numbers worked out by hand.

Source: mixpanel-api.md#query-segmentation.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday
DAY, HOUR = 86_400, 3600
DATES = {"from_date": "2024-01-01", "to_date": "2024-01-03"}

# Purchases, by day and user; * is a duplicate:
#            Mon 1 Jan                      Tue 2 Jan              Wed 3 Jan
#   ann      shirt 10 (EU), shirt 20 (EU)*2  -                     hat 5 (EU)
#   bob      hat 30 (US)                     shirt 40 (US)         -
#   anonymous -                              hat "free" (no region)  -
PURCHASES = [
    exported_line("Buy", JAN_1 + HOUR, distinct_id="ann", insert_id="1", item="shirt", price=10, region="EU"),
    exported_line("Buy", JAN_1 + 2 * HOUR, distinct_id="ann", insert_id="2", item="shirt", price=20, region="EU"),
    exported_line("Buy", JAN_1 + 2 * HOUR, distinct_id="ann", insert_id="2", item="shirt", price=20, region="EU"),
    exported_line("Buy", JAN_1 + 2 * HOUR, distinct_id="bob", insert_id="3", item="hat", price=30, region="US"),
    exported_line("Buy", JAN_1 + DAY, distinct_id="bob", insert_id="4", item="shirt", price=40, region="US"),
    exported_line("Buy", JAN_1 + DAY, distinct_id="", insert_id="5", item="hat", price="free"),
    exported_line("Buy", JAN_1 + 2 * DAY, distinct_id="ann", insert_id="6", item="hat", price=5, region="EU"),
    exported_line("View", JAN_1, distinct_id="ann", insert_id="7", item="hat"),
    exported_line("Buy", JAN_1 + 3 * DAY, distinct_id="ann", insert_id="8", item="hat", price=1),
]


@pytest.fixture
def shop(sandbox: Sandbox) -> Sandbox:
    sandbox.load(PURCHASES)
    return sandbox


def asked(query: HttpCall, path: str = "/segmentation", **parameters: Any) -> Any:
    response = query(path, **{"event": "Buy", **DATES, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


def values(query: HttpCall, path: str = "/segmentation", **parameters: Any) -> Any:
    return asked(query, path, **parameters)["data"]["values"]


def test_without_a_segment_the_event_itself_is_counted_by_day(shop: Sandbox, query: HttpCall) -> None:
    assert asked(query) == {
        "data": {
            "series": ["2024-01-01", "2024-01-02", "2024-01-03"],
            "values": {"Buy": {"2024-01-01": 3, "2024-01-02": 2, "2024-01-03": 1}},
        },
        "legend_size": 1,
    }


def test_on_counts_each_value_and_undefined(shop: Sandbox, query: HttpCall) -> None:
    found = asked(query, on='properties["region"]')
    assert found["data"]["values"] == {
        "EU": {"2024-01-01": 2, "2024-01-03": 1},
        "US": {"2024-01-01": 1, "2024-01-02": 1},
        "undefined": {"2024-01-02": 1},
    }
    assert found["legend_size"] == 3


def test_on_may_be_any_expression(shop: Sandbox, query: HttpCall) -> None:
    # > 15: 20, 30 | 40 | -;  not: 10 | - | 5;  "free" is not a number
    assert values(query, on='properties["price"] > 15') == {
        "true": {"2024-01-01": 2, "2024-01-02": 1},
        "false": {"2024-01-01": 1, "2024-01-03": 1},
        "undefined": {"2024-01-02": 1},
    }


def test_where_filters_events(shop: Sandbox, query: HttpCall) -> None:
    assert values(query, where='properties["item"] == "shirt" and not properties["region"] == "US"') == {
        "Buy": {"2024-01-01": 2}
    }


def test_unique_counts_users_and_average_events_per_user(shop: Sandbox, query: HttpCall) -> None:
    # users: ann and bob | bob (events without id have no user) | ann
    assert values(query, type="unique") == {"Buy": {"2024-01-01": 2, "2024-01-02": 1, "2024-01-03": 1}}
    # events per user: 3/2 | 2/1 | 1/1
    assert values(query, type="average") == {"Buy": {"2024-01-01": 1.5, "2024-01-02": 2.0, "2024-01-03": 1.0}}
    # hat: bob | without id, a date without user | ann;  shirt: ann | bob
    assert values(query, type="unique", on='properties["item"]') == {
        "hat": {"2024-01-01": 1, "2024-01-02": 0, "2024-01-03": 1},
        "shirt": {"2024-01-01": 1, "2024-01-02": 1},
    }


def test_limit_keeps_the_largest_segments(shop: Sandbox, query: HttpCall) -> None:
    assert list(values(query, on='properties["region"]', limit=2)) == ["EU", "US"]
    assert list(values(query, limit=1)) == ["Buy"]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("hour", {"2024-01-01 01:00:00": 1, "2024-01-01 02:00:00": 2}),
        ("minute", {"2024-01-01 01:00:00": 1, "2024-01-01 02:00:00": 2}),
        ("week", {"2024-01-01": 3}),
        ("month", {"2024-01-01": 3}),
    ],
)
def test_units(shop: Sandbox, query: HttpCall, unit: str, expected: dict[str, int]) -> None:
    assert values(query, unit=unit, to_date="2024-01-01") == {"Buy": expected}


def test_interval_makes_blocks_of_days_for_users(shop: Sandbox, query: HttpCall) -> None:
    found = asked(query, type="unique", interval=2)["data"]
    assert found == {"series": ["2024-01-01", "2024-01-03"], "values": {"Buy": {"2024-01-01": 2, "2024-01-03": 1}}}


def test_days_are_of_project_time(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(timezone="Asia/Tokyo")])
    midnight = int(datetime(2024, 1, 2, tzinfo=ZoneInfo("Asia/Tokyo")).timestamp())
    sandbox.load([exported_line("Buy", midnight - 1, insert_id="a"), exported_line("Buy", midnight, insert_id="b")])
    assert values(query) == {"Buy": {"2024-01-01": 1, "2024-01-02": 1}}
    assert values(query, where='event["$time"] >= datetime("2024-01-02T00:00:00")') == {"Buy": {"2024-01-02": 1}}


def test_the_newest_copy_of_a_duplicate_is_the_one_that_is_seen(sandbox: Sandbox, query: HttpCall) -> None:
    copies = [
        exported_line("Buy", insert_id="a", item=item, mp_processing_time_ms=at)
        for item, at in (("new", 2), ("old", 1))
    ]
    sandbox.load(copies)
    assert values(query, on='properties["item"]') == {"new": {"2024-01-01": 1}}


def test_numbers_fall_into_ranges(shop: Sandbox, query: HttpCall) -> None:
    # Prices 5, 10, 20, 30, 40; four ranges of 10 would not do (0..50 are five), so they are 20 wide.
    found = asked(query, "/segmentation/numeric", on='properties["price"]', buckets=4)
    assert found["data"]["values"] == {
        "0 - 20": {"2024-01-01": 1, "2024-01-03": 1},
        "20 - 40": {"2024-01-01": 2},
        "40 - 60": {"2024-01-02": 1},
    }
    assert found["legend_size"] == 3
    assert list(values(query, "/segmentation/numeric", on='properties["price"]', buckets=5)) == [
        "0 - 10", "10 - 20", "20 - 30", "30 - 40", "40 - 50",
    ]  # fmt: skip


def test_ranges_are_written_with_thousands_or_decimals(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.load([exported_line("Buy", insert_id=str(n), big=2000 + 100 * n, small=n / 10, same=7) for n in range(5)])
    assert next(iter(values(query, "/segmentation/numeric", on='properties["big"]', buckets=5))) == "2,000 - 2,100"
    small = values(query, "/segmentation/numeric", on='properties["small"]', buckets=5)
    assert list(small) == ["0 - 0.1", "0.1 - 0.2", "0.2 - 0.3", "0.3 - 0.4", "0.4 - 0.5"]
    negative = values(query, "/segmentation/numeric", on='-properties["big"]', buckets=5)
    assert list(negative)[:2] == ["-2,400 - -2,300", "-2,300 - -2,200"]
    assert values(query, "/segmentation/numeric", on='properties["same"]') == {"7 - 8": {"2024-01-01": 5}}
    assert values(query, "/segmentation/numeric", on='properties["nothing"]') == {}


def test_sum_and_average_count_non_numeric_values_as_zero(shop: Sandbox, query: HttpCall) -> None:
    shop.clock.set(datetime(2024, 1, 5, tzinfo=UTC), frozen=True)
    # 10 + 20 + 30 | 40 + "free" | 5 | nothing on the day after the last
    assert asked(query, "/segmentation/sum", on='properties["price"]', to_date="2024-01-03") == {
        "status": "ok",
        "computed_at": "2024-01-05T00:00:00+00:00",
        "results": {"2024-01-01": 60, "2024-01-02": 40, "2024-01-03": 5},
    }
    assert asked(query, "/segmentation/average", on='properties["price"]', from_date="2023-12-31") == {
        "status": "ok",
        "results": {"2024-01-01": 20, "2024-01-02": 20, "2024-01-03": 5},
    }
    assert asked(query, "/segmentation/sum", on='properties["price"] * 2', where='properties["item"] == "hat"')[
        "results"
    ] == {"2024-01-01": 60, "2024-01-02": 0, "2024-01-03": 10}


@pytest.mark.parametrize(
    ("path", "parameters", "text"),
    [
        ("", {"event": None}, "event is a required parameter"),
        ("", {"type": "total"}, "type must be one of general, unique, average, not 'total'"),
        ("", {"unit": "year"}, "unit must be one of minute, hour, day, week, month, not 'year'"),
        ("", {"unit": "hour", "type": "unique"}, "type unique is not available for unit hour"),
        ("", {"interval": 2}, "interval takes the place of unit when type is unique or average"),
        ("", {"on": "true", "limit": 10_001}, "limit cannot be over 10000, not 10001"),
        ("", {"on": "$browser"}, "error parsing on: unexpected '$' at position 1: >>>$browser"),
        ("", {"where": "1 +"}, "error parsing where: the expression ends too early at position 4: 1 +>>>"),
        ("", {"where": 'properties["item"] or true'}, "error evaluating expression: 'or' expects conditions"),
        ("/numeric", {}, "on is a required parameter"),
        ("/sum", {}, "on is a required parameter"),
        ("/average", {}, "on is a required parameter"),
    ],
)
def test_a_wrong_parameter_is_named(
    shop: Sandbox, query: HttpCall, path: str, parameters: dict[str, object], text: str
) -> None:
    response = query(f"/segmentation{path}", **{"event": "Buy", **DATES, **parameters})
    assert response.status_code == 400
    assert response.json()["error"].startswith(text)
