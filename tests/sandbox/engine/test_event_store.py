"""The event store: every copy is kept; deduplicated events; identity merges.

Source: mixpanel-api.md#deduplication, #export-merges.
"""

import json
from datetime import date

import pytest

from mixpanel_etl.sandbox import Sandbox

from ..http_calls import HttpCall, exported_events, exported_line

JAN_1, JAN_3 = date(2024, 1, 1), date(2024, 1, 3)
MS = 1_704_067_200_000


def test_of_duplicates_the_one_processed_last_is_kept(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(insert_id="a", mp_processing_time_ms=time, n=time) for time in (5, 9, 7)])
    (kept,) = sandbox.deduplicated(JAN_1, JAN_3)
    assert (kept.event, kept.time_ms, kept.distinct_id, kept.insert_id) == ("Login", MS, "u1", "a")
    assert json.loads(kept.properties)["n"] == 9


def test_without_processing_times_the_last_to_arrive_is_kept(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(insert_id="a", n=number) for number in range(3)])
    (kept,) = sandbox.deduplicated(JAN_1, JAN_3)
    assert json.loads(kept.properties)["n"] == 2


def test_rows_that_differ_in_one_of_the_four_keys_are_not_duplicates(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(insert_id="a"), exported_line("Pay", insert_id="a"), exported_line(insert_id="b")])
    sandbox.load([exported_line(insert_id="a", distinct_id="u2"), exported_line(insert_id="a", time=MS + 1)])
    assert len(sandbox.deduplicated(JAN_1, JAN_3)) == 5


def test_rows_without_insert_id_are_all_kept(sandbox: Sandbox) -> None:
    sandbox.load([exported_line(), exported_line(), exported_line(insert_id="a"), exported_line(insert_id="a")])
    assert len(sandbox.deduplicated(JAN_1, JAN_3)) == 3


def test_deduplicated_properties_are_the_loaded_json_with_time_in_milliseconds(sandbox: Sandbox) -> None:
    sandbox.load([b'{"event":"E", "properties": { "time":1704067200, "b" : 1.50, "a":"\\u00f1"} }'])
    (kept,) = sandbox.deduplicated(JAN_1, JAN_3)
    assert kept.properties == '{ "time":1704067200000, "b" : 1.50, "a":"\\u00f1"}'
    assert (kept.distinct_id, kept.insert_id) == (None, None)


def test_only_the_requested_days_are_returned(sandbox: Sandbox) -> None:
    sandbox.generate(500, date(2024, 1, 1), date(2024, 1, 5), duplicates=0)
    assert len(sandbox.deduplicated(date(2024, 1, 2), date(2024, 1, 3))) == 200


def test_deduplicated_events_equal_an_export_that_a_client_deduplicates(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.generate(5000, JAN_1, JAN_3, duplicates=0.2)
    best: dict[tuple[object, ...], int] = {}
    for number, event in enumerate(exported_events(export())):
        properties = event["properties"]
        insert_id = properties.get("$insert_id", number)
        key = (event["event"], properties["time"], properties["distinct_id"], insert_id)
        best[key] = max(best.get(key, 0), properties["mp_processing_time_ms"])
    kept = sandbox.deduplicated(JAN_1, JAN_3)
    assert len(kept) == len(best) < 5000
    assert sum(json.loads(row.properties)["mp_processing_time_ms"] for row in kept) == sum(best.values())


def test_a_merge_rewrites_stored_rows_and_nothing_else_in_them(sandbox: Sandbox, export: HttpCall) -> None:
    sandbox.load([exported_line(distinct_id="$device:d", x=1.0), exported_line(distinct_id="u2")])
    assert sandbox.merge_identities("$device:d", "u9") == 1
    first, second = (event["properties"] for event in exported_events(export()))
    assert first == {"time": MS // 1000, "distinct_id": "u2"}
    assert second == {"time": MS // 1000, "distinct_id": "u9", "x": 1.0, "$distinct_id_before_identity": "$device:d"}
    assert sandbox.merge_identities("u9", "u10") == 1
    assert exported_events(export())[1]["properties"]["$distinct_id_before_identity"] == "$device:d"
    assert sandbox.count() == 2


@pytest.mark.parametrize(
    "bad",
    [
        b"terminated early",
        b'{"event":"E"}',
        b'{"properties":{"time":1}}',
        b'{"event":"E","properties":{}}',
        b'{"event":"E","properties":{"time":"x"}}',
        b'{"event":"E","properties":{"time":1e40}}',
        b'{"event":"E","properties":{"a":"\xff","time":1}}',
    ],
)
def test_an_invalid_line_is_rejected_with_its_number(sandbox: Sandbox, bad: bytes) -> None:
    with pytest.raises(ValueError, match="line 3 is not an exported event"):
        sandbox.load([exported_line(), b"\n", bad])


def test_an_unknown_project_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="project_id 7 is not in this sandbox"):
        sandbox.load([exported_line()], project_id=7)


def test_a_sandbox_that_is_not_running_says_so() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        Sandbox().count()
