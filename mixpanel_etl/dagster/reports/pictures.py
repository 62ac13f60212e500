"""Draws the charts of reports (`pull.reports.charts`) for the Dagster UI: lines, bars, heat maps."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from datetime import datetime, tzinfo
from logging import Logger
from typing import TYPE_CHECKING, Any

import dagster as dg

from mixpanel_etl.expressions import masked
from mixpanel_etl.pull.reports import Report
from mixpanel_etl.pull.reports.charts import Bars, HeatMap, Lines, Partitions, Path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_LINES = 6
_COHORTS = 60
_NUMBERED_ROWS, _NUMBERED_COLUMNS = 15, 12  # of a heat map whose cells have room for their numbers
_FEW = 12  # times that have room for a label each
_SIZE = (8.0, 3.6)  # inches
_DPI = 80
_BYTES = 44_000  # in Dagster's storage a third more, as text
_COLORS = (256, 96, 32)  # of a palette, fewer when the picture is large: full colour costs twice the bytes


def picture(report: Report, partitions: Partitions, zone: tzinfo, log: Logger | None = None) -> dict[str, Any]:
    """A picture of some partitions as metadata; none when the kind has none, there are no rows, or no matplotlib.

    Args:
        report: decides on the chart.
        partitions: their keys and rows, in order.
        zone: of the project, in which times are shown.
        log: informed if matplotlib is not installed.
    """
    if not any(len(rows) for _, rows in partitions):
        return {}
    png = png_of(report, partitions, zone, log)
    if png is None:
        return {}
    text = base64.b64encode(png).decode()
    return {"mixpanel_etl/picture": dg.MetadataValue.md(f"![{report.kind}](data:image/png;base64,{text})")}


def png_of(report: Report, partitions: Partitions, zone: tzinfo, log: Logger | None = None) -> bytes | None:
    """The picture itself; None if the kind has none, or without matplotlib."""
    chart = report.chart(partitions, zone)
    if chart is None:
        return None
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
    match chart:
        case Lines():
            note = _lines(axes, chart, zone)
        case Bars():
            note = _bars(axes, chart)
        case HeatMap():
            note = _heat_map(figure, axes, chart)
    axes.set_title(_title(report, note), fontsize=9, loc="left")
    return _png(canvas)


def _title(report: Report, note: str) -> str:
    given = report.model_dump(exclude_none=True)
    about = given.get("event") or given.get("born_event") or ", ".join(given.get("events", []))
    by = masked(given["on"]) if given.get("on") else given.get("property") or ""
    return "  ·  ".join(_plain(part) for part in (report.title, about, by, note) if part)


def _png(canvas: FigureCanvasAgg) -> bytes:
    from PIL import Image  # comes with matplotlib

    canvas.draw()  # type: ignore[no-untyped-call]
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    flat = image.convert("RGB")
    for colors in _COLORS:
        target = io.BytesIO()
        flat.quantize(colors).save(target, "PNG", optimize=True)
        if len(target.getvalue()) <= _BYTES:
            break
    return target.getvalue()


def _lines(axes: Axes, chart: Lines, zone: tzinfo) -> str:
    """The largest series over time: lines, or bars if there is but one time."""
    series, counted = chart.series, chart.counted
    largest = sorted(series, key=lambda path: -sum(series[path].values()))[:_LINES]
    # What all have in common tells none apart.
    same = len({path[0] for path in series}) == 1 and len(series) > 1
    names = {path: _plain(_short(name)) for path, name in _names(chart, largest, same=same).items()}
    times = sorted({time for path in largest for time in series[path]})
    axes.spines[["top", "right"]].set_visible(False)
    if len(times) == 1:
        _bars_of_one(axes, {names[path]: series[path][times[0]] for path in largest}, counted)
        return f"{times[0].astimezone(zone):%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    for path in largest:
        values = [series[path].get(time, 0.0) for time in times]
        marker = "o" if len(times) <= _FEW else ""
        axes.plot(times, values, label=names[path], linewidth=1.4, marker=marker, ms=4)  # type: ignore[arg-type]
    _dates(axes, times, zone)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylim(bottom=min((0.0, *(value for path in largest for value in series[path].values()))))
    axes.set_ylabel(counted, fontsize=9)
    axes.grid(alpha=0.3)
    if len(largest) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return f"the {len(largest)} largest of {len(series)}" if len(series) > len(largest) else ""


def _bars_of_one(axes: Axes, values: dict[str, float], counted: str) -> None:
    bars = axes.barh(range(len(values)), list(values.values()), height=0.6)
    axes.bar_label(bars, fmt=lambda value: f"{value:,.2f}".removesuffix(".00"), fontsize=9, padding=3)
    axes.set_yticks(range(len(values)), list(values), fontsize=9)
    axes.set_ylim(max(len(values), 3) - 0.5, -0.5)  # the largest above
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.set_xlabel(counted, fontsize=9)
    axes.margins(x=0.1)


def _dates(axes: Axes, times: Sequence[datetime], zone: tzinfo) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if len(times) <= _FEW:
        local = [time.astimezone(zone) for time in times]
        at = "%b %d" if all((time.hour, time.minute) == (0, 0) for time in local) else "%b %d %H:%M"
        axes.set_xticks(times, [f"{time:{at}}" for time in local])  # type: ignore[arg-type]
        return
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]


def _bars(axes: Axes, chart: Bars) -> str:
    """A bar for each step, with its share of the first one."""
    numbers = [number for _, number in chart.steps]
    bars = axes.bar(range(len(numbers)), numbers, width=0.6)
    entered = numbers[0] if numbers else 0
    axes.bar_label(bars, labels=[f"{n:,}\n{n / entered:.1%}" if entered else "0" for n in numbers], fontsize=9)
    axes.set_xticks(range(len(numbers)), [_plain(_short(name)) for name, _ in chart.steps], fontsize=9)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylabel(chart.counted, fontsize=9)
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    return chart.note


def _heat_map(figure: Figure, axes: Axes, chart: HeatMap) -> str:
    """Partitions downwards, numbers to the right. What is not known yet stays grey."""
    from matplotlib.colors import PowerNorm

    shown = chart.rows[-_COHORTS:]
    table = [list(shares) for _, shares in shown]
    width = max(len(shares) for shares in table) or 1  # a column of nothing when no user came
    grid = [shares + [math.nan] * (width - len(shares)) for shares in table]
    # The root, because the first column is often all, and the others a few percent.
    norm = PowerNorm(0.5, vmin=0, vmax=max((share for shares in table for share in shares if share > 0), default=1.0))
    image = axes.imshow(grid, aspect="auto", cmap="Blues", interpolation="nearest", norm=norm)
    axes.set_facecolor("#f0f0f0")
    every = max(1, len(shown) // 12)
    axes.set_yticks(range(0, len(shown), every), [key for key, _ in shown][::every], fontsize=8)
    columns = range(0, width, 1 if width <= _NUMBERED_COLUMNS else 2)
    axes.set_xticks(columns, [str(chart.first + column) for column in columns])
    axes.set_xlabel(_plain(chart.numbered), fontsize=9)
    if len(shown) <= _NUMBERED_ROWS and width <= _NUMBERED_COLUMNS:
        for row, shares in enumerate(table):
            for column, share in enumerate(shares):
                if not math.isnan(share):
                    color = "white" if norm(share) > 0.5 else "black"
                    axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color=color)
    bar = figure.colorbar(image, ax=axes, format=lambda value, _: f"{value:.0%}")
    bar.ax.tick_params(labelsize=8)
    return f"the last {len(shown)} of {len(chart.rows)}" if len(chart.rows) > len(shown) else ""


def _names(chart: Lines, paths: Sequence[Path], *, same: bool) -> dict[Path, str]:
    """What the lines are called. Segments that may be persons have numbers, the largest first."""
    if chart.shows_segments:
        return {path: " / ".join(path[1:] if same else path) or path[0] for path in paths}
    numbers = {path: f"segment {number}" for number, path in enumerate((p for p in paths if len(p) > 1), start=1)}
    first = {path: "" if same and len(path) > 1 else path[0] for path in paths}
    return {path: " / ".join(filter(None, (first[path], numbers.get(path)))) for path in paths}


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # which would begin a formula
