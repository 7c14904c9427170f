"""Costs of networks as sentences, CSV and plot."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.atomic import write_whole
from models.cost.counting import Cost
from reports.figures import log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Point:
    """Cost of one width and size.

    Attributes:
        alpha: width multiplier.
        size: side of the square input.
        params: parameters after batch norms are folded.
        macs: multiply-adds per image.
        peak_bytes: least activation memory in bytes.
    """

    alpha: float
    size: int
    params: int
    macs: int
    peak_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def totals(cost: Cost, element_bytes: int) -> list[str]:
    """Sentences about the cost of a network, one per quantity."""
    peak = cost.peak * element_bytes
    where = max(cost.layers, key=lambda layer: layer.live)
    bound = "least" if cost.exact else "at most (too many orders to search), with this one's"
    params = (
        f"{cost.params:,}, of which {cost.norm_params:,} in batch norms; "
        f"{cost.folded_params:,} once these are folded"
    )
    memory = (
        f"{peak:,} bytes of activations at {element_bytes} a value, {bound} peak, "
        f"while {where.name} runs"
    )
    return [f"params  {params}", f"MACs    {cost.macs:,}", f"memory  {memory}"]


def grid_csv(points: list[Point]) -> str:
    """Grid as CSV, one row per width and size."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Point)])
    writer.writerows(point.to_dict().values() for point in points)
    return text.getvalue()


def plot(name: str, points: list[Point], path: Path) -> None:
    """Draw multiply-adds and peak memory over the input size, one line per width.

    Args:
        name: name of the network, for the title.
        points: points of the grid, at least one.
        path: path of a .svg or .png; equal points give equal bytes.

    Raises:
        InvalidInputError: the folder cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Figure instead of pyplot: no global state, and no display is needed.
    with rc_context({"svg.hashsalt": "edgequant"}):
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_grid(left, right, points)
        figure.suptitle(name)
        # Without date and version, a second run gives the same bytes.
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        write_whole(path, partial(figure.savefig, metadata=metadata))


def draw_grid(left: Axes, right: Axes, points: list[Point]) -> None:
    """Draw one line per width: multiply-adds to the left, peak memory to the right."""
    alphas = sorted({point.alpha for point in points})
    for number, alpha in enumerate(alphas):
        line = sorted((p for p in points if p.alpha == alpha), key=lambda p: p.size)
        sizes = [point.size for point in line]
        label = f"{alpha:g} ({line[0].params / 1e6:.2f} M)"
        # Points of equal cost overlap: smaller marks on top leave those below visible.
        style: dict[str, Any] = {"marker": "o", "markersize": 10 - 7 * number / len(alphas)}
        left.plot(sizes, [p.macs / 1e6 for p in line], label=label, **style)
        right.plot(sizes, [p.peak_bytes / 1000 for p in line], **style)
    sizes = sorted({p.size for p in points})
    _finish(left, "multiply-adds, millions", sizes, [p.macs / 1e6 for p in points])
    _finish(right, "peak activation memory, kB", sizes, [p.peak_bytes / 1000 for p in points])
    left.figure.legend(title="width (params)", loc="outside right upper", fontsize="small")


def _finish(axes: Axes, label: str, sizes: list[int], values: list[float]) -> None:
    axes.set_xlabel("side of the input, pixels")
    axes.set_ylabel(label)
    axes.set_xticks(sizes)
    axes.set_yscale("log")
    log_ticks(axes.yaxis, values)
    axes.grid(visible=True, alpha=0.3)
