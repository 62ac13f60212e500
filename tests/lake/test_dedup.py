"""Copies of an event: the newest stays, of equally new ones the last received, however far apart they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.lake import EventsTable, dedup, shuffle
from mixpanel_etl.lake import export_decoder as decode_module

from .exports import DAY, days_from, line, ms, pull, request, stored

Sent = dict[str, Any]


def without_copies(sent: list[Sent]) -> list[int]:
    """The numbers of the events that stay, by the plainest reading of the rule."""
    newest: dict[Any, int] = {}
    for number, event in enumerate(sent):
        if event.get("insert_id") in (None, "", "undefined"):
            newest["no copy", number] = number
            continue
        key = (event["event"], event["time"], event.get("distinct_id"), event["insert_id"])
        age = [
            -1 if sent[n].get("processing") is None else sent[n]["processing"]
            for n in (newest.get(key, number), number)
        ]
        if age[1] >= age[0]:
            newest[key] = number
    return sorted(newest.values())


def kept(table: EventsTable, sent: list[Sent], days: int = 1) -> list[int]:
    """The numbers of the events that the lake keeps, in the order of the files; it must count the others."""
    lines = [
        line(**{key: value for key, value in event.items() if value is not None}, number=n)
        for n, event in enumerate(sent)
    ]
    published = pull(table, lines, request(DAY, days_from(DAY, days)[-1]), allow_shrink=True)
    found = [json.loads(row["properties"])["number"] for day in days_from(DAY, days) for row in stored(table, day)]
    assert sum(day.duplicates for day in published) == len(sent) - len(found)
    assert sum(day.rows for day in published) == len(found)
    return found


EVENT: Sent = {"event": "Buy", "time": ms(DAY, 9), "distinct_id": "u", "insert_id": "i", "processing": 5}
EVENTS = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["a", "b", ""]),
        "time": st.sampled_from([ms(DAY, 1), ms(DAY, 1.001), ms(DAY, 2)]),
        "distinct_id": st.sampled_from([None, "", "x", "a"]),
        "insert_id": st.sampled_from([None, "", "undefined", "x", "a", "b", "\x00"]),
        "processing": st.sampled_from([None, 0, 1, 2]),
    }
)


@settings(max_examples=50)
@given(
    st.lists(EVENTS, max_size=60),
    st.sampled_from([1, 3, 10, 250_000]),
    st.sampled_from([1, 2000, 8 << 20]),
    st.sampled_from([1, 500, 1 << 20]),
)
@pytest.mark.slow
def test_the_lake_keeps_what_a_naive_reading_of_the_rule_keeps(
    table: EventsTable, sent: list[Sent], bucket: int, budget: int, block: int
) -> None:
    with (
        patch.object(dedup, "BUCKET_ROWS", bucket),
        patch.object(shuffle, "BUDGET_BYTES", budget),
        patch.object(decode_module, "BLOCK_BYTES", block),
    ):
        assert kept(table, sent) == without_copies(sent)


@pytest.fixture(params=["near", "far apart"])
def _distance(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rows held in memory to the end, or set aside after every line."""
    small = request.param == "far apart"
    with (
        patch.object(shuffle, "BUDGET_BYTES", 1 if small else 32 << 20),
        patch.object(decode_module, "BLOCK_BYTES", 1 if small else 1 << 20),
    ):
        yield


@pytest.mark.usefixtures("_distance")
class TestCopies:
    def test_the_newest_processing_time_stays_whatever_the_order(self, table: EventsTable) -> None:
        assert kept(table, [{**EVENT, "processing": n} for n in (3, 9, 4, 1)]) == [1]

    def test_of_equally_new_copies_the_last_received_stays(self, table: EventsTable) -> None:
        assert kept(table, [EVENT] * 5) == [4]

    def test_a_copy_without_processing_time_is_the_oldest(self, table: EventsTable) -> None:
        assert kept(table, [EVENT, {**EVENT, "processing": None}]) == [0]
        assert kept(table, [{**EVENT, "processing": None}] * 2) == [1]

    def test_events_without_insert_id_are_never_copies(self, table: EventsTable) -> None:
        assert kept(table, [{**EVENT, "insert_id": None}] * 3) == [0, 1, 2]

    def test_an_empty_insert_id_is_none(self, table: EventsTable) -> None:
        assert kept(table, [{**EVENT, "insert_id": ""}] * 2) == [0, 1]

    @pytest.mark.parametrize(
        "other",
        [{"event": "buy"}, {"time": ms(DAY, 9.001)}, {"distinct_id": ""}, {"distinct_id": None}, {"insert_id": "I"}],
    )
    def test_events_that_differ_in_one_part_of_the_key_both_stay(self, table: EventsTable, other: Sent) -> None:
        assert kept(table, [EVENT, {**EVENT, **other}]) == [0, 1]

    def test_parts_of_the_key_do_not_run_together(self, table: EventsTable) -> None:
        pairs = [("ab", "c"), ("a", "bc"), ("c", "ab"), ("", "abc")]
        assert kept(table, [{**EVENT, "distinct_id": d, "insert_id": i} for d, i in pairs]) == [0, 1, 2, 3]

    def test_other_properties_play_no_part(self, table: EventsTable) -> None:
        lines = [line(**EVENT, amount=1), line(**EVENT, amount=2)]
        pull(table, lines)
        assert [json.loads(row["properties"])["amount"] for row in stored(table)] == [2]

    def test_a_time_in_seconds_and_in_milliseconds_is_the_same_time(self, table: EventsTable) -> None:
        assert kept(table, [EVENT, {**EVENT, "time": EVENT["time"] // 1000}]) == [1]

    def test_copies_of_several_days_are_found_in_each(self, table: EventsTable) -> None:
        sent = [{**EVENT, "time": ms(DAY, 86_400 * (n % 7))} for n in range(21)]
        assert kept(table, sent, days=7) == list(range(14, 21))

    def test_rows_stay_in_the_order_of_their_arrival(self, table: EventsTable) -> None:
        sent = [{**EVENT, "insert_id": f"i{n * 7919 % 100}", "time": ms(DAY, n % 100)} for n in range(300)]
        assert kept(table, sent) == list(range(200, 300))


def test_a_day_of_many_rows_is_compared_in_parts(table: EventsTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "BUCKET_ROWS", 100)
    arrow = Mock(wraps=pc)
    monkeypatch.setattr(dedup, "pc", arrow)
    # Whole seconds, as many projects send them; twenty parts, whose number divides a thousand milliseconds.
    sent = [{"event": "e", "time": ms(DAY, n % 950), "insert_id": f"i{n % 950}"} for n in range(1900)]
    assert kept(table, sent) == list(range(950, 1900))
    compared = [len(call.args[0]) for call in arrow.value_counts.call_args_list]
    assert sum(compared) == 1900
    assert max(compared) < 400


def test_a_day_of_nothing_but_copies_has_one_row(table: EventsTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "BUCKET_ROWS", 100)
    assert kept(table, [EVENT] * 5000) == [4999]


def test_no_temporary_file_outlives_the_comparison(table: EventsTable, scratch: Path) -> None:
    with patch.object(dedup, "BUCKET_ROWS", 2):
        kept(table, [EVENT] * 20)
    assert list(scratch.iterdir()) == []
