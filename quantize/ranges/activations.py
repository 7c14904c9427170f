"""Scales and zero points of activations, as TFLite's integer kernels require them.

Source: LiteRT 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration_data.preprocessing import Preprocessing
from network.affine import QuantParams, params_from_range
from network.graph import Graph, Op
from network.integer_forms import measured, obstacle
from network.operators import OpKind
from quantize.equalization.groups import Groups
from quantize.ranges.floors import with_floors

OFF_TIES = 1 + 2.0**-12
"""Factor on the input's scale where every pixel value lies half-way between two integers.

This is the case for a mean of 127.5. Ties rounded to even go up and down by turns, a noise of half
a step that convolutions for edges amplify; a scale that is a little larger rounds all of them
towards zero, half a step of contrast, which costs less (28.7 against 36.6 dB on MobileNetV2).
"""


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that an activation takes."""

    low: float
    high: float

    def joined(self, other: Range) -> Range:
        """Range that covers both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def times(self, share: float) -> Range:
        """Both ends multiplied by one number."""
        return Range(self.low * share, self.high * share)


def tied(graph: Graph) -> dict[str, str]:
    """For each activation, the name that stands for all activations of the same parameters.

    Input and result of pooling, padding and moving operators have the same scale and zero point; so
    have the operands of a concatenation and its result.
    """
    groups = Groups(graph.activations)
    for op in graph.ops:
        if op.traits.tied and not obstacle(graph, op):
            names = [n for n in (*op.inputs, *op.outputs) if n and not graph.is_constant(n)]
            for name in names[1:]:
                groups.join(names[0], name)
    return {name: groups.root(name) for name in graph.activations}


def known_a_priori(op: Op) -> bool:
    """Whether the range of an operator's result is the same for all images."""
    return op.traits.fixed is not None or bool(np.isfinite(_limits(op)[1]))


def bounded(op: Op, measured: Range) -> Range:
    """A measured range within the limits of the fused activation; for ReLU6, its limits."""
    low, high = _limits(op)
    if np.isfinite(high):
        return Range(float(low), float(high))
    return Range(max(measured.low, float(low)), measured.high)


def input_params(measured: Range, contract: Preprocessing | None) -> QuantParams:
    """Parameters of the input: one integer per pixel value, where mean and std allow it.

    Args:
        measured: range in calibration; used where the contract does not allow it, and for plain
            arrays, whose range no contract knows.
        contract: how pixels became numbers; None when unknown.
    """
    if contract is None or contract.plain or len({*contract.mean}) > 1 or len({*contract.std}) > 1:
        return params_from_range(measured.low, measured.high)
    mean, std = float(contract.mean[0]), float(contract.std[0])
    zero = mean - 128
    if not -128 <= zero <= 127:
        return params_from_range(*contract.value_range)
    if abs(zero - np.floor(zero) - 0.5) < 1e-3:  # every pixel value is a tie
        return QuantParams((OFF_TIES / std,), (int(np.floor(zero + 0.5 + 1e-3)),))
    return QuantParams((1 / std,), (round(zero),))


def activation_params(
    graph: Graph, ranges: Mapping[str, Range], contract: Preprocessing | None
) -> dict[str, QuantParams]:
    """Parameters of every activation.

    Args:
        graph: canonical.
        ranges: measured in calibration, by tensor name.
        contract: preprocessing contract of the input; None when unknown.

    Returns:
        int8 parameters by tensor name, of every activation that may become integers.
    """
    roots = tied(graph)
    joined: dict[str, Range] = {}
    for name in measured(graph):
        producer = graph.producers.get(name)
        limited = ranges[name] if producer is None else bounded(producer, ranges[name])
        limited = _cut(graph, name, limited)
        root = roots[name]
        joined[root] = joined[root].joined(limited) if root in joined else limited
    params = {root: params_from_range(r.low, r.high) for root, r in joined.items()}
    params[roots[graph.input]] = input_params(joined[roots[graph.input]], contract)
    for op in graph.ops:
        if (fixed := fixed_params(op)) is not None:
            params[roots[op.name]] = fixed
    params = with_floors(graph, params, roots)
    return {name: params[root] for name, root in roots.items() if root in params}


def _cut(graph: Graph, name: str, measured: Range) -> Range:
    """Range without what every reader cuts off: integers saturate where they compare."""
    low, high = measured.low, measured.high
    kept = [_let_through(graph, reader) for reader in graph.readers[name]]
    if not kept or name in (graph.input, *graph.outputs):
        return measured
    least, most = min(limits[0] for limits in kept), max(limits[1] for limits in kept)
    return Range(min(max(low, least), most), max(min(high, most), least))


def _let_through(graph: Graph, op: Op) -> tuple[float, float]:
    """Smallest and largest number that a MAXIMUM or MINIMUM with a constant does not replace."""
    stored = [graph.value(n) for n in op.inputs if graph.is_constant(n)]
    if op.kind == OpKind.MAXIMUM and stored:
        return float(stored[0].min()), np.inf
    if op.kind == OpKind.MINIMUM and stored:
        return -np.inf, float(stored[0].max())
    return -np.inf, np.inf


def fixed_params(op: Op) -> QuantParams | None:
    """int8 parameters of a result, where the specification fixes them; None for any other."""
    if op.traits.fixed is None:
        return None
    scale, zero_point = op.traits.fixed
    return QuantParams((scale,), (zero_point,))


def _limits(op: Op) -> tuple[float, float]:
    """Smallest and largest value that an operator and its fused activation let through."""
    (least, most), (low, high) = op.traits.limits, op.fused.limits
    return max(least, low), min(most, high)
