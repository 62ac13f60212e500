"""A line is split at the value of its own `time` only."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.sandbox.engine.event_line import parse_event_line, properties_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("time"), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text() | st.sampled_from(["distinct_id", "$insert_id", "mp_processing_time_ms", '"time":', "\\"])


@given(
    event=st.text(min_size=1),
    before=st.dictionaries(NAMES, JSON, max_size=4),
    after=st.dictionaries(NAMES, JSON, max_size=4),
    compact=st.booleans(),
    ascii_only=st.booleans(),
)
def test_any_json_is_unchanged_around_the_time(
    event: str, before: dict[str, Any], after: dict[str, Any], compact: bool, ascii_only: bool
) -> None:
    properties = {**before, **after}
    properties.pop("time", None)
    properties = {**{name: properties[name] for name in before if name in properties}, "time": 1704067200, **properties}
    separators = (",", ":") if compact else (" , ", " : ")
    text = json.dumps({"event": event, "properties": properties}, separators=separators, ensure_ascii=ascii_only)
    record = parse_event_line(text.encode())
    assert record.event == event
    assert record.time_ms == 1_704_067_200_000
    assert record.head + b"1704067200" + record.tail == text.encode()
    shown = record.head + b"7" + record.tail
    assert json.loads(shown)["properties"] == {**properties, "time": 7}
    assert json.loads(properties_text(text.encode())) == properties


@pytest.mark.parametrize(
    ("time", "time_ms"),
    [
        ("1704067200", 1_704_067_200_000),
        ("1704067200123", 1_704_067_200_123),
        ("0", 0),
        ("1704067200.5", 1_704_067_200_500),
    ],
)
def test_seconds_and_milliseconds_are_told_apart_by_magnitude(time: str, time_ms: int) -> None:
    assert parse_event_line(f'{{"event":"E","properties":{{"time":{time}}}}}'.encode()).time_ms == time_ms


def test_of_two_times_the_last_one_counts() -> None:
    record = parse_event_line(b'{"event":"E","properties":{"time":5,"time":6,"x":{"time":7}}}')
    assert (record.time_ms, record.head) == (6000, b'{"event":"E","properties":{"time":5,"time":')


@pytest.mark.parametrize(
    ("member", "kept"),
    [('"u1"', "u1"), ("null", None), ("5", "5"), ("true", "true"), ('["a"]', '["a"]'), ('"\\u0000"', "\0")],
)
def test_ids_of_any_type_are_stored_as_strings(member: str, kept: str | None) -> None:
    assert (
        parse_event_line(f'{{"event":"E","properties":{{"time":1,"distinct_id":{member}}}}}'.encode()).distinct_id
        == kept
    )


@pytest.mark.parametrize("member", ["true", "1.5", '"x"', "1e40", "99999999999999999999"])
def test_an_invalid_processing_time_is_ignored(member: str) -> None:
    line = f'{{"event":"E","properties":{{"time":1,"mp_processing_time_ms":{member}}}}}'
    assert parse_event_line(line.encode()).processing_ms is None
