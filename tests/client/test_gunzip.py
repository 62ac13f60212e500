"""gunzip with any cuts between chunks, and with missing bytes."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.client import IncompleteResponse, gunzip
from mixpanel_etl.client.http.gunzip import MAX_OUTPUT

members = st.lists(st.binary(max_size=2000), min_size=1, max_size=4)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """`data` in chunks, some of them empty."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[start:end] for start, end in itertools.pairwise(edges))


@given(members, st.lists(st.integers(min_value=0)))
def test_any_cut_into_chunks_gives_the_same_bytes(parts: list[bytes], places: list[int]) -> None:
    compressed = b"".join(map(gzip.compress, parts))
    assert b"".join(gunzip(cut(compressed, places))) == b"".join(parts)


@given(st.binary(max_size=2000), st.integers(min_value=0), st.lists(st.integers(min_value=0)))
def test_any_truncation_is_detected(data: bytes, length: int, places: list[int]) -> None:
    compressed = gzip.compress(data)
    with pytest.raises(IncompleteResponse):
        list(gunzip(cut(compressed[: length % len(compressed)], places)))


@given(st.binary(max_size=500), st.binary(min_size=1, max_size=500), st.integers(min_value=1))
def test_a_truncated_second_member_is_detected(first: bytes, second: bytes, length: int) -> None:
    whole = gzip.compress(second)
    part = whole[: 1 + length % (len(whole) - 1)]
    with pytest.raises(IncompleteResponse):
        list(gunzip([gzip.compress(first) + part]))


@given(st.binary(min_size=1, max_size=500), st.integers(min_value=0, max_value=8 * 8 - 1))
def test_a_flipped_bit_of_the_checksum_or_the_length_is_detected(data: bytes, bit: int) -> None:
    compressed = bytearray(gzip.compress(data))
    compressed[-8 + bit // 8] ^= 1 << bit % 8
    with pytest.raises(IncompleteResponse):
        list(gunzip([bytes(compressed)]))


@pytest.mark.parametrize("data", [b"", b"\0\0", b"<html>", b"{}\n" * 1000])
def test_what_is_no_gzip_is_rejected(data: bytes) -> None:
    with pytest.raises(IncompleteResponse):
        list(gunzip([data]))


def test_something_else_behind_the_end_is_rejected_and_padding_is_not() -> None:
    compressed = gzip.compress(b"whole")
    assert b"".join(gunzip([compressed + b"\0" * 512, b"\0"])) == b"whole"
    with pytest.raises(IncompleteResponse):
        list(gunzip([compressed + b"garbage"]))


def test_what_a_small_chunk_expands_to_is_handed_out_in_pieces() -> None:
    compressed = gzip.compress(bytes(64 * 1024 * 1024))
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in gunzip([compressed])]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == 64 * 1024 * 1024
    assert max(sizes) <= MAX_OUTPUT
    assert peak < 4 * MAX_OUTPUT
