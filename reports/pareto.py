"""Pareto front of files: accuracy against a cost, such as size or latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.figures import MUTED, PAPER, SERIES, log_ticks, panels
from reports.naming import Named, name_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = {".tflite": ("TFLite", SERIES[0], "o"), ".onnx": ("ONNX", SERIES[1], "s")}
OTHER_FORMAT = ("Keras", SERIES[2], "D")


@dataclass(frozen=True)
class Point:
    """File in the figure.

    Attributes:
        name: name beside the point.
        suffix: suffix of the file, which decides colour and shape.
        cost: size or latency; less is better.
        top1: top-1 in percent, or agreement with float in percent without labels; more is better.
        low: lower end of the interval of ``top1`` in percent, paired with the float network.
        high: upper end of that interval.
    """

    name: str
    suffix: str
    cost: float
    top1: float
    low: float
    high: float


def front(points: Sequence[Point]) -> list[Point]:
    """Pareto front: points for which no other costs no more, is no worse and is better at one.

    Points that are equal in both are all on the front or all off it.
    """
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (p.cost, -p.top1, p.name)):
        last = kept[-1] if kept else None
        if last is None or p.top1 > last.top1 or (p.cost, p.top1) == (last.cost, last.top1):
            kept.append(p)
    return kept


def pareto(groups: Sequence[tuple[str, Sequence[Point]]], quality: str = "top-1, %") -> str:
    """Draw top-1 over each cost, side by side, with the front's files named.

    Args:
        groups: name of each cost with its unit, and its files, at least one.
        quality: name of the figure in ``top1`` of the points, with its unit.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes: Sequence[Axes]) -> None:
        for place, (one, (title, points)) in enumerate(zip(axes, groups, strict=True)):
            _draw(one, title, points)
            one.set_ylabel("" if place else quality)
        shown: dict[str, Any] = {}
        for one in axes:
            for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
                shown.setdefault(label, handle)
        axes[0].figure.legend(
            list(shown.values()), list(shown), loc="outside upper left", ncols=len(shown)
        )
        for one, (_, points) in zip(axes, groups, strict=True):
            best = front(points)
            rest = [(p.cost, p.top1) for p in set(points).difference(best)]
            name_points(one, [Named(p.cost, p.top1, p.name) for p in best], rest)

    return panels(draw, 1, len(groups), (5.0 * len(groups), 4.3))


def _draw(axes: Axes, title: str, points: Sequence[Point]) -> None:
    axes.set_xscale("log")
    best = front(points)
    xs = [p.cost for p in best]
    axes.step(
        [*xs, 1.25 * max(p.cost for p in points)],
        [*(p.top1 for p in best), best[-1].top1],
        where="post",
        color=MUTED,
        linewidth=1,
        linestyle=(0, (4, 2)),
        label="front",
        zorder=1,
    )
    groups: dict[tuple[tuple[str, str, str], bool], list[Point]] = {}
    on_front = set(best)
    for point in points:
        group = FORMATS.get(point.suffix, OTHER_FORMAT), point in on_front
        groups.setdefault(group, []).append(point)
    for ((label, color, marker), named), group_points in groups.items():
        costs = [p.cost for p in group_points]
        lows, highs = [p.low for p in group_points], [p.high for p in group_points]
        axes.vlines(costs, lows, highs, color=color, alpha=0.35, linewidth=1.2)
        axes.plot(
            costs,
            [p.top1 for p in group_points],
            marker,
            color=color,
            markersize=7 if named else 5,
            markeredgecolor=PAPER,
            markeredgewidth=0.8,
            linestyle="none",
            label=label,
            zorder=3,
        )
    log_ticks(axes.xaxis, [p.cost for p in points])
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel(title)
