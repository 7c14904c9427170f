"""The figures of the page, each drawn from rows of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures import INK, MUTED, SERIES, panels, svg
from studies.relu6.half import LARGEST, SMALLEST_NORMAL
from studies.relu6.layers import BITS, Role
from studies.relu6.lookup import (
    ACTIVATION_KINDS,
    FIXED,
    MIN_MAX,
    NAMES,
    PER_CHANNEL,
    PERCENTILE,
    USUAL,
    Lookup,
)
from studies.relu6.results import DropRow, Results
from studies.relu6.spiral import DIMENSIONS, embedding, spiral, through_relu

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = dict(zip(ACTIVATION_KINDS, SERIES, strict=False))
MARKERS = dict(zip(ACTIVATION_KINDS, "osD^", strict=True))
FIXED_COLOR = SERIES[len(ACTIVATION_KINDS)]
FIXED_NAME = "ReLU6, fixed [0, 6]"
LEAST_DROP = 0.05
"""Start of a logarithmic axis of drops, in percentage points."""


def bits(results: Results) -> str:
    """Drop against activation bits, for both methods of ranges."""
    look = Lookup(results)

    def draw(axes: Sequence[Axes]) -> None:
        for axis, ranges, title in (
            (axes[0], MIN_MAX, "smallest to largest value"),
            (axes[1], PERCENTILE, "percentile"),
        ):
            for shift, kind in enumerate(ACTIVATION_KINDS):
                rows = [look.drop(kind, width, ranges) for width in BITS]
                _errors(axis, [b + 0.06 * (shift - 1.5) for b in BITS], rows, kind)
            if ranges == MIN_MAX:
                rows = [look.drop(USUAL, width, FIXED) for width in BITS]
                _errors(axis, [b + 0.15 for b in BITS], rows, None)
            axis.set_title(title)
            axis.set_xlabel("activation bits")
            axis.set_xticks(BITS)
            axis.invert_xaxis()
            axis.set_ylim(bottom=min(-1.0, axis.get_ylim()[0]))
        axes[0].set_ylabel("drop of top-1, points")
        axes[0].legend(loc="upper left")
        top = max(axis.get_ylim()[1] for axis in axes)
        for axis in axes:
            axis.set_ylim(top=top)

    return panels(draw, 1, 2, (7.0, 3.6))


def _errors(axis: Axes, places: Sequence[float], rows: Sequence[DropRow], kind: str | None) -> None:
    low = [row.drop - row.drop_low for row in rows]
    high = [row.drop_high - row.drop for row in rows]
    axis.errorbar(
        places,
        [row.drop for row in rows],
        yerr=[low, high],
        color=FIXED_COLOR if kind is None else COLORS[kind],
        marker="v" if kind is None else MARKERS[kind],
        linestyle="--" if kind is None else "-",
        capsize=2,
        elinewidth=0.9,
        label=FIXED_NAME if kind is None else NAMES[kind],
    )


def spread(results: Results) -> str:
    """How far the values of each non-linear activation reach, layer by layer."""

    def draw(axes: Sequence[Axes]) -> None:
        for axis, kind in zip(axes, ACTIVATION_KINDS, strict=True):
            rows = [
                row
                for row in results.spread
                if row.kind == kind and row.role == Role.ACTIVATED.value
            ]
            places = np.arange(len(rows)) + 1
            color = COLORS[kind]
            axis.fill_between(
                places, [r.p50 for r in rows], [r.p99 for r in rows], color=color, alpha=0.35, lw=0
            )
            axis.plot(places, [r.p50 for r in rows], color=color, lw=1.4)
            axis.plot(places, [r.p9999 for r in rows], color=color, lw=1.0, ls="--")
            axis.plot(places, [r.high for r in rows], color=color, lw=0, marker=".", ms=5)
            axis.axhline(6, color=MUTED, lw=0.8, ls=":")
            axis.set_title(NAMES[kind])
            axis.set_yscale("symlog", linthresh=1)
            axis.set_yticks([0, 1, 3, 6, 10, 30], ["0", "1", "3", "6", "10", "30"])
            axis.set_ylim(0, 60)
            axis.minorticks_off()
        for axis in axes[2:]:
            axis.set_xlabel("non-linear activation, in order")
        for axis in axes[::2]:
            axis.set_ylabel("magnitude")

    return panels(draw, 2, 2, (7.0, 5.2))


def histograms(results: Results) -> str:
    """Densities of three activations of each kind of network."""

    def draw(axes: Sequence[Axes]) -> None:
        for place, (axis, title) in enumerate(
            zip(axes, ("first activation", "middle activation", "last activation"), strict=True)
        ):
            for kind in ACTIVATION_KINDS:
                layers = list(dict.fromkeys(r.layer for r in results.histograms if r.kind == kind))
                rows = [r for r in results.histograms if (r.kind, r.layer) == (kind, layers[place])]
                edges = [row.left + row.width / 2 for row in rows]
                axis.plot(
                    edges,
                    [row.density for row in rows],
                    color=COLORS[kind],
                    lw=1.3,
                    label=NAMES[kind],
                )
            axis.axvline(6, color=MUTED, lw=0.8, ls=":")
            axis.set_yscale("log")
            axis.set_title(title)
            axis.set_xlabel("value")
        axes[0].set_ylabel("density")
        axes[-1].legend()

    return panels(draw, 1, 3, (7.0, 3.0))


def noise(results: Results) -> str:
    """Signal-to-noise ratio by layer: rounding of each tensor alone, and of all tensors."""

    def draw(axes: Sequence[Axes]) -> None:
        for axis, kind in zip(axes, ACTIVATION_KINDS, strict=True):
            rows = [
                row
                for row in results.layers
                if (row.kind, row.ranges, row.bits) == (kind, MIN_MAX, 8)
                and row.role == Role.ACTIVATED.value
            ]
            places = np.arange(len(rows)) + 1
            axis.plot(places, [row.own_db for row in rows], color=COLORS[kind], lw=1.5)
            axis.plot(places, [row.through_db for row in rows], color=COLORS[kind], lw=1.5, ls="--")
            axis.set_title(NAMES[kind])
            axis.set_ylim(0, 65)
        for axis in axes[2:]:
            axis.set_xlabel("non-linear activation, in order")
        for axis in axes[::2]:
            axis.set_ylabel("signal to noise, dB")
        for height, text in ((0.86, "own rounding"), (0.08, "all layers together")):
            axes[0].text(0.98, height, text, transform=axes[0].transAxes, ha="right", color=INK)

    return panels(draw, 2, 2, (7.0, 4.6))


def half(results: Results) -> str:
    """Distribution of the values, and the steps of float16 and int8 there."""

    def draw(axes: Sequence[Axes]) -> None:
        shares, steps = axes
        for kind in ACTIVATION_KINDS:
            rows = [row for row in results.binades if row.kind == kind]
            exponents = sorted({row.exponent for row in rows})
            seeds = len({row.seed for row in rows})
            total = [
                100 * sum(row.share for row in rows if row.exponent == e) / seeds for e in exponents
            ]
            middles = [1.5 * 2.0**e for e in exponents]
            shares.plot(middles, total, color=COLORS[kind], label=NAMES[kind], lw=1.5)
        shares.set_ylabel("share of the values, %")
        shares.legend()
        places = np.logspace(-26, 17, 400, base=2)
        exponent = np.maximum(np.floor(np.log2(places)), -14)
        inside = places <= LARGEST
        steps.plot(places[inside], 2.0 ** (exponent[inside] - 10), color=INK, lw=1.4)
        steps.text(2.0**-8, 2.0**-19, "float16", color=INK)
        for kind in ACTIVATION_KINDS:
            step = Lookup(results).noise(kind, Role.ACTIVATED.value).step
            steps.axhline(step, color=COLORS[kind], lw=1.1)
        steps.text(2.0**-25, 2.0**-4.5, "int8", color=INK)
        steps.set_yscale("log", base=2)
        steps.set_ylabel("distance of two numbers")
        for axis in axes:
            axis.set_xscale("log", base=2)
            axis.set_xlim(2.0**-26, 2.0**18)
            for edge in (SMALLEST_NORMAL, LARGEST):
                axis.axvline(edge, color=MUTED, lw=0.8, ls=":")
            axis.set_xlabel("magnitude")

    return panels(draw, 1, 2, (7.0, 3.3))


def calibration(results: Results) -> str:
    """Drop against the number of calibration images."""
    look = Lookup(results)
    counts = sorted({int(row.strength) for row in results.calibration})

    def draw(axis: Axes) -> None:
        places = [0.4 if count == 0 else count for count in counts]
        for kind in ACTIVATION_KINDS:
            _errors(axis, places, [look.calibrated(kind, c) for c in counts], kind)
        _errors(axis, places, [look.calibrated(USUAL, c, FIXED) for c in counts], None)
        axis.set_xscale("log")
        axis.set_xticks(places, [f"{count:,}" for count in counts])
        axis.minorticks_off()
        axis.set_xlabel("calibration images (0: batch norms alone)")
        axis.set_ylabel("drop of top-1, points")
        axis.legend()

    return svg(draw, (7.0, 3.4))


def breaking(results: Results) -> str:
    """Drops of rescaled networks, broken and repaired."""
    cases = (("relu", "outlier, all free"), ("relu6", "outlier, linear"))

    def draw(axes: Sequence[Axes]) -> None:
        for axis, (kind, what) in zip(axes, cases, strict=True):
            for color, (repair, label, ranges) in zip(
                SERIES,
                (
                    ("none", "as it is", MIN_MAX),
                    ("percentile", "percentile ranges", PERCENTILE),
                    ("equalization", "equalized", MIN_MAX),
                ),
                strict=False,
            ):
                rows = sorted(
                    (
                        row
                        for row in results.breaking
                        if (row.kind, row.what, row.weights) == (kind, what, PER_CHANNEL)
                        and row.bits == 8
                        and ((row.repair == repair and row.ranges == ranges) or row.strength == 1.0)
                    ),
                    key=lambda row: row.strength,
                )
                axis.errorbar(
                    [row.strength for row in rows],
                    [row.drop for row in rows],
                    yerr=[
                        [row.drop - row.drop_low for row in rows],
                        [row.drop_high - row.drop for row in rows],
                    ],
                    color=color,
                    marker="o",
                    capsize=2,
                    elinewidth=0.9,
                    label=label,
                )
            axis.set_xscale("log", base=2)
            axis.set_xlabel("factor on one channel of each free activation")
            axis.set_title(NAMES[kind])
            axis.set_ylim(-3, 85)
        axes[0].set_ylabel("drop of top-1, points")
        axes[0].legend(loc="upper left")

    return panels(draw, 1, 2, (7.0, 3.4))


def spirals() -> str:
    """The spiral, before and after ReLU in more and more dimensions."""
    shape = spiral()

    def draw(axes: Sequence[Axes]) -> None:
        pictures = [("input", shape)]
        pictures += [(f"{n} dimensions", through_relu(shape, embedding(n, 0))) for n in DIMENSIONS]
        for axis, (title, points) in zip(axes, pictures, strict=True):
            axis.scatter(points[:, 0], points[:, 1], c=_hues(len(points)), s=4, lw=0)
            axis.set_title(title)
            axis.set_aspect("equal", adjustable="datalim")
            axis.set_xticks([])
            axis.set_yticks([])

    return panels(draw, 2, 3, (7.0, 4.6))


def _hues(count: int) -> Any:
    """Colours along the spiral: first to second series colour."""
    from matplotlib.colors import to_rgb

    ends = np.asarray([to_rgb(SERIES[0]), to_rgb(SERIES[1])])
    share = np.linspace(0, 1, count)[:, None]
    return (1 - share) * ends[0] + share * ends[1]


CHARTS: dict[str, Callable[[Results], str]] = {
    "bits": bits,
    "spread": spread,
    "histograms": histograms,
    "noise": noise,
    "half": half,
    "calibration": calibration,
    "breaking": breaking,
}
"""Functions that draw the figures."""
