"""`GET /stream/query`. Source: mixpanel-api.md#query-stream."""

from mixpanel_etl.sandbox import Sandbox

from ...http_calls import HttpCall, exported_line

JAN_1 = 1_704_067_200  # 2024-01-01 00:00 UTC


def test_the_stream_holds_what_the_users_did_in_order_and_once(sandbox: Sandbox, query: HttpCall) -> None:
    late, early = (
        exported_line("Late", JAN_1 + 5, insert_id="l", page="/"),
        exported_line("Early", JAN_1, insert_id="e"),
    )
    sandbox.load(
        [late, early, late, exported_line("Other", JAN_1, distinct_id="u2"), exported_line("Before", JAN_1 - 1)]
    )
    reply = query("/stream/query", distinct_ids='["u1"]', from_date="2024-01-01", to_date="2024-01-01").json()
    assert reply["status"] == "ok"
    events = reply["results"]["events"]
    assert [event["event"] for event in events] == ["Early", "Late"]
    assert events[1]["properties"] == {
        "time": JAN_1 + 5,
        "distinct_id": "u1",
        "$distinct_id": "u1",
        "$insert_id": "l",
        "page": "/",
    }


def test_the_stream_needs_ids_and_dates(query: HttpCall) -> None:
    dates = {"from_date": "2024-01-01", "to_date": "2024-01-01"}
    for parameters, text in (
        (dates, "distinct_ids is a required parameter"),
        ({**dates, "distinct_ids": "u1"}, "distinct_ids must be a JSON array of strings, not 'u1'"),
        ({"distinct_ids": '["u1"]'}, "from_date is a required parameter"),
    ):
        response = query("/stream/query", **parameters)
        assert (response.status_code, response.json()["error"]) == (400, text)
