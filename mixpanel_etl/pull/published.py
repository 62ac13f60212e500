"""What all pulls share: a documented column of a table, and a partition as it was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from mixpanel_etl.lake import Partition


class Column(NamedTuple):
    """A column of a table."""

    name: str
    type: pa.DataType
    description: str


class Doubts(NamedTuple):
    """What may be wrong with the rows of a partition.

    Attributes:
        cut: whether Mixpanel's reply is as long as its limit, so that it may lack rows.
        chosen: whether that limit is one of the report's parameters.
        left_out: number of segments beyond the report's own `limit`.
        missing: difference between Mixpanel's total and the sum of the segments.
        unknown_names: events and properties that Mixpanel's lists do not have.
    """

    cut: bool = False
    chosen: bool = False
    left_out: int = 0
    missing: float = 0.0
    unknown_names: Sequence[str] = ()


class Published(NamedTuple):
    """A published partition, its rows as they are in the lake, and what may be wrong with them."""

    partition: Partition
    rows: pa.Table
    doubts: Doubts = Doubts()
