"""An array that arrives in pieces gives the same items as one that is read as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.client import IncompleteResponse, ReplyError
from mixpanel_etl.client.http.error_mapping import Scrubber
from mixpanel_etl.client.http.json_items import items

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ARRAYS = st.lists(st.dictionaries(TEXT, VALUES, max_size=3) | st.lists(VALUES, max_size=3) | TEXT, max_size=4)


def read(body: bytes, size: int) -> list[Any]:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return list(items(chunks, Scrubber(())))


@settings(max_examples=50)
@given(array=ARRAYS, size=st.integers(1, 40), ascii_only=st.booleans(), indent=st.none() | st.just(1))
def test_any_array_in_pieces_of_any_size(array: list[Any], size: int, ascii_only: bool, indent: int | None) -> None:
    assert read(json.dumps(array, ensure_ascii=ascii_only, indent=indent).encode(), size) == array


@settings(max_examples=50)
@given(array=ARRAYS.filter(bool), size=st.integers(1, 40), data=st.data())
def test_an_array_that_is_cut_anywhere_is_incomplete(array: list[Any], size: int, data: st.DataObject) -> None:
    body = json.dumps(array).encode()
    with pytest.raises(IncompleteResponse):
        read(body[: data.draw(st.integers(1, len(body) - 1))], size)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "Uncaught exception x"}', "Uncaught exception"),
        (b'{"results": []}', "expected a JSON array"),
        (b"", "not JSON"),
        (b'["\xff"]', "not JSON"),
    ],
)
def test_what_is_no_array_is_told(body: bytes, said: str) -> None:
    with pytest.raises(ReplyError, match=said):
        read(body, 7)


def test_an_item_is_handed_out_before_the_rest_arrives() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            asked.append(number)
            yield b'[{"n": 0}' if number == 0 else b',{"n": 1}'
        yield b"]"

    found = items(chunks(), Scrubber(()))
    assert next(found) == {"n": 0}
    assert len(asked) < 4
    assert len(list(found)) == 99
