"""Replies of reports as Polars data frames."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.extras import MissingExtra

from .examples import EXAMPLES
from .scripted import ScriptedServer
from .test_operations import answer

FRAMES: list[tuple[str, list[str], list[tuple[Any, ...]]]] = [
    (
        "query.segmentation",
        ["segment", "time", "value"],
        [("Login", "2026-01-01", 100.0), ("Login", "2026-01-02", 150.0)],
    ),
    ("query.segmentation_sum", ["time", "value"], [("2026-01-01", 376.0)]),
    ("query.events", ["event", "time", "value"], [("Login", "2026-01-01", 100.0), ("Login", "2026-01-02", 150.0)]),
    ("query.top_events", ["event", "amount", "percent_change"], [("funnel", 2.0, -0.35560)]),
    (
        "query.funnels",
        ["date", "segment", "step", "event", "count", "avg_time", "step_conv_ratio", "overall_conv_ratio"],
        [
            ("2026-01-01", None, 1, "Signup", 1000, None, None, None),
            ("2026-01-01", None, 2, "Verified", 800, 12.0, None, None),
        ],
    ),
    (
        "query.retention",
        ["date", "segment", "size", "interval", "count"],
        [("2026-01-01", None, 1000, 0, 1000), ("2026-01-01", None, 1000, 1, 800)],
    ),
    (
        "query.retention_addiction",
        ["date", "segment", "parts", "users"],
        [("2026-01-01", None, 1, 305), ("2026-01-01", None, 2, 107), ("2026-01-01", None, 3, 60)],
    ),
    ("query.insights", ["$event", "time", "value"], [("Login", "2026-01-01T00:00:00-07:00", 9852.0)]),
]


def reply_of(mixpanel: Mixpanel, server: ScriptedServer, name: str) -> Any:
    server.answers(answer(EXAMPLES[name].reply))
    return EXAMPLES[name].call(mixpanel)


@pytest.mark.parametrize(("name", "columns", "rows"), FRAMES, ids=[name for name, *_ in FRAMES])
def test_a_report_is_a_data_frame(
    mixpanel: Mixpanel, server: ScriptedServer, name: str, columns: list[str], rows: list[tuple[Any, ...]]
) -> None:
    frame = reply_of(mixpanel, server, name).to_polars()
    assert (frame.columns, frame.rows()) == (columns, rows)


def test_segments_of_a_funnel_are_rows_of_their_own(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(answer(EXAMPLES["query.funnels"].also[1]))
    frame = EXAMPLES["query.funnels"].call(mixpanel).to_polars()
    assert frame.select("segment", "step", "count").rows() == [(None, 1, 1000), (None, 2, 800), ("pro", 1, 1000)]


def test_without_polars_the_error_names_the_extra(
    mixpanel: Mixpanel, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr("mixpanel_etl.extras.find_spec", lambda name: None if name == "polars" else found(name))
    reply = reply_of(mixpanel, server, "query.segmentation")
    with pytest.raises(MissingExtra, match=r"polars not installed: pip install 'mixpanel_etl\[lake\]'"):
        reply.to_polars()
