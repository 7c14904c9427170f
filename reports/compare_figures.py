"""Figures of the comparison page: what is kept over the costs, and the loss of each file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calibration_data.task import Task
from reports.figures import INK, plain, svg
from reports.page import Figure, Prose, Section
from reports.pareto import FORMATS, OTHER_FORMAT, Point, front, pareto
from reports.task_rows import compares, kind_of, labelled, loss_text, primary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evaluation.task import TaskKind

Document = dict[str, Any]
Row = dict[str, Any]

_NOISE = 1e-5
_FAR = 20.0
"""Points below the best at which a file would squeeze all others together in the figure."""


def trade(report: Document) -> list[Section]:
    """Figure of what is kept against size and latency.

    It is the primary metric; or the likeness to float, where there are no labels or less of the
    primary metric is better.
    """
    known, kind = _shows_primary(report), kind_of(report["rows"][0])
    rows = [r for r in report["rows"] if known or compares(r)]
    rows = [row for row in rows if math.isfinite(_quality(row, known))]
    metric = kind.first if known else kind.metric(kind.likeness)
    far = {"%": _FAR, "dB": math.inf}.get(metric.unit, _FAR / 100)  # float is far in dB
    least = max((_quality(row, known) for row in rows), default=0.0) - far
    near = [row for row in rows if _quality(row, known) >= least]
    sizes = [_point(row, row["size_bytes"] / 1000, known) for row in near if row["size_bytes"]]
    times = [
        _point(row, row["latency_ms"]["p50"], known)
        for row in near
        if row["latency_ms"] and row["latency_ms"]["p50"] > 0
    ]
    groups = [("size of the file, kB", sizes), ("latency of one image, p50 ms", times)]
    groups = [group for group in groups if len(group[1]) > 1]
    if not groups:
        return []
    alt = " ".join(
        f"Best at {title}: {_listed(front(points), metric.unit)}." for title, points in groups
    )
    caption = "Up and left is better. The broken line joins the files that no other beats at both."
    if known:
        caption += (
            " Vertical lines are the intervals of the drop, paired with float, so differences "
            "within them are not shown by these images."
        )
    distant = [row["name"] for row in rows if _quality(row, known) < least]
    if distant:
        caption += f" Not drawn, at less than {_rough(least, metric.unit)}: {enumerated(distant)}."
    what, quality = _drawn(report, known)
    title = f"{what} against size and speed"
    return [Section(title, (Figure(caption, alt, pareto(groups, quality)),))]


def _shows_primary(report: Document) -> bool:
    rows = report["rows"]
    return labelled(rows) and not kind_of(rows[0]).lower_is_better


def _drawn(report: Document, known: bool) -> tuple[str, str]:
    """What is drawn over the costs, as a title and on the axis."""
    kind = kind_of(report["rows"][0])
    if kind.task is Task.CLASSIFICATION:
        return ("Accuracy", "top-1, %") if known else ("Likeness to float", "answers as float, %")
    metric = kind.first if known else kind.metric(kind.likeness)
    unit = f", {metric.unit}" if metric.unit else ""
    name = metric.title if metric.title != metric.title.lower() else metric.title.capitalize()
    return (name if known else "Likeness to float", f"{metric.title or metric.name}{unit}")


def _rough(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit else f"{value:.2f}"


def _quality(row: Row, known: bool) -> float:
    """What is drawn over the costs: the primary metric, or the likeness to float.

    An infinite SQNR, which JSON has as None, is not drawn.
    """
    kind = kind_of(row)
    value = primary(row) if known else row["metrics"].get(kind.likeness, row.get(kind.likeness))
    return math.inf if value is None else float(value)


def _point(row: Row, cost: float, known: bool) -> Point:
    suffix = "." + row["artifact"].rpartition(".")[2] if row["size_bytes"] else ""
    low, high = row.get("drop_interval", (0.0, 0.0)) if known else (0.0, 0.0)
    quality = _quality(row, known)
    base = quality + (row.get("drop", 0.0) if known else 0.0)
    return Point(row["name"], suffix, cost, quality, base - high, base - low)


def _listed(points: Sequence[Point], unit: str) -> str:
    after = f" {unit}" if unit else ""
    return ", ".join(f"{p.name} ({p.cost:,.3g}, {p.top1:.2f}{after})" for p in points)


def drops(report: Document) -> list[Section]:
    """Figure of the loss of each row with its interval."""
    rows = [row for row in report["rows"] if "drop" in row]
    if not rows:
        return []
    kind = kind_of(rows[0])

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=1)
        for place, row in enumerate(rows):
            low, high = row["drop_interval"]
            suffix = "." + row["artifact"].rpartition(".")[2]
            _, color, marker = FORMATS.get(suffix, OTHER_FORMAT)
            axes.plot([low, high], [place, place], color=color, linewidth=1.6)
            axes.plot([row["drop"]], [place], marker, color=color, markersize=6)
        axes.set_yticks(range(len(rows)), [plain(row["name"]) for row in rows])
        axes.invert_yaxis()
        axes.margins(y=0.6 / len(rows))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_lost(kind))

    clear = [row["name"] for row in rows if row["drop_interval"][0] > 0 and not _is_noise(row)]
    caption = (
        f"{'Recipe minus float' if kind.lower_is_better else 'Float minus recipe'} on the same "
        f"{report['n']:,} images, with the paired 95 % interval. "
        "Where the line crosses zero, these images do not show a loss. Circles are TFLite files, "
        "squares ONNX."
    )
    alt = " ".join(
        f"{row['name']}: {loss_text(row, row['drop'])} "
        f"[{', '.join(loss_text(row, end) for end in row['drop_interval'])}]."
        for row in rows
    )
    text = (
        f"A loss is shown for {enumerated(clear)}."
        if clear
        else "No recipe loses more than these images can tell from nothing."
    )
    drawing = svg(draw, (7.4, 1.0 + 0.27 * len(rows)))
    return [Section("What each recipe loses", (Prose(text), Figure(caption, alt, drawing)))]


def _is_noise(row: Row) -> bool:
    """Whether a loss is of the size of float32's last bits, which move a mean of errors."""
    value = primary(row)
    return kind_of(row).lower_is_better and abs(row["drop"]) < _NOISE * abs(value or 0.0)


def _lost(kind: TaskKind) -> str:
    """Name of the axis of losses."""
    if kind.task is Task.CLASSIFICATION:
        return "points of top-1 lost against float"
    if kind.lower_is_better:
        return f"growth of {kind.first.title} against float"
    unit = "points of " if kind.first.unit == "%" else ""
    return f"{unit}{kind.first.title} lost against float"


def enumerated(names: Sequence[str]) -> str:
    """Names in quotes, with commas and an ``and``."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
