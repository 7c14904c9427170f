"""A planned network on images, in float arithmetic on its integers, with TensorFlow on all cores.

Every weight, bias and activation is the number that its integer stands for, so the answers are
those of an int8 file but for the rounding of single sums: fast enough to compare many plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from quantize.engine import PlannedNetwork, in_integers
from quantize.execute import dequantized, quantized, run
from quantize.graph import Graph, Op, OpKind
from quantize.plan import QuantizationPlan


def simulated(planned: PlannedNetwork, images: np.ndarray) -> np.ndarray:
    """Scores of the quantized network: float32 ``[batch, h, w, 3] -> [batch, classes]``."""
    plan = planned.plan
    values = {name: constant.to_float() for name, constant in plan.constants.items()}

    def seen(name: str, value: Any) -> Any:
        params = plan.activations.get(name)
        return value if params is None else dequantized(quantized(value, params), params)

    return run(planned.graph.with_values(values), images, seen)


def with_floats(planned: PlannedNetwork, equalized: Graph, names: Iterable[str]) -> PlannedNetwork:
    """A plan with more operators in float32, without deciding the others anew.

    Args:
        planned: the plan.
        equalized: the graph that it was decided on.
        names: of the operators; those that the plan has in float32 stay there.
    """
    plan = planned.plan
    floats = tuple(op.name for op in equalized.ops if op.name in {*names, *plan.float_ops})
    read = {n for op in equalized.ops if op.name not in floats for n in op.inputs}
    changed: QuantizationPlan = replace(
        plan,
        activations=in_integers(equalized, plan.activations, floats),
        constants={n: c for n, c in plan.constants.items() if n in read},
        float_ops=floats,
    )
    return PlannedNetwork(equalized, changed)


def multiply_adds(graph: Graph, op: Op) -> int:
    """Multiply-adds of a weighted operator on one image; 0 of any other."""
    if not op.is_weighted:
        return 0
    weight = graph.weight(op)
    if op.kind == OpKind.DENSE:
        return int(weight.size)
    _, rows, columns, _ = graph.tensors[op.name].shape
    return int(rows * columns * weight.size)


def float_share(graph: Graph, names: Iterable[str]) -> float:
    """Share of the network's multiply-adds that these operators make, 0 to 1."""
    floats = frozenset(names)
    total = sum(multiply_adds(graph, op) for op in graph.ops)
    kept = sum(multiply_adds(graph, op) for op in graph.ops if op.name in floats)
    return kept / total if total else 0.0
