"""Reports by segment: a partition has the same segments whichever range of days was asked for.

Mixpanel gives the largest segments of a whole reply, and each of them with zeros on the days on which it has nothing.
So the most segments are asked for that Mixpanel gives, segments without anything are left out of a partition, and
`limit` keeps the largest of each partition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from mixpanel_etl.client import Segmentation
from mixpanel_etl.client.query.parameters import MAX_VALUES, limit_without_on
from mixpanel_etl.pull.reports.report import Expression, Kept, RangeReport


class BySegment(RangeReport):
    """What reports by segment share."""

    #: Whether rows without a segment are the totals, with which the sum of the segments is compared.
    has_totals: ClassVar[bool] = False

    @property
    def is_segmented(self) -> bool:
        return True

    @property
    def numbers_a_unit(self) -> int:
        return MAX_VALUES if self.is_segmented else 1

    @property
    def segments_kept(self) -> int | None:
        """Number of largest segments that a partition keeps; None for all."""
        return None

    def size(self, row: dict[str, Any]) -> float:
        """What a row, by column, adds to the size of its segment; 0 when another row has counted it."""
        number: float = row.get("value", row.get("count")) or 0.0
        return abs(number)

    def of_partition(self, rows: pa.Table) -> Kept:
        if not self.is_segmented:
            return Kept(rows)
        segments = rows["segment"].to_pylist()
        sizes: dict[str | None, float] = defaultdict(float)
        for segment, row in zip(segments, rows.to_pylist(), strict=True):
            sizes[segment] += self.size(row)
        total = sizes.pop(None, 0.0)
        largest = sorted((name for name in sizes if sizes[name]), key=lambda name: (-sizes[name], name or ""))
        kept = {None, *largest[: self.segments_kept]}
        missing = max(0.0, total - sum(sizes.values())) if self.has_totals else 0.0
        chosen = rows.filter(pa.array([segment in kept for segment in segments], pa.bool_()))
        return Kept(chosen, len(largest) + 1 - len(kept), missing)


class Limited(BySegment):
    """What reports by segment share that can leave small segments out."""

    limit: Annotated[int, Field(ge=1, le=MAX_VALUES)] | None = Field(
        default=None, description="Number of largest segments to keep of each partition; all by default."
    )

    @property
    def segments_kept(self) -> int | None:
        return self.limit


class On(Limited):
    """What reports share that are segmented when there is an `on`."""

    on: Expression | None = Field(default=None, description="Expression to segment by.")

    @property
    def is_segmented(self) -> bool:
        return self.on is not None

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if problem := limit_without_on(self.limit, self.on):
            yield f"{problem}: give `on`, or no limit"


def is_cut(reply: Segmentation) -> bool:
    """Whether a series may have more values than came."""
    return len(reply.values) >= MAX_VALUES or (reply.legend_size or 0) > len(reply.values)
