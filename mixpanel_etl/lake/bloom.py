"""Which row groups of a Parquet file may hold a value, from statistics and Bloom filters alone.

pyarrow writes Bloom filters and says where they are, but does not look into them; this does (Parquet's split block
Bloom filter with xxHash64: https://parquet.apache.org/docs/file-format/bloomfilter/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import IO, Any

import pyarrow.parquet as pq
from xxhash import xxh64_intdigest

_SALT = (0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31)
_BLOCK = struct.Struct("<8I")


def may_hold(file: IO[bytes], column: pq.ColumnChunkMetaData, values: Iterable[str]) -> bool:
    """Whether a column of a row group may hold one of the values; False is certain.

    Args:
        file: the Parquet file that the column's metadata are of.
        column: its metadata in the row group; of strings.
        values: looked for.
    """
    wanted = [value.encode() for value in values]
    if column.is_stats_set and (statistics := column.statistics) and statistics.has_min_max:
        low, high = _bytes(statistics.min), _bytes(statistics.max)
        wanted = [value for value in wanted if low <= value <= high]
    if not wanted or column.bloom_filter_length is None:
        return bool(wanted)
    file.seek(column.bloom_filter_offset)
    bits = _bitset(file.read(column.bloom_filter_length))
    return any(_holds(bits, value) for value in wanted)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _bitset(stored: bytes) -> bytes:
    # Blocks of 32 bytes after a header, which is shorter than one.
    return stored[len(stored) % _BLOCK.size :]


def _holds(bits: bytes, value: bytes) -> bool:
    digest = xxh64_intdigest(value)
    block = (digest >> 32) * (len(bits) // _BLOCK.size) >> 32
    words = _BLOCK.unpack_from(bits, block * _BLOCK.size)
    key = digest & 0xFFFFFFFF
    return all(word >> (key * salt % 2**32 >> 27) & 1 for word, salt in zip(words, _SALT, strict=True))
