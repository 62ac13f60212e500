"""The bytes of an export as rows: everything that is JSON arrives unchanged, nothing else passes."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.lake import ExportError, MalformedLine, PromotedColumn, TerminatedEarly
from mixpanel_etl.lake import export_decoder as decode_module

from .exports import DAY, cut, decoded, line, ms
from .hostile import Hostile, events, values

GOOD = line(distinct_id="someone")


def test_an_event_as_mixpanel_documents_it_becomes_a_row() -> None:
    sent = line(
        1_772_668_800_123,
        "Purchase",
        distinct_id="u1",
        insert_id="i1",
        **{"$device_id": "d1", "$user_id": "u1", "mp_processing_time_ms": 1_772_668_801_000, "amount": 5},
    )
    (row,) = decoded([sent])
    assert row == {
        "date": 20517,
        "event_name": "Purchase",
        "time": 1_772_668_800_123,
        "distinct_id": "u1",
        "insert_id": "i1",
        "device_id": "d1",
        "user_id": "u1",
        "processing_time": 1_772_668_801_000,
        "properties": sent.decode().removeprefix('{"event":"Purchase","properties":').removesuffix("}\n"),
        "properties_as_sent": None,
    }


@settings(max_examples=80)
@given(
    st.lists(events() | st.just(Hostile(GOOD[:-1], {})), min_size=1, max_size=6),
    st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    st.integers(1, 5000),
    st.booleans(),
)
@pytest.mark.slow
def test_hostile_events_arrive_as_they_were_sent_wherever_chunks_are_cut(
    sent: list[Hostile], sizes: list[int], block: int, last_line_end: bool
) -> None:
    data = b"\n".join(event.line for event in sent) + b"\n" * last_line_end
    with patch.object(decode_module, "BLOCK_BYTES", block):
        rows = decoded(cut(data, sizes))
    assert len(rows) == len(sent)
    for row, event in zip(rows, sent, strict=True):
        assert {key: row[key] for key in event.row} == event.row


PROMOTED = [
    PromotedColumn("x", kind, name=f"as_{kind}") for kind in ("string", "integer", "number", "boolean", "timestamp")
]


@settings(max_examples=80)
@given(events(), values)
@pytest.mark.slow
def test_an_event_is_read_the_same_alone_and_beside_one_that_needs_care(event: Hostile, value: str) -> None:
    ordinary = GOOD.replace(b'"time"', b'"x":' + value.encode() + b',"time"')
    care = b'{"event":"\\ud800","properties":{"time":1772668800,"x":{}}}\n'
    for sent in (ordinary, event.line + b"\n"):
        assert decoded([sent], PROMOTED)[0] == decoded([sent + care], PROMOTED)[0]
        assert decoded([sent], PROMOTED)[0] == decoded([care + sent], PROMOTED)[1]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_a_line_passes_exactly_if_it_is_json_and_an_event_with_a_time(data: st.DataObject) -> None:
    whole = bytearray(data.draw(events()).line if data.draw(st.booleans()) else GOOD[:-1])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        new = data.draw(st.sampled_from([b"", *(bytes([c]) for c in b'"\\{}[]:,.-+eE019tnf \t\r\x00\x1f\x80\xff\xed')]))
        whole[at : at + data.draw(st.integers(0, 1))] = new
    # Behind a good line and before one that needs care, so that no neighbour changes the verdict.
    sent = [bytes(whole) + b"\n", GOOD + bytes(whole) + b'\n{"event":"\\ud800","properties":{"time":1772668800}}\n']
    for block in sent:
        if whole.strip() and not _is_event(bytes(whole)):
            with pytest.raises(MalformedLine):
                decoded([block])
        else:
            decoded([block])


def _is_event(sent: bytes) -> bool:
    def reject(constant: str) -> None:
        raise ValueError(constant)

    try:
        record = json.loads(sent.decode(), parse_constant=reject, parse_int=float)
        time = record["properties"]["time"]
    except (ValueError, KeyError, TypeError):
        return False
    return type(time) is float and 0 <= time < 253_402_300_800_000


def test_a_line_of_more_than_a_megabyte_is_an_event_like_any_other() -> None:
    text = 'é"\\\u2028' * 300_000
    rows = decoded(cut(GOOD + line(big=text) + GOOD, [65_536]))
    assert [json.loads(row["properties"]).get("big") for row in rows] == [None, text, None]


def test_a_megabyte_that_needs_care_is_an_event_like_any_other() -> None:
    sent = line(big="x\\" * 500_000)[:-3] + b',"half":"\\ud83d"}}'
    (row,) = decoded([sent])
    assert row["properties_as_sent"].encode() == sent[len('{"event":"Visit","properties":') : -1]
    assert row["properties"] == row["properties_as_sent"].replace(r"\ud83d", r"\ufffd")


def test_line_separators_of_unicode_do_not_end_a_line() -> None:
    (row,) = decoded([line(note="a\u2028b\u2029c\x85d")])
    assert json.loads(row["properties"])["note"] == "a\u2028b\u2029c\x85d"


def test_empty_lines_and_carriage_returns_are_no_events_and_no_errors() -> None:
    assert len(decoded([b"\n\r\n", GOOD, b"  \n", GOOD[:-1] + b"\r\n", b"\n"])) == 2


def test_an_empty_export_has_no_rows() -> None:
    assert decoded([]) == decoded([b""]) == decoded([b"\n"]) == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_772_668_800, 1_772_668_800_000),
        (1_772_668_800_001, 1_772_668_800_001),
        (1_772_668_800.5, 1_772_668_800_500),
        (1_772_668_800_001.75, 1_772_668_800_001),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (0, 0),
        (253_402_300_799_999, 253_402_300_799_999),
    ],
)
def test_a_time_is_seconds_or_milliseconds_by_its_size(time: float, expected: int) -> None:
    (row,) = decoded([line(time)])
    assert row["time"] == expected
    assert row["date"] == expected // 86_400_000


@pytest.mark.parametrize(
    "time",
    [None, "1772668800", True, [], {}, -1, -9_223_372_036_854_775, 253_402_300_800_000, 10**18, 2**63, 10**40, 1e30],
)
def test_an_event_without_a_usable_time_fails_with_the_number_of_its_line(time: Any) -> None:
    bad = json.dumps({"event": "Visit", "properties": {"time": time, "secret": "Jane Roe"}}).encode() + b"\n"
    for sent in (GOOD * 3 + bad, GOOD + b"\n\n" + GOOD * 2 + bad + GOOD * 2):
        with pytest.raises(MalformedLine, match="line 4 of the export has no usable `time`") as raised:
            decoded([sent])
        assert raised.value.line == 4
        assert '"secret":…' in str(raised.value)
        assert "Jane" not in str(raised.value)


def test_an_event_without_the_key_time_fails() -> None:
    with pytest.raises(MalformedLine, match="line 1 of the export has no usable `time`"):
        decoded([b'{"event":"a","properties":{"distinct_id":"d"}}\n' + GOOD])


@pytest.mark.parametrize("ending", [b"", b"\n"])
@pytest.mark.parametrize("words", [b"terminated early", b"export terminated early", b'{"error":"terminated early"}'])
def test_mixpanels_own_words_for_an_early_end_are_recognised(words: bytes, ending: bytes) -> None:
    with pytest.raises(TerminatedEarly, match="line 3"):
        decoded([GOOD * 2 + words + ending])


def test_an_early_end_is_recognised_behind_the_beginning_of_an_event() -> None:
    begun = line(text="x" * 1000)[:900]
    with pytest.raises(TerminatedEarly, match="line 2"):
        decoded([GOOD + begun + b"terminated early\n"])


def test_an_early_end_is_recognised_among_other_events() -> None:
    with pytest.raises(TerminatedEarly, match="line 2"):
        decoded([GOOD + b"terminated early\n" + GOOD])


def test_an_event_that_speaks_of_terminated_early_is_an_event() -> None:
    assert len(decoded([line(event="terminated early", note="terminated early")])) == 1


@pytest.mark.parametrize("missing", range(2, len(GOOD), 7))
def test_a_last_line_that_is_cut_ends_the_export_early(missing: int) -> None:
    with pytest.raises(TerminatedEarly, match="line 3"):
        decoded([GOOD * 2 + GOOD[:-missing]])


def test_a_last_line_cut_within_a_character_ends_the_export_early() -> None:
    with pytest.raises(TerminatedEarly):
        decoded([GOOD + line(city="Köln").split(b"\xb6")[0]])


def test_a_last_line_that_lacks_only_its_line_end_is_whole() -> None:
    assert len(decoded([GOOD * 2 + GOOD[:-1]])) == 3


@pytest.mark.parametrize(
    "bad",
    [
        b"[1, 2]",
        b'"Jane Roe"',
        b"null",
        b'{"error": {"of": "Jane Roe"}}',
        b'{"error": "Jane Roe", "event": "a"}',
        b'{"event": "Jane Roe", "properties": null}',
        b'{"event": "Jane Roe", "properties": []}',
        GOOD[:-1] + GOOD[:-1],
        GOOD[:-1] + b" " + GOOD[:-1],
        b'{"event":"Jane Roe",',
        b'"properties":{"time":1772668800}}',
        GOOD[:-1].replace(b"someone", b"\xff\xfeJane"),
        GOOD[:-1].replace(b'"someone"', b"NaN"),
        b"\xef\xbb\xbf" + GOOD[:-1],
        b"\x00\x00\x00",
    ],
)
def test_a_line_that_is_no_event_fails_with_its_number_and_without_its_values(bad: bytes) -> None:
    with pytest.raises(MalformedLine, match="line 3 of the export") as raised:
        decoded([GOOD * 2 + bad + b"\n" + GOOD])
    assert raised.value.line == 3
    assert "Jane" not in str(raised.value)


def test_an_event_over_two_lines_fails() -> None:
    with pytest.raises(MalformedLine, match="line 1"):
        decoded([b'{"event":"a",\n"properties":{"time":1772668800}}\n'])


def test_the_number_of_a_line_counts_over_blocks_and_careful_readings() -> None:
    odd = b'{"event":5,"properties":{"time":1772668800}}\n'
    with patch.object(decode_module, "BLOCK_BYTES", 100), pytest.raises(MalformedLine, match="line 41"):
        decoded(cut((GOOD + odd) * 20 + b"bad\n", [50]))


def test_nesting_beyond_measure_fails_as_a_line_and_ends_no_process() -> None:
    deep = b'{"event":"a","properties":{"time":1772668800,"x":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}}\n"
    with pytest.raises(MalformedLine, match="line 2"):
        decoded([GOOD + deep])


SECRETS = ["Jane", "Roe", "jane@example.org", "4711", "Main Street", "true"]
PERSONAL = (
    b'{"event":"Sign \\"Jane\\" up","properties":{"time":1772668800,"$email":"jane@example.org",'
    b'"a\\"b":"say \\"Jane\\"","n":4711, "x":[4711,true,"Roe"],"address":{"street":"Main Street: 4711"}}}'
)


@pytest.mark.parametrize("start", range(0, len(PERSONAL), 3))
def test_an_excerpt_names_properties_and_holds_no_value_wherever_a_line_is_cut(start: int) -> None:
    for part in (PERSONAL[:start], PERSONAL[start:], PERSONAL[start:] + PERSONAL):
        shown = decode_module.excerpt(part)
        assert not [secret for secret in SECRETS if secret in shown]
    assert '"$email":…,"a\\"b":…,"n":…,"x":[…,…,…],"address":{"street":…' in decode_module.excerpt(PERSONAL)


def test_an_excerpt_stays_short() -> None:
    assert len(decode_module.excerpt(line(**{f"property {n}": n for n in range(500)}))) <= 201


@pytest.mark.parametrize("said", ["<!DOCTYPE html><title>502 Bad Gateway</title>", "upstream connect error: timeout"])
def test_what_a_server_says_in_plain_words_is_shown(said: str) -> None:
    with pytest.raises(MalformedLine, match=re.escape(said)):
        decoded([said.encode()])


def test_an_error_instead_of_events_is_shown() -> None:
    with pytest.raises(ExportError, match="an error instead of events: too many exports at once"):
        decoded([b'{"error": "too many exports at once", "request": "/export"}'])


def test_words_without_quotes_at_the_beginning_of_a_long_line_are_not_taken_for_a_servers() -> None:
    assert "Jane" not in decode_module.excerpt(b"Jane Roe " * 500 + b'","city":"Berlin"}}')


@pytest.mark.parametrize(
    "value",
    ["12345678901234567890123456789012345678", "1.50", "1e2", '[1,"a"]', '{"a": 1.0}', "true", "-7", "9" * 5000],
)
def test_ids_that_are_no_strings_keep_their_json_to_the_last_digit(value: str) -> None:
    sent = '{"event":"a","properties":{"time":1772668800,"distinct_id":' + value + ',"$user_id":"u"}}\n'
    (row,) = decoded([sent.encode()])
    assert (row["distinct_id"], row["user_id"]) == (value, "u")


def test_numbers_as_ids_do_not_need_care() -> None:
    with patch.object(decode_module._Decoder, "_line_by_line", side_effect=AssertionError("read with care")):
        rows = decoded([line(**{"$user_id": 17}), line(**{"$user_id": "u"}), GOOD])
    assert [row["user_id"] for row in rows] == ["17", "u", None]


def test_batches_stay_small_when_chunks_are() -> None:
    blocks = list(decode_module.whole_lines(cut(GOOD * 50_000, [65_536])))
    assert b"".join(blocks) == GOOD * 50_000
    assert max(map(len, blocks)) < decode_module.BLOCK_BYTES + 65_536
    assert all(block.endswith(b"\n") for block in blocks)


def test_the_day_is_that_of_the_exported_time() -> None:
    rows = decoded([line(ms(DAY)), line(ms(DAY) - 1), line(ms(DAY, 86_399.999))])
    assert [row["date"] for row in rows] == [20517, 20516, 20517]
