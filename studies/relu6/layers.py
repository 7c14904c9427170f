"""Roles of a network's activations, and their grids under a setting."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from calibration_data.preprocessing import Preprocessing
from models.blocks import Activation
from network.graph import Graph
from network.operators import Fused, OpKind
from quantize.ranges.activations import Range, input_params, tied
from quantize.ranges.observers import RangeState, known_range
from quantize.settings import RangeMethod
from studies.relu6.grid import INT8_BITS, Grid, decibels, grid_of

BITS = (8, 7, 6, 5, 4)
"""Bits of activations; weights, image and scores have 8."""

PERCENTILES = (99.99, 99.9, 99.7, 99.0, 98.0)
"""Percentiles that ``best_percentile`` chooses from."""


class Role(StrEnum):
    """Position of an activation relative to the non-linearities."""

    IMAGE = "image"
    ACTIVATED = "activated"
    """Result of ReLU, ReLU6, swish or hard swish."""
    BEFORE = "before"
    """Input of swish or hard swish: a separate tensor in an int8 file."""
    GATE = "gate"
    """The sigmoid inside swish."""
    LINEAR = "linear"
    """Bottlenecks and their sums."""
    POOLED = "pooled"
    SCORES = "scores"


class Ranges(StrEnum):
    """Method that chooses the ranges of activations."""

    MIN_MAX = "min-max"
    """Smallest and largest value in calibration."""
    PERCENTILE = "percentile"
    """All but the outermost values at each end, by ``best_percentile``."""
    FIXED = "fixed"
    """[0, 6] behind ReLU6, known without an image; MIN_MAX elsewhere."""


class Where(StrEnum):
    """Tensors that are rounded to integers."""

    EVERY = "every tensor"
    """As in int8 .tflite files."""
    FUSED = "fused"
    """All but the inputs of swish and hard swish, as if each were one operator with the
    convolution, as on an accelerator that looks the function up in a table."""


_NON_LINEAR = (OpKind.HARD_SWISH, OpKind.MUL, OpKind.RELU, OpKind.RELU6)


def roles(graph: Graph) -> dict[str, Role]:
    """Role of every activation, by name."""
    by_name: dict[str, Role] = {graph.input: Role.IMAGE}
    for op in graph.ops:
        readers = graph.readers[op.name]
        if op.name in graph.outputs:
            role = Role.SCORES
        elif op.kind == OpKind.LOGISTIC:
            role = Role.GATE
        elif op.kind in _NON_LINEAR or op.fused is not Fused.NONE:
            role = Role.ACTIVATED
        elif op.kind in (OpKind.MEAN, OpKind.RESHAPE):
            role = Role.POOLED
        elif any(r.kind in (OpKind.LOGISTIC, OpKind.HARD_SWISH) for r in readers):
            role = Role.BEFORE
        else:
            role = Role.LINEAR
        by_name |= dict.fromkeys(op.outputs, role)
    return by_name


def grids(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    bits: int,
    contract: Preprocessing,
    where: Where = Where.EVERY,
) -> dict[str, Grid]:
    """Grid of every activation that is rounded, by name.

    Activations of one scale in TFLite share their ranges here too. The sigmoid has [0, 1), the
    image one integer per pixel value.

    Args:
        graph: canonical.
        ranges: ranges by activation, at least one for activations that share theirs; an activation
            without stays float.
        bits: bits of the activations; image and scores have 8.
        contract: preprocessing contract of the image.
        where: tensors that are rounded.
    """
    role = roles(graph)
    roots = tied(graph)
    joined: dict[str, tuple[float, float]] = {}
    for name, (low, high) in ranges.items():
        other = joined.get(roots[name], (low, high))
        joined[roots[name]] = (min(low, other[0]), max(high, other[1]))
    by_name: dict[str, Grid] = {}
    for name in graph.activations:
        if where is Where.FUSED and role[name] in (Role.BEFORE, Role.GATE):
            continue
        width = INT8_BITS if role[name] in (Role.IMAGE, Role.SCORES) else bits
        if role[name] is Role.IMAGE:
            params = input_params(Range(*contract.value_range), contract)
            first = params.dtype.limits[0] - params.zero_point[0]
            by_name[name] = Grid(params.scale[0], first, first + 2**width - 1)
        elif role[name] is Role.GATE:
            by_name[name] = Grid(2.0**-width, 0, 2**width - 1)
        elif roots[name] in joined:
            by_name[name] = grid_of(*joined[roots[name]], width)
    return by_name


def methods(activation: Activation) -> tuple[Ranges, ...]:
    """Methods of ranges for an activation: fixed ranges exist only behind ReLU6."""
    return tuple(Ranges) if activation is Activation.RELU6 else (Ranges.MIN_MAX, Ranges.PERCENTILE)


def ranges_of(
    graph: Graph,
    states: Mapping[str, RangeState],
    ranges: Ranges = Ranges.MIN_MAX,
    percentile: float = PERCENTILES[0],
) -> dict[str, tuple[float, float]]:
    """Ranges by activation, from calibration; image and scores have MIN_MAX.

    Args:
        graph: canonical.
        states: calibration states of all activations.
        ranges: method that chooses the ranges.
        percentile: percent of the values that each end keeps; for PERCENTILE alone.
    """
    role = roles(graph)
    by_name: dict[str, tuple[float, float]] = {}
    for name, state in states.items():
        producer = graph.producers.get(name)
        known = None if producer is None else known_range(producer.fused)
        if ranges is Ranges.PERCENTILE and role[name] not in (Role.IMAGE, Role.SCORES):
            by_name[name] = state.range(RangeMethod.PERCENTILE, percentile=percentile)
        elif ranges is Ranges.FIXED and known is not None:
            by_name[name] = known
        else:
            by_name[name] = state.range(RangeMethod.MIN_MAX)
    return by_name


def best_percentile(
    graph: Graph, states: Mapping[str, RangeState], bits: int, contract: Preprocessing
) -> float:
    """Percentile of the highest mean SQNR over the activations, on calibration histograms.

    Args:
        graph: canonical.
        states: calibration states of all activations.
        bits: bits of the activations.
        contract: preprocessing contract of the image.
    """
    judged = [n for n, role in roles(graph).items() if role in (Role.ACTIVATED, Role.LINEAR)]

    def quality(percentile: float) -> float:
        ranges = ranges_of(graph, states, Ranges.PERCENTILE, percentile)
        by_name = grids(graph, ranges, bits, contract)
        return float(np.mean([_sqnr(states[name], by_name[name]) for name in judged]))

    return max(PERCENTILES, key=quality)


def _sqnr(state: RangeState, grid: Grid) -> float:
    values, counts = state.histogram.centres, state.histogram.counts.astype(np.float64)
    # The bins around zero hold the many exact zeros of a rectifier, which lose nothing.
    error = np.where(np.abs(values) < state.histogram.width, 0, values - grid.nearest(values))
    noise = float(counts @ np.square(error))
    return min(decibels(float(counts @ np.square(values)), noise), 100.0)
