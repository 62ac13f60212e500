"""`GET /retention` and `/retention/addiction`, against data worked out by hand.

Source: mixpanel-api.md#query-retention.
"""

from typing import Any

import pytest

from mixpanel_etl.sandbox import Project, Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday
HOUR, DAY = 3600, 86_400
DATES = {"from_date": "2024-01-01", "to_date": "2024-01-02"}

# S sign up, U use; hours after midnight of 1 January.
#        hours                begins   returns in day 0 1 2 (24 hours each, from S on)
#   ann  S2 U3 U27 U60        1 Jan    1 h: 0    25 h: 1    58 h: 2
#   bob  S5 U60 U61           1 Jan    55 h: 2   56 h: 2
#   cem  S10                  1 Jan    none
#   dot  U1 S30 U31 S40 U90   2 Jan    U1 was before; 1 h: 0; 60 h: 2; the second S does not start again
#   eve  S47 U71              2 Jan    24 h: 1 exactly
#   fay  S50 U51              3 Jan, not asked for
#   no id  S1 U2                 no user
# "Use" after "Sign up":   1 Jan  first 3 (ann bob cem)  day 0: ann        day 1: ann   day 2: ann bob
#                          2 Jan  first 2 (dot eve)      day 0: dot        day 1: eve   day 2: dot
HOURS = {
    "ann": "S2 U3 U27 U60",
    "bob": "S5 U60 U61",
    "cem": "S10",
    "dot": "U1 S30 U31 S40 U90",
    "eve": "S47 U71",
    "fay": "S50 U51",
    "": "S1 U2",
}
NAMES = {"S": "Sign up", "U": "Use"}


def event(user: str, step: str) -> bytes:
    hour = int(step[1:])
    # Even hours are spent on the web; ann signs up with a code.
    extra = {"via": "app" if hour % 2 else "web", **({"code": "x"} if (user, step) == ("ann", "S2") else {})}
    return exported_line(NAMES[step[0]], JAN_1 + hour * HOUR, distinct_id=user, insert_id=f"{user}-{step}", **extra)


@pytest.fixture
def used(sandbox: Sandbox) -> Sandbox:
    lines = [event(user, step) for user, steps in HOURS.items() for step in steps.split()]
    sandbox.load(lines[::-1])
    return sandbox


def asked(query: HttpCall, path: str = "", **parameters: Any) -> Any:
    defaults = {} if path else {"born_event": "Sign up", "event": "Use", "interval_count": 2}
    response = query(f"/retention{path}", **{**DATES, **defaults, **parameters})
    assert response.status_code == 200, response.text
    return response.json()


def test_birth_counts_each_user_from_the_first_born_event(used: Sandbox, query: HttpCall) -> None:
    assert asked(query) == {
        "2024-01-01": {"counts": [1, 1, 2], "first": 3},
        "2024-01-02": {"counts": [1, 1, 1], "first": 2},
    }


def test_the_0th_interval_is_always_there(used: Sandbox, query: HttpCall) -> None:
    assert asked(query, interval_count=None)["2024-01-01"] == {"counts": [1, 1], "first": 3}


def test_unbounded_counts_who_returns_then_or_later(used: Sandbox, query: HttpCall) -> None:
    # 1 Jan: ann and bob return on day 2, so on every day before;  2 Jan: dot day 2, eve day 1
    assert asked(query, unbounded_retention="true") == {
        "2024-01-01": {"counts": [2, 2, 2], "first": 3},
        "2024-01-02": {"counts": [2, 2, 1], "first": 2},
    }


def test_without_an_event_any_event_is_a_return_but_the_first_itself(used: Sandbox, query: HttpCall) -> None:
    # In addition dot signs up again after 10 hours, where she has returned already.
    assert asked(query, event=None) == asked(query)
    # "Sign up" after "Sign up": dot only
    assert asked(query, event="Sign up") == {
        "2024-01-01": {"counts": [0, 0, 0], "first": 3},
        "2024-01-02": {"counts": [1, 0, 0], "first": 2},
    }


def test_where_filters_returns_and_born_where_beginnings(used: Sandbox, query: HttpCall) -> None:
    # Returns at even hours: ann U60, bob U60 | dot U90
    assert asked(query, where='properties["via"] == "web"') == {
        "2024-01-01": {"counts": [0, 0, 2], "first": 3},
        "2024-01-02": {"counts": [0, 0, 1], "first": 2},
    }
    assert asked(query, born_where='defined(properties["code"])') == {
        "2024-01-01": {"counts": [1, 1, 1], "first": 1},
        "2024-01-02": {"counts": [0, 0, 0], "first": 0},
    }


def test_intervals_of_several_days_are_those_of_cohorts_too(used: Sandbox, query: HttpCall) -> None:
    # Two days as one. Within 48 hours: ann, dot, eve; in the next 48: ann (58 h), bob (55 h), dot (60 h)
    assert asked(query, interval=2, interval_count=1) == {"2024-01-01": {"counts": [3, 3], "first": 5}}
    assert asked(query, unit="week", interval_count=1) == {"2024-01-01": {"counts": [4, 0], "first": 5}}


def test_compounded_counts_everyone_who_did_the_event_each_day(used: Sandbox, query: HttpCall) -> None:
    # "Use":  1 Jan  ann U3, dot U1                 returns: ann 24 h: day 1, 57 h: day 2;  dot 30 h: day 1, 89 h: -
    #         2 Jan  ann U27, dot U31               returns: ann 33 h: day 1;               dot 59 h: day 2
    assert asked(query, retention_type="compounded", born_event=None) == {
        "2024-01-01": {"counts": [0, 2, 1], "first": 2},
        "2024-01-02": {"counts": [0, 1, 1], "first": 2},
    }


def test_on_segments_the_returns(used: Sandbox, query: HttpCall) -> None:
    # 1 Jan  app: ann U3, U27, bob U61   web: ann U60, bob U60;   2 Jan  app: dot U31, eve U71   web: dot U90
    assert asked(query, on='properties["via"]') == {
        "2024-01-01": {
            "$overall": {"counts": [1, 1, 2], "first": 3},
            "app": {"counts": [1, 1, 1], "first": 3},
            "web": {"counts": [0, 0, 2], "first": 3},
        },
        "2024-01-02": {
            "$overall": {"counts": [1, 1, 1], "first": 2},
            "app": {"counts": [1, 1, 0], "first": 2},
            "web": {"counts": [0, 0, 1], "first": 2},
        },
    }
    assert list(asked(query, on='properties["via"]', limit=1)["2024-01-01"]) == ["$overall", "app"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"born_event": None}, "born_event is a required parameter"),
        ({"retention_type": "weekly"}, "retention_type must be one of birth, compounded, not 'weekly'"),
        ({"unit": "hour"}, "unit must be one of day, week, month, not 'hour'"),
        ({"interval": 91}, "interval cannot be over 90 days, not 91"),
        ({"interval_count": 0}, "interval_count must be at least 1, not 0"),
        ({"born_where": "x"}, "error parsing born_where: unknown name x at position 1"),
    ],
)
def test_a_wrong_parameter_is_named(used: Sandbox, query: HttpCall, parameters: dict[str, object], text: str) -> None:
    response = query("/retention", **{**DATES, "born_event": "Sign up", **parameters})
    assert response.status_code == 400
    assert response.json()["error"].startswith(text)


# Uses, by date and hour; ann twice within one hour:
#   1 Jan  ann 3:00 3:30 9:00   bob 3:00            hours: ann 2, bob 1
#   2 Jan  ann 1:00             -                   hours: ann 1
#   8 Jan  -                    bob 0:00            the next week
ACTIONS = [("ann", 3.0), ("ann", 3.5), ("ann", 9.0), ("bob", 3.0), ("ann", 25.0), ("bob", 168.0), ("", 4.0)]


@pytest.fixture
def active(sandbox: Sandbox) -> Sandbox:
    sandbox.load(
        exported_line("Use", JAN_1 + int(hour * HOUR), distinct_id=user, insert_id=f"{user}-{hour}", via=user or "x")
        for user, hour in ACTIONS
    )
    return sandbox


def test_addiction_counts_users_by_the_hours_in_which_they_were_active(active: Sandbox, query: HttpCall) -> None:
    assert asked(query, "/addiction", unit="day", addiction_unit="hour", event="Use") == {
        "data": {"2024-01-01": [2, 1] + [0] * 22, "2024-01-02": [1] + [0] * 23}
    }


def test_addiction_counts_days_of_weeks_and_months(active: Sandbox, query: HttpCall) -> None:
    # Week of 1 Jan: ann 2 days, bob 1; week of 8 Jan: bob 1.  January: ann 2 days, bob 2.
    weeks = asked(query, "/addiction", unit="week", addiction_unit="day", to_date="2024-01-14")
    assert weeks == {"data": {"2024-01-01": [2, 1, 0, 0, 0, 0, 0], "2024-01-08": [1, 0, 0, 0, 0, 0, 0]}}
    months = asked(query, "/addiction", unit="month", addiction_unit="day", to_date="2024-01-31")
    assert months == {"data": {"2024-01-01": [2, 2] + [0] * 29}}
    assert len(asked(query, "/addiction", unit="week", addiction_unit="hour")["data"]["2024-01-01"]) == 168


def test_addiction_takes_where_and_on(active: Sandbox, query: HttpCall) -> None:
    units = {"unit": "week", "addiction_unit": "day"}
    only_bob = asked(query, "/addiction", **units, where='properties["via"] == "bob"')
    assert only_bob["data"]["2024-01-01"] == [1, 0, 0, 0, 0, 0, 0]
    by_user = asked(query, "/addiction", **units, on='properties["via"]')
    assert by_user["data"]["2024-01-01"] == {
        "$overall": [2, 1, 0, 0, 0, 0, 0],
        "ann": [1, 1, 0, 0, 0, 0, 0],
        "bob": [1, 0, 0, 0, 0, 0, 0],
    }


def test_addiction_needs_both_units(active: Sandbox, query: HttpCall) -> None:
    for name in ("unit", "addiction_unit"):
        response = query("/retention/addiction", **{**DATES, "unit": "day", "addiction_unit": "hour", name: None})
        assert (response.status_code, response.json()["error"]) == (400, f"{name} is a required parameter")


def test_a_day_of_25_hours_still_has_24_elements(sandbox: Sandbox, query: HttpCall) -> None:
    sandbox.reset([Project(timezone="America/New_York")])
    # 3 November 2024: 1:30 happens twice, at 5:30 and 6:30 UTC; as clocks show it, it is one hour.
    sandbox.load(exported_line("Use", 1_730_611_800 + again * HOUR, insert_id=str(again)) for again in range(2))
    dates = {"from_date": "2024-11-03", "to_date": "2024-11-03"}
    reply = asked(query, "/addiction", **dates, unit="day", addiction_unit="hour")
    assert reply == {"data": {"2024-11-03": [1] + [0] * 23}}
