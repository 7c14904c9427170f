"""Operators that TensorFlow's converter leaves in float in a quantized file.

It chooses the integers of ``tflite-int16x8``, and of int8 files without a plan. It refuses an
operator without an integer kernel unless float kernels are allowed, as they are for these.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from network.graph import Graph
from network.integer_forms import without_integer_form
from network.tflite.reader import DEQUANTIZE, QUANTIZE, read_flat_model
from quantize.recipes import Precision, Recipe

_INT16 = frozenset(
    {
        "BATCH_MATMUL", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "PACK", "RELU",
        "RELU6", "SOFTMAX", "SUM", "TANH", "UNPACK",
    }
)  # fmt: skip
"""Further operators with int16 kernels in LiteRT, whose bits the integer interpreter here does not
know; the converter knows their scales."""

NO_INT16 = "no int16 kernel"
"""Reason of an operator that stays in float in tflite-int16x8."""


def left_in_float(graph: Graph, recipe: Recipe) -> dict[str, str]:
    """Operators that stay in float in a file without a plan: reason by name.

    Args:
        graph: canonical.
        recipe: recipe of a .tflite.
    """
    if recipe.planned or not recipe.needs_calibration:
        return {}
    reasons = without_integer_form(graph)
    if recipe.precision is not Precision.INT16X8:
        return reasons
    for op in graph.ops:
        wide = op.traits.int16_version is not None or op.kind in _INT16
        if not wide and op.name not in reasons:
            reasons[op.name] = NO_INT16
    return reasons


def counted(path: Path, kinds: frozenset[str]) -> Counter[tuple[str, str]]:
    """Operators of these kinds that a file computes without scales, by type and kind."""
    return Counter(
        (compute, operator.name)
        for graph in read_flat_model(path).subgraphs
        for operator in graph.operators
        if operator.name in kinds and operator.name not in (QUANTIZE, DEQUANTIZE)
        for compute in [graph.compute(operator)]
        if compute not in ("int8", "int16", "hybrid")
    )
