"""`GET /funnels`, against a data set worked out by hand. Source: mixpanel-api.md#query-funnels."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mixpanel_etl.sandbox import Funnel, FunnelStep, Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday
HOUR, DAY = 3600, 86_400
SIGNUP = Funnel(7509, "Signup", ["Visit", "Sign up", "Pay"], length=2)
DATES = {"from_date": "2024-01-01", "to_date": "2024-01-02"}

# V visit, S sign up, P pay; hours after midnight of 1 January. The funnel is V > S > P within 48 hours.
#        hours           way through the funnel
#   ann  V0 S2 P10       1 Jan: V, S after 2 h, P after 8 h more (10 h from the start)
#   bob  V1 P2 S5        1 Jan: V, S after 4 h; that P came before S
#   cem  V3 V30 S52      1 Jan: V only, for S comes 49 h later; 2 Jan (enters again at 30): V, S after 22 h
#   dot  S4 V28 S29 P77  2 Jan: V, S after 1 h; P is 49 h after V
#   eve  V40 S41 P72     2 Jan: V, S after 1 h, P after 31 h more (32 h from the start), on 4 January
#   fay  V50             3 Jan: not asked for
#   no id  V1 S2         no user
# By date:
#   1 Jan  V 3 (ann bob cem)   S 2 of 3, after (2 + 4) / 2 = 3 h         P 1 of 2, after 8 h, 10 h from the start
#   2 Jan  V 3 (cem dot eve)   S 3 of 3, after (22 + 1 + 1) / 3 = 8 h    P 1 of 3, after 31 h, 32 h from the start
STEPS = {
    "ann": "V0 S2 P10",
    "bob": "V1 P2 S5",
    "cem": "V3 V30 S52",
    "dot": "S4 V28 S29 P77",
    "eve": "V40 S41 P72",
    "fay": "V50",
    "": "V1 S2",
}
NAMES = {"V": "Visit", "S": "Sign up", "P": "Pay"}
# ann and dot visit from a phone; signing up and paying say nothing of it.
PHONES = {"ann", "dot"}


def event(user: str, step: str) -> bytes:
    where = {"device": "phone" if user in PHONES else "desk"} if step[0] == "V" else {}
    insert_id = f"{user}-{step}"
    return exported_line(NAMES[step[0]], JAN_1 + int(step[1:]) * HOUR, distinct_id=user, insert_id=insert_id, **where)


@pytest.fixture
def visited(sandbox: Sandbox) -> Sandbox:
    sandbox.reset([Project(enforce_budgets=False, funnels=[SIGNUP])])
    # Latest first: the order of arrival is not that of time.
    lines = [event(user, step) for user, steps in STEPS.items() for step in steps.split()]
    sandbox.load(lines[::-1])
    return sandbox


def asked(query: HttpCall, **parameters: Any) -> Any:
    response = query("/funnels", **{"funnel_id": 7509, **DATES, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


def counts(steps: list[dict[str, Any]]) -> list[int]:
    return [step["count"] for step in steps]


def test_steps_times_and_ratios_are_those_worked_out_by_hand(visited: Sandbox, query: HttpCall) -> None:
    reply = asked(query)
    assert reply["meta"] == {"dates": ["2024-01-01", "2024-01-02"]}
    assert reply["data"]["2024-01-01"] == {
        "steps": [
            {
                "count": 3,
                "avg_time": None,
                "avg_time_from_start": 0,
                "step_conv_ratio": 1,
                "overall_conv_ratio": 1,
                "goal": "Visit",
                "event": "Visit",
                "step_label": "Visit",
            },
            {
                "count": 2,
                "avg_time": 3 * HOUR,
                "avg_time_from_start": 3 * HOUR,
                "step_conv_ratio": 2 / 3,
                "overall_conv_ratio": 2 / 3,
                "goal": "Sign up",
                "event": "Sign up",
                "step_label": "Sign up",
            },
            {
                "count": 1,
                "avg_time": 8 * HOUR,
                "avg_time_from_start": 10 * HOUR,
                "step_conv_ratio": 1 / 2,
                "overall_conv_ratio": 1 / 3,
                "goal": "Pay",
                "event": "Pay",
                "step_label": "Pay",
            },
        ],
        "analysis": {"completion": 1, "starting_amount": 3, "steps": 3, "worst": 2},
    }
    second = reply["data"]["2024-01-02"]
    assert counts(second["steps"]) == [3, 3, 1]
    assert [step["avg_time"] for step in second["steps"]] == [None, 8 * HOUR, 31 * HOUR]
    assert second["steps"][2]["avg_time_from_start"] == 32 * HOUR
    assert second["analysis"] == {"completion": 1, "starting_amount": 3, "steps": 3, "worst": 2}


def test_completions_after_to_date_count_within_the_length(visited: Sandbox, query: HttpCall) -> None:
    # Of 2 January alone; eve's P is on 4 January, and one hour more lets dot's in.
    one_day = {"from_date": "2024-01-02", "to_date": "2024-01-02"}
    assert counts(asked(query, **one_day)["data"]["2024-01-02"]["steps"]) == [3, 3, 1]
    longer = asked(query, **one_day, length=49, length_unit="hour")
    assert counts(longer["data"]["2024-01-02"]["steps"]) == [3, 3, 2]
    shorter = asked(query, **one_day, length=90, length_unit="minute")
    assert counts(shorter["data"]["2024-01-02"]["steps"]) == [3, 2, 0]
    assert shorter["data"]["2024-01-02"]["steps"][2]["avg_time"] is None


def test_an_interval_counts_each_user_once_from_the_first_entry(visited: Sandbox, query: HttpCall) -> None:
    # Two days as one: cem enters on 1 January and gets no further; dot's and eve's entries are the same.
    reply = asked(query, interval=2)
    assert reply["meta"] == {"dates": ["2024-01-01"]}
    assert counts(reply["data"]["2024-01-01"]["steps"]) == [5, 4, 2]
    assert asked(query, unit="week")["data"] == reply["data"]


def test_on_breaks_down_by_the_value_at_the_first_step(visited: Sandbox, query: HttpCall) -> None:
    data = asked(query, on='properties["device"]')["data"]
    first = {name: counts(steps) for name, steps in data["2024-01-01"].items()}
    assert first == {"$overall": [3, 2, 1], "desk": [2, 1, 0], "phone": [1, 1, 1]}
    second = {name: counts(steps) for name, steps in data["2024-01-02"].items()}
    assert second == {"$overall": [3, 3, 1], "desk": [2, 2, 1], "phone": [1, 1, 0]}
    assert list(asked(query, on='properties["device"]', limit=1)["data"]["2024-01-01"]) == ["$overall", "desk"]


def test_where_filters_the_events_of_every_step(visited: Sandbox, query: HttpCall) -> None:
    only_visits = asked(query, where='properties["device"] == "phone"')
    assert counts(only_visits["data"]["2024-01-01"]["steps"]) == [1, 0, 0]
    phones = asked(query, where='not properties["device"] == "desk"')
    assert counts(phones["data"]["2024-01-01"]["steps"]) == [1, 1, 1]


def test_the_same_event_twice_is_two_steps_and_an_event_takes_one(visited: Sandbox, query: HttpCall) -> None:
    visited.save_report(Funnel(1, "Again", ["Visit", "Visit"]))
    # cem alone visits twice: 27 hours apart.
    steps = asked(query, funnel_id=1)["data"]["2024-01-01"]["steps"]
    assert counts(steps) == [3, 1]
    assert steps[1]["avg_time"] == 27 * HOUR


def test_steps_have_filters_labels_and_custom_events(visited: Sandbox, query: HttpCall) -> None:
    first = FunnelStep("Visit", where='properties["device"] == "desk"', label="Visit at a desk")
    second = FunnelStep(custom_event_id=12345, events=["Sign up", "Pay"], label="Joined")
    visited.save_report(Funnel(2, "Custom", [first, second]))
    steps = asked(query, funnel_id=2)["data"]["2024-01-01"]["steps"]
    # bob's P2 is one hour after V1; cem's S52 is within the 14 days of the funnel.
    assert counts(steps) == [2, 2]
    assert (steps[0]["goal"], steps[0]["step_label"]) == ("Visit", "Visit at a desk")
    custom = {name: steps[1][name] for name in ("goal", "event", "step_label", "custom_event", "custom_event_id")}
    assert custom == {
        "goal": "$custom_event:12345",
        "event": "$custom_event:12345",
        "step_label": "Joined",
        "custom_event": True,
        "custom_event_id": 12345,
    }


def test_dates_are_of_project_time(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(timezone="America/New_York", funnels=[SIGNUP])])
    sandbox.load([exported_line("Visit", int(datetime(2024, 1, 2, 4, tzinfo=UTC).timestamp()))])
    data = asked(query)["data"]
    assert [day["analysis"]["starting_amount"] for day in data.values()] == [1, 0]


def test_the_list_has_declared_and_saved_funnels(visited: Sandbox, query: HttpCall) -> None:
    visited.save_report(Funnel(9070, "Tutorial", ["Visit"]))
    assert query("/funnels/list").json() == [
        {"funnel_id": 7509, "name": "Signup"},
        {"funnel_id": 9070, "name": "Tutorial"},
    ]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"funnel_id": None}, "funnel_id is a required parameter"),
        ({"funnel_id": 1}, "funnel_id 1 is not a saved funnel of this project; known: [7509]"),
        ({"from_date": None}, "from_date is a required parameter"),
        ({"length": 91}, "length must be at most 90 days, not 91"),
        ({"length_unit": "year"}, "length_unit must be one of second, minute, hour, day, week, month, not 'year'"),
        ({"unit": "hour"}, "unit must be one of day, week, month, not 'hour'"),
        ({"unit": "day", "interval": 2}, "specify either interval or unit"),
        ({"where": "(1"}, "error parsing where: the expression ends too early at position 3: (1>>>"),
    ],
)
def test_a_wrong_parameter_is_named(
    visited: Sandbox, query: HttpCall, parameters: dict[str, object], text: str
) -> None:
    response = query("/funnels", **{"funnel_id": 7509, **DATES, **parameters})
    assert response.status_code == 400
    assert response.json()["error"].startswith(text)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"funnel_id": 1, "name": "x", "steps": []}, "funnel 1 has no steps"),
        ({"funnel_id": 1, "name": "x", "steps": ["A"], "length": 100}, "at most 90 days, not 100 day"),
        ({"funnel_id": 1, "name": "x", "steps": ["A"], "colour": 1}, "unknown field `colour`"),
        ({"funnel_id": 1, "name": "x", "steps": [{"event": "A", "where": "1 +"}]}, "where: the expression ends too"),
    ],
)
def test_an_invalid_funnel_is_rejected_when_it_is_declared(declared: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Project(funnels=[declared])  # type: ignore[list-item]
