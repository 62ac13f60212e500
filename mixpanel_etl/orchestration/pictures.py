"""Pictures of reports for the Dagster UI: a line for series, bars for funnels, a heat map for retention."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from datetime import tzinfo
from logging import Logger
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from mixpanel_etl.pull.reports import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_LINES = 8
_COHORTS = 60
_NUMBERED = 200  # cells of a heat map that have room for their numbers
_SIZE = (8.0, 3.6)  # inches
_DPI = 80
_COLORS = 256  # of a palette: full colour costs twice the bytes in Dagster's storage

Partitions = Sequence[tuple[str, pa.Table]]


def picture(report: Report, partitions: Partitions, zone: tzinfo, log: Logger | None = None) -> dict[str, Any]:
    """A picture of some partitions as metadata; none when the kind has none, there are no rows, or no matplotlib.

    Args:
        report: decides which kind of picture helps.
        partitions: their keys and rows, in order.
        zone: of the project, in which times are shown.
        log: told when the extra is missing.
    """
    if report.picture is None or not any(len(rows) for _, rows in partitions):
        return {}
    png = png_of(report, partitions, zone, log)
    if png is None:
        return {}
    text = base64.b64encode(png).decode()
    return {"mixpanel_etl/picture": dg.MetadataValue.md(f"![{report.kind}](data:image/png;base64,{text})")}


def png_of(report: Report, partitions: Partitions, zone: tzinfo, log: Logger | None = None) -> bytes | None:
    """The picture itself; None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        if log is not None:
            log.info("no picture: pip install 'mixpanel_etl[pictures]' for one")
        return None
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=9)
    if report.picture == "bars":
        _bars(axes, partitions)
    elif report.picture == "heat map":
        _heat_map(figure, axes, partitions)
    else:
        _lines(axes, partitions, zone)
    return _png(canvas)


def _png(canvas: FigureCanvasAgg) -> bytes:
    from PIL import Image  # comes with matplotlib

    canvas.draw()  # type: ignore[no-untyped-call]
    target = io.BytesIO()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image.convert("RGB").quantize(_COLORS).save(target, "PNG", optimize=True)
    return target.getvalue()


def _lines(axes: Axes, partitions: Partitions, zone: tzinfo) -> None:
    """One line a segment (or event, or metric), the largest ones."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    series: dict[str, dict[Any, float]] = defaultdict(lambda: defaultdict(float))
    for _, rows in partitions:
        for row in rows.to_pylist():
            if row["time"] is not None:
                series[_name(row)][row["time"]] += row["value"] or 0.0
    largest = sorted(series, key=lambda name: -sum(series[name].values()))[:_LINES]
    moments = sorted({moment for name in largest for moment in series[name]})
    for name in largest:
        axes.plot(moments, [series[name].get(moment, 0.0) for moment in moments], label=_short(name), linewidth=1.5)
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylim(bottom=min((0.0, *(value for name in largest for value in series[name].values()))))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > len(largest):
        axes.set_title(f"the {len(largest)} largest of {len(series)}", fontsize=9, loc="left")
    if len(largest) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _bars(axes: Axes, partitions: Partitions) -> None:
    """Users at each step, all partitions together, with the share of those who entered."""
    names: dict[int, str] = {}
    counts: dict[int, int] = defaultdict(int)
    for _, rows in partitions:
        for row in rows.to_pylist():
            if row["segment"] is None:
                names[row["step"]] = row["label"] or row["event"] or ""
                counts[row["step"]] += row["count"]
    steps = sorted(counts)
    bars = axes.bar(range(len(steps)), [counts[step] for step in steps], width=0.6)
    entered = counts[steps[0]] if steps else 0
    shares = [f"{counts[step]:,}\n{counts[step] / entered:.1%}" if entered else "0" for step in steps]
    axes.bar_label(bars, labels=shares, fontsize=9)
    axes.set_xticks(range(len(steps)), [_short(names[step]) for step in steps], fontsize=9)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"entered {partitions[0][0]} to {partitions[-1][0]}", fontsize=9, loc="left")


def _heat_map(figure: Figure, axes: Axes, partitions: Partitions) -> None:
    """Cohorts downwards, intervals to the right; shares of the cohort."""
    shown = partitions[-_COHORTS:]
    table = [_shares(rows) for _, rows in shown]
    width = max((len(shares) for shares in table), default=0)
    grid = [shares + [float("nan")] * (width - len(shares)) for shares in table]
    image = axes.imshow(grid, aspect="auto", cmap="Blues", interpolation="nearest", vmin=0)
    every = max(1, len(shown) // 12)
    axes.set_yticks(range(0, len(shown), every), [key for key, _ in shown][::every], fontsize=8)
    axes.set_xticks(range(width) if width <= 15 else range(0, width, max(1, width // 12)))
    if len(shown) * width <= _NUMBERED:
        dark = max((share for shares in table for share in shares), default=0.0) / 2
        for row, shares in enumerate(table):
            for column, share in enumerate(shares):
                color = "white" if share > dark else "black"
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=7, color=color)
    bar = figure.colorbar(image, ax=axes, format=lambda value, _: f"{value:.0%}")
    bar.ax.tick_params(labelsize=8)
    if len(partitions) > len(shown):
        axes.set_title(f"the last {len(shown)} of {len(partitions)}", fontsize=9, loc="left")


def _shares(rows: pa.Table) -> list[float]:
    """Retention's `share`; of addiction the users of those who came at all."""
    together = [row for row in rows.to_pylist() if row["segment"] is None]
    if together and "share" in together[0]:
        return [row["share"] or 0.0 for row in together]
    most = together[0]["count"] if together else 0
    return [row["count"] / most if most else 0.0 for row in together]


def _name(row: dict[str, Any]) -> str:
    if "metric" in row:
        return " / ".join([row["metric"], *row["segments"]])
    segment = row.get("segment")
    return str(row["event"] if segment is None else segment)


def _short(name: str) -> str:
    # A dollar sign would begin a formula.
    return (name if len(name) <= 24 else name[:23] + "…").replace("$", r"\$")
