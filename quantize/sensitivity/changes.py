"""What is changed: the weights of one operator, or the results of one, in integers.

Weights are rounded as the engine rounds them, but for float inputs: with all other operators in
float there is no other error to compensate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.run_tensorflow import constants, run_op, schedule
from quantize.effort import EFFORTS, layer_settings
from quantize.engine import Settled
from quantize.rounding.layers import Solved, solve
from quantize.rounding.moments import moments
from quantize.settings import PlanSettings

BATCH = 8
"""Images per batch: all their activations are held at once."""

WEIGHTS = "weights"
ACTIVATIONS = "activations"
CLIPPING = "clipping"
"""Activations that keep their float numbers inside of the range of their integers: what of the
effect of ``ACTIVATIONS`` more calibration images, or a wider range, would take away."""

PARTS = frozenset({WEIGHTS, ACTIVATIONS, CLIPPING})


@dataclass(frozen=True)
class Change:
    """One thing quantized.

    Attributes:
        name: name of the operator, or of the image.
        part: ``WEIGHTS``, ``ACTIVATIONS`` or ``CLIPPING``.
        op: operator whose constants are replaced or whose results are rounded; None for the image.
        values: replaced constants, by name.
        rounded: parameters of the activations that are rounded, by name.
    """

    name: str
    part: str
    op: Op | None
    values: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    rounded: Mapping[str, QuantParams] = field(default_factory=dict, repr=False)


def changes(
    settled: Settled, solved: Mapping[str, Solved], floats: frozenset[str]
) -> Iterator[Change]:
    """Every thing that can be quantized alone, in the order of the graph.

    Args:
        settled: equalized graph and parameters.
        solved: rounded weighted operators, by name.
        floats: names of operators that stay in float32.
    """
    graph, params = settled.graph, settled.params
    for part in (ACTIVATIONS, CLIPPING):
        yield Change(graph.input, part, None, rounded={graph.input: params[graph.input]})
    for op in graph.ops:
        if op.name in floats:
            continue
        if op.name in solved:
            layer = solved[op.name]
            values = {op.inputs[1]: layer.weight.to_float(), op.inputs[2]: layer.bias.to_float()}
            yield Change(op.name, WEIGHTS, op, values=values)
        if not op.traits.moves:  # a result that only moves adds no rounding
            rounded = {n: params[n] for n in op.outputs}
            yield Change(op.name, ACTIVATIONS, op, rounded=rounded)
            yield Change(op.name, CLIPPING, op, rounded=rounded)


def solved_alone(
    settled: Settled, settings: PlanSettings, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Solved]:
    """Every weighted operator rounded for the float network's own inputs, by name.

    Args:
        settled: equalized graph, parameters and images to round on.
        settings: how weights are rounded; its ``float_ops`` are left out.
        advance: called with 1 after each operator.
    """
    graph, effort = settled.graph, EFFORTS[settings.optimization]
    layer = layer_settings(settings)
    values: dict[str, np.ndarray] = {graph.input: settled.images}
    solved: dict[str, Solved] = {}
    for op, spent in schedule(graph):
        if op.is_weighted and op.name not in settings.float_ops:
            source = values[op.inputs[0]]
            middle = max(1, len(source) // 2)
            first, second = (
                moments(op, graph, ((x, x) for x in _batches(half)), effort.positions)
                for half in (source[:middle], source[middle:] if len(source) > 1 else source)
            )
            params = settled.params[op.inputs[0]]
            of_op = layer.in_four_bits() if op.name in settings.narrow_ops else layer
            solved[op.name] = solve(op, graph, params, (first, second), of_op)
        _run_in_batches(graph, op, values)
        for name in spent:
            del values[name]
        advance(1)
    return solved


def _run_in_batches(graph: Graph, op: Op, values: dict[str, np.ndarray]) -> None:
    """Compute an operator of the float network, and add its results to ``values``."""
    count = len(next(values[n] for n in op.inputs if n and not graph.is_constant(n)))
    results: list[list[np.ndarray]] = [[] for _ in op.outputs]
    for start in range(0, count, BATCH):
        batch = {name: value[start : start + BATCH] for name, value in values.items()}
        outputs = run_op(op, graph, constants(graph, op, batch))
        for batches, output in zip(results, outputs, strict=True):
            batches.append(np.asarray(output))
    for name, batches in zip(op.outputs, results, strict=True):
        values[name] = np.concatenate(batches)


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]
