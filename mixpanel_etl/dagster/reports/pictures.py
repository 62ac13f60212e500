"""Pictures of reports for the Dagster UI: a line for series, bars for funnels, a heat map for retention."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from logging import Logger
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from mixpanel_etl.expressions import masked
from mixpanel_etl.pull.reports import Report, later
from mixpanel_etl.pull.reports.retention import Retention

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_LINES = 6
_COHORTS = 60
_NUMBERED_ROWS, _NUMBERED_COLUMNS = 15, 12  # of a heat map whose cells have room for their numbers
_FEW = 12  # moments that have room for a label each
_COUNTED = {"general": "events", "unique": "users", "average": "events per user"}
_SIZE = (8.0, 3.6)  # inches
_DPI = 80
_BYTES = 44_000  # in Dagster's storage a third more, as text
_COLORS = (256, 96, 32)  # of a palette, fewer when the picture is large: full colour costs twice the bytes

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
        note = _funnel(axes, partitions)
    elif report.picture == "heat map":
        note = _heat_map(figure, axes, report, partitions, zone)
    else:
        note = _series(axes, report, partitions, zone)
    axes.set_title(_title(report, note), fontsize=9, loc="left")
    return _png(canvas)


def _title(report: Report, note: str) -> str:
    given = report.model_dump(exclude_none=True)
    number = given.get("funnel_id") or given.get("bookmark_id") or ""
    about = given.get("event") or given.get("born_event") or ", ".join(given.get("events", []))
    by = masked(given["on"]) if given.get("on") else given.get("property") or ""
    parts = [f"{report.kind.replace('_', ' ')} {number}".strip(), about, by, note]
    return "  ·  ".join(_plain(part) for part in parts if part)


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


def _series(axes: Axes, report: Report, partitions: Partitions, zone: tzinfo) -> str:
    """The largest segments (or events, or metrics) over time: lines, or bars when there is but one moment."""
    series: dict[tuple[str, ...], dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    for _, rows in partitions:
        for row in rows.to_pylist():
            if row["time"] is not None and row.get("part", "series") == "series":
                series[_path(row)][row["time"]] += row["value"] or 0.0
    largest = sorted(series, key=lambda path: -sum(series[path].values()))[:_LINES]
    # What all have in common tells none apart.
    same = len({path[0] for path in series}) == 1 and len(series) > 1
    names = {path: _plain(_short(name)) for path, name in _names(report, largest, same=same).items()}
    moments = sorted({moment for path in largest for moment in series[path]})
    counted = _counted(report)
    axes.spines[["top", "right"]].set_visible(False)
    if len(moments) == 1:
        _bars_of_one(axes, {names[path]: series[path][moments[0]] for path in largest}, counted)
        return f"{moments[0].astimezone(zone):%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    for path in largest:
        values = [series[path].get(moment, 0.0) for moment in moments]
        marker = "o" if len(moments) <= _FEW else ""
        axes.plot(moments, values, label=names[path], linewidth=1.4, marker=marker, ms=4)  # type: ignore[arg-type]
    _dates(axes, moments, zone)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylim(bottom=min((0.0, *(value for path in largest for value in series[path].values()))))
    axes.set_ylabel(counted, fontsize=9)
    axes.grid(alpha=0.3)
    if len(largest) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return f"the {len(largest)} largest of {len(series)}" if len(series) > len(largest) else ""


def _counted(report: Report) -> str:
    """What the numbers of a series are; a saved report does not say."""
    given = report.model_dump()
    what = _COUNTED[given["type"]] if "type" in given else report.kind.partition("_")[2]
    return f"{what} per {given['unit']}" if "unit" in given else ""


def _bars_of_one(axes: Axes, values: dict[str, float], counted: str) -> None:
    bars = axes.barh(range(len(values)), list(values.values()), height=0.6)
    axes.bar_label(bars, fmt=lambda value: f"{value:,.2f}".removesuffix(".00"), fontsize=9, padding=3)
    axes.set_yticks(range(len(values)), list(values), fontsize=9)
    axes.set_ylim(max(len(values), 3) - 0.5, -0.5)  # the largest above
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.set_xlabel(counted, fontsize=9)
    axes.margins(x=0.1)


def _dates(axes: Axes, moments: Sequence[datetime], zone: tzinfo) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if len(moments) <= _FEW:
        local = [moment.astimezone(zone) for moment in moments]
        at = "%b %d" if all((moment.hour, moment.minute) == (0, 0) for moment in local) else "%b %d %H:%M"
        axes.set_xticks(moments, [f"{moment:{at}}" for moment in local])  # type: ignore[arg-type]
        return
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]


def _funnel(axes: Axes, partitions: Partitions) -> str:
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
    axes.set_xticks(range(len(steps)), [_plain(_short(names[step])) for step in steps], fontsize=9)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.set_ylabel("users", fontsize=9)
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    first, last = partitions[0][0], partitions[-1][0]
    return f"entered {first}" if first == last else f"entered {first} to {last}"


def _heat_map(figure: Figure, axes: Axes, report: Report, partitions: Partitions, zone: tzinfo) -> str:
    """Cohorts downwards, intervals to the right; shares of the cohort. What is not known yet stays grey."""
    from matplotlib.colors import PowerNorm

    shown = partitions[-_COHORTS:]
    table = [
        _retained(report, key, rows, zone) if isinstance(report, Retention) else _active(rows) for key, rows in shown
    ]
    width = max(len(shares) for shares in table) or 1  # a column of nothing when nobody came
    grid = [shares + [math.nan] * (width - len(shares)) for shares in table]
    # The root, because the first column is often all, and the others a few percent.
    norm = PowerNorm(0.5, vmin=0, vmax=max((share for shares in table for share in shares if share > 0), default=1.0))
    image = axes.imshow(grid, aspect="auto", cmap="Blues", interpolation="nearest", norm=norm)
    axes.set_facecolor("#f0f0f0")
    every = max(1, len(shown) // 12)
    axes.set_yticks(range(0, len(shown), every), [key for key, _ in shown][::every], fontsize=8)
    columns = range(0, width, 1 if width <= _NUMBERED_COLUMNS else 2)
    if isinstance(report, Retention):
        first, counted = 0, f"{report.unit}s after {report.born_event or 'any event'}"
    else:
        first, counted = 1, f"active in at least so many {report.model_dump()['addiction_unit']}s, of all who came"
    axes.set_xticks(columns, [str(first + column) for column in columns])
    axes.set_xlabel(_plain(counted), fontsize=9)
    if len(shown) <= _NUMBERED_ROWS and width <= _NUMBERED_COLUMNS:
        for row, shares in enumerate(table):
            for column, share in enumerate(shares):
                if not math.isnan(share):
                    color = "white" if norm(share) > 0.5 else "black"
                    axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color=color)
    bar = figure.colorbar(image, ax=axes, format=lambda value, _: f"{value:.0%}")
    bar.ax.tick_params(labelsize=8)
    return f"the last {len(shown)} of {len(partitions)}" if len(partitions) > len(shown) else ""


def _retained(report: Retention, key: str, rows: pa.Table, zone: tzinfo) -> list[float]:
    """Shares of a cohort by interval; not of intervals that had not begun for anybody, nor of nobody."""
    shares = []
    for row in rows.to_pylist():
        if row["segment"] is None:
            begins = later(date.fromisoformat(key), report.partition_unit, row["interval"])
            begun = begins <= row["computed_at"].astimezone(zone).date()
            shares.append(row["share"] if begun and row["share"] is not None else math.nan)
    return shares


def _active(rows: pa.Table) -> list[float]:
    """Shares of those who came at all, as far as there is anybody."""
    counts = [row["count"] for row in rows.to_pylist() if row["segment"] is None]
    return [count / counts[0] for count in counts if count]


def _path(row: dict[str, Any]) -> tuple[str, ...]:
    if "metric" in row:
        measured = [f"{row['measure']} {row['position']}"] if row["measure"] else []
        return (row["metric"], *(segment for segment in row["segments"] if segment is not None), *measured)
    return (row["event"],) if row.get("segment") is None else (row["event"], row["segment"])


def _names(report: Report, paths: Sequence[tuple[str, ...]], *, same: bool) -> dict[tuple[str, ...], str]:
    """What the lines are called. Segments that may be persons have numbers, the largest first."""
    segments = {"segment", "segments"}.intersection(report.schema.names)
    if segments <= set(report.shown_columns):
        return {path: " / ".join(path[1:] if same else path) or path[0] for path in paths}
    numbers = {path: f"segment {number}" for number, path in enumerate((p for p in paths if len(p) > 1), start=1)}
    first = {path: "" if same and len(path) > 1 else path[0] for path in paths}
    return {path: " / ".join(filter(None, (first[path], numbers.get(path)))) for path in paths}


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # which would begin a formula
