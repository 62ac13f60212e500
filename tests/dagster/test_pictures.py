"""Pictures of reports: small, and there for any report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixpanel_etl.dagster.reports.pictures import png_of
from mixpanel_etl.pull.reports import Report, report_of

DAY = date(2026, 3, 2)
COMPUTED = datetime(2026, 3, 4, 12, tzinfo=UTC)


def table(report: Report, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns: Any = zip(*rows, strict=True) if rows else [()] * len(report.schema)
    return pa.table(
        [pa.array(cells, field.type) for cells, field in zip(columns, report.schema, strict=True)], report.schema
    )


def size(png: bytes | None) -> tuple[int, int]:
    import io

    from PIL import Image

    return Image.open(io.BytesIO(png or b"")).size


@settings(max_examples=10, deadline=None)
@given(
    names=st.lists(st.text(max_size=40), min_size=1, max_size=8, unique=True),
    numbers=st.lists(st.floats(-1e15, 1e15) | st.integers(0, 9), min_size=1, max_size=5),
)
def test_any_names_and_numbers_can_be_shown(names: list[str], numbers: list[float]) -> None:
    report = report_of("segmentation", {"event": "$x^{", "on": 'properties["$y_{"]'})
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [
        (midnight + timedelta(days=day), "$x^{", name, "general", float(number), COMPUTED)
        for day, number in enumerate(numbers)
        for name in names
    ]
    assert size(png_of(report, [(str(DAY), table(report, rows))], UTC)) == (640, 288)


def test_a_hundred_days_of_hours_are_small_too() -> None:
    report = report_of("segmentation", {"event": "view", "on": 'properties["page"]', "unit": "hour"})
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        (midnight + timedelta(hours=hour), "view", f"segment {n}", "general", float((hour * (n + 7)) % 101), COMPUTED)
        for hour in range(2_400)
        for n in range(9)
    ]
    png = png_of(report, [("2026-01-01", table(report, rows))], UTC)
    assert png is not None
    assert len(png) < 44_000


@pytest.mark.parametrize("kind", ["funnel", "retention", "addiction"])
def test_partitions_without_users_are_shown_as_such(kind: str) -> None:
    no_users: dict[str, list[tuple[Any, ...]]] = {
        "funnel": [(None, 1, "view", None, 0, None, None, None, None, COMPUTED)],
        "retention": [(None, n, 0, 0, None, COMPUTED) for n in range(3)],
        "addiction": [(None, n, 0, COMPUTED) for n in range(1, 25)],
    }
    parameters: dict[str, dict[str, Any]] = {
        "funnel": {"funnel_id": 7},
        "retention": {"born_event": "sign up"},
        "addiction": {},
    }
    report = report_of(kind, parameters[kind])
    partitions = [(str(DAY), table(report, no_users[kind])), (str(DAY + timedelta(days=1)), table(report, []))]
    assert size(png_of(report, partitions, UTC)) == (640, 288)


def test_an_interval_that_has_not_begun_is_not_shown_as_nobody_came_back() -> None:
    report = report_of("retention", {"born_event": "sign up", "interval_count": 4})

    def drawn(later: float) -> bytes | None:
        """With what Mixpanel says of days after it was asked."""
        shares = [1.0, 0.5, 0.25, later, later]
        rows = [(None, n, int(4 * share), 4, share, COMPUTED) for n, share in enumerate(shares)]
        return png_of(report, [(str(DAY), table(report, rows))], UTC)

    assert drawn(0.0) == drawn(0.75)
