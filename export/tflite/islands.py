"""Operators that TensorFlow's converter leaves in float in a quantized file.

It chooses the integers of files without a plan. It refuses an operator without an integer kernel
unless float kernels are allowed, as they are for these.

What it does with an operator was measured with TensorFlow 2.21 and LiteRT 2.3, on networks of two
convolutions around it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from network.graph import Graph
from network.integer_forms import without_integer_form
from network.tflite.canonical import graph_of, object_form
from network.tflite.reader import DEQUANTIZE, QUANTIZE, GraphOperator, Subgraph, read_flat_model
from quantize.islands import NO_INT16, FloatOperator, named
from quantize.plans.widening import whole_settings
from quantize.recipes import Recipe
from quantize.settings import Optimization, Precision

BY_CONVERTER = "left by the converter"
"""Reason of an operator that a written file has in float32."""

_INT8 = frozenset(
    {
        "ARG_MAX", "ARG_MIN", "DIV", "EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL",
        "LOG_SOFTMAX", "NOT_EQUAL", "SELECT", "SELECT_V2", "SUM", "TILE",
    }
)  # fmt: skip
"""Further operators that the converter quantizes to int8."""

_INT16 = frozenset(
    {
        "ABS", "BATCH_MATMUL", "EXP", "GELU", "LEAKY_RELU", "LOG", "LOGISTIC", "MAXIMUM", "MINIMUM",
        "MUL", "PACK", "RELU", "RELU6", "RSQRT", "SOFTMAX", "SQUARED_DIFFERENCE", "SUM", "TANH",
        "TILE", "UNPACK",
    }
)  # fmt: skip
"""Further operators that the converter quantizes to int16, whose bits the integer interpreter here
does not know."""

_WRONG_INT16 = frozenset({"SELECT", "SELECT_V2", "SQUARED_DIFFERENCE", "SUM"})
"""Operators that it writes wrongly beside int16: LiteRT has no such SQUARED_DIFFERENCE, its sums
keep 17 dB, and what is selected by a comparison in float has 1 dB."""


def left_in_float(graph: Graph, recipe: Recipe) -> dict[str, str]:
    """Operators that stay in float in a file, beyond those without an int8 form: reason by name.

    Args:
        graph: canonical; for a file without a plan, that of ``network.from_keras.as_converted``.
        recipe: recipe of a .tflite, with the settings of its plan.
    """
    if recipe.settings.int16:
        return dict.fromkeys(recipe.settings.float_ops, NO_INT16)
    if recipe.planned or not recipe.needs_calibration:
        return {}
    reasons = without_integer_form(graph)
    if recipe.precision is Precision.INT16X8:
        for op in graph.ops:
            if op.traits.int16_version is None and op.kind not in _INT16:
                reasons.setdefault(op.name, NO_INT16)
        return reasons
    kinds = {op.name: op.kind for op in graph.ops}
    return {name: reason for name, reason in reasons.items() if kinds[name] not in _INT8}


def needs_plan(graph: Graph, converters: Graph, recipe: Recipe) -> bool:
    """Whether the engine chooses the integers of an int16x8 file.

    It does, since the converter rounds each weight to the nearest integer, unless a kind of
    operator would then be in float that the converter has in integers. It does even so where the
    converter would leave operators in float that the canonical graph has in another form, or would
    write operators that LiteRT computes wrongly or not at all.

    Args:
        graph: canonical.
        converters: the converter's float graph.
        recipe: recipe of a .tflite.
    """
    if recipe.precision is not Precision.INT16X8 or recipe.planned:
        return False
    if recipe.settings.optimization is Optimization.CONVERTER:
        return False
    if any(op.kind in _WRONG_INT16 for op in converters.ops):
        return True
    by_converter = _kinds(converters, recipe)
    whole = replace(recipe, settings=whole_settings(graph, recipe.settings))
    return _kinds(graph, whole) <= by_converter or not by_converter <= _kinds(graph, recipe)


def _kinds(graph: Graph, recipe: Recipe) -> frozenset[str]:
    left = left_in_float(graph, recipe)
    return frozenset(str(op.kind) for op in graph.ops if op.name in left)


def found_in_float(path: Path) -> tuple[FloatOperator, ...]:
    """Operators that a written file computes in float32, with their shares of its multiply-adds."""
    flat = read_flat_model(path).subgraphs[0]
    graph = graph_of(object_form(path.read_bytes()))
    left = {
        op.name: BY_CONVERTER
        for op, operator in zip(graph.ops, flat.operators, strict=False)
        if operator.name not in (QUANTIZE, DEQUANTIZE)
        and _computes_floats(flat, operator)
        and not (operator.name == "ARG_MAX" and set(operator.outputs) <= set(flat.outputs))
    }
    computing = tuple(op for op in graph.ops if op.kind not in (QUANTIZE, DEQUANTIZE))
    return named(replace(graph, ops=computing), left)


def _computes_floats(graph: Subgraph, operator: GraphOperator) -> bool:
    if graph.compute(operator) == "hybrid":
        return False
    return any(
        graph.tensors[i].dtype == "float32"
        for i in (*operator.inputs, *operator.outputs)
        if i >= 0 and not graph.tensors[i].constant
    )


def counted(path: Path) -> Counter[tuple[str, str]]:
    """Operators that a file does not compute in integers with scales, by type and kind."""
    return Counter(
        (compute, operator.name)
        for graph in read_flat_model(path).subgraphs
        for operator in graph.operators
        if operator.name not in (QUANTIZE, DEQUANTIZE)
        for compute in [graph.compute(operator)]
        if compute not in ("int8", "int16", "hybrid")
    )
