"""Values of listings in the columns of their tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.lake.event_columns import JSON, TIMESTAMP
from mixpanel_etl.pull.listings import BOOLEAN, INTEGER, NUMBER, STRING, STRINGS, Listing, as_table, cell
from mixpanel_etl.pull.published import Column

TOKYO = ZoneInfo("Asia/Tokyo")
KINDS = [JSON, TIMESTAMP, STRING, STRINGS, BOOLEAN, INTEGER, NUMBER]
ALL = Listing("all", "", [Column(f"c{n}", kind, "") for n, kind in enumerate(KINDS)], lambda _: [])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=100)
@given(values=st.lists(VALUES, max_size=3))
def test_whatever_mixpanel_says_makes_a_row(values: list[Any]) -> None:
    made = as_table(ALL, [{column.name: value for column in ALL.columns} for value in values], TOKYO)
    made.validate(full=True)
    assert made.num_rows == len(values)
    for value, kept in zip(values, made["c0"].to_pylist(), strict=True):
        assert (kept is None) == (value is None)


@pytest.mark.parametrize(
    ("value", "kind", "kept"),
    [
        ("2026-03-01 09:00:00", TIMESTAMP, datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:00:00Z", TIMESTAMP, datetime(2026, 3, 1, tzinfo=UTC)),
        ("0000-12-31T16:00:00-08:00", TIMESTAMP, None),
        (1_772_323_200, TIMESTAMP, None),
        ("true", BOOLEAN, True),
        ("False", BOOLEAN, False),
        ("perhaps", BOOLEAN, None),
        (12, STRING, "12"),
        (["a", 1], STRINGS, ["a", "1"]),
        ("a", STRINGS, None),
        (True, INTEGER, None),
        (3.0, INTEGER, 3),
        (2**64, INTEGER, None),
    ],
)
def test_a_value_that_does_not_fit_is_null(value: Any, kind: pa.DataType, kept: Any) -> None:
    assert cell(value, kind, TOKYO) == kept


def test_a_column_that_a_row_does_not_have_is_null() -> None:
    (row,) = as_table(ALL, [{"c2": "x"}], TOKYO).to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {"c2": "x"}


def test_json_is_kept_as_it_came() -> None:
    assert json.loads(cell({"ä": [1, None]}, JSON, TOKYO)) == {"ä": [1, None]}


@pytest.mark.parametrize(("limited_by", "cut"), [(None, 1), ("event", 2)])
def test_a_list_as_long_as_its_limit_is_marked_as_possibly_cut(limited_by: str | None, cut: int) -> None:
    rows = pa.table({"event": ["a", "a", "b", "b", "b", "c"]})
    listing = Listing("events", "", (), lambda _: (), limit=2, limited_by=limited_by)
    assert listing.cut(rows) == cut
    assert listing.cut(rows.slice(5)) == 0
