"""Checks that a written ONNX file is what its recipe says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.onnx.graph import (
    WEIGHTED,
    Node,
    OnnxGraph,
    composed_parts,
    is_shuffle_transpose,
    leads_out,
)
from export.onnx.weights import FULL_BOUND, must_not_saturate, pair_sums
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.rounding.rows import SMALLEST_WEIGHT
from quantize.rounding.second_order import PAIR_LIMIT
from quantize.settings import Granularity, Layout, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from quantize.recipes import Recipe

QUANTIZED = WEIGHTED | {
    "Add", "AveragePool", "Concat", "GlobalAveragePool", "MaxPool", "Mul", "Pad", "Sub",
}  # fmt: skip
"""Operators that an int8 file must compute in integers."""


@dataclass(frozen=True)
class FloatNames:
    """Names of operators that an int8 file computes in float.

    Attributes:
        planned: those that are in float32 in the plan.
        written: those that have integers in the plan and no integer form in the file.
    """

    planned: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[str]:
        return iter(self.planned | self.written)


def check_graph(graph: OnnxGraph, recipe: Recipe, float_ops: FloatNames = FloatNames()) -> None:
    """Refuse a graph with an operator or a weight that is not as the recipe says.

    Args:
        graph: graph of the written file.
        recipe: recipe of the file.
        float_ops: names of operators that an int8 file computes in float.

    Raises:
        UnsupportedError: operators or weights of another kind; the message names them.
        InvalidInputError: a scale that is not a finite positive number.
    """
    check: dict[Precision, Callable[[OnnxGraph, Recipe, FloatNames], list[str]]] = {
        Precision.FLOAT32: _float32_faults,
        Precision.FLOAT16: _float16_faults,
        Precision.DYNAMIC: _dynamic_faults,
        Precision.INT8: _int8_faults,
    }
    faults = check[recipe.precision](graph, recipe, float_ops)
    if recipe.layout is Layout.NCHW:
        transposes = [node for node in graph.nodes if node.op_type == "Transpose"]
        faults += [
            f"Transpose {node.outputs[0]}"
            for node in transposes
            if not is_shuffle_transpose(node) and not leads_out(graph, node)
        ]
    if faults:
        raise UnsupportedError(
            f"a file of the recipe {recipe.name} must be {recipe.precision.value} throughout",
            received="; ".join(faults[:5]) + (" and more" if len(faults) > 5 else ""),
            remedy="use another recipe for this model, or replace the layers named",
        )


def _float32_faults(graph: OnnxGraph, _: Recipe, __: FloatNames) -> list[str]:
    return [f"{n.op_type} {n.name}" for n in graph.nodes if "Quantize" in n.op_type]


def _float16_faults(graph: OnnxGraph, _: Recipe, __: FloatNames) -> list[str]:
    return [f"float32 {name}" for name, v in graph.constants.items() if v.dtype == "float32"]


def _dynamic_faults(graph: OnnxGraph, _: Recipe, __: FloatNames) -> list[str]:
    faults = [
        f"float {n.op_type} {n.name}"
        for n in graph.nodes  # a MatMul of two activations has no weights
        if n.op_type in WEIGHTED
        and (n.op_type != "MatMul" or n.inputs[1] in graph.constants)
        and not _is_small(graph, n)
    ]
    for node in graph.nodes:
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            dtype = graph.constants[node.inputs[1]].dtype
            # Kernels for signed weights saturate: see quantize.dynamic_int8.
            faults += [] if dtype == "uint8" else [f"{dtype} weight of {node.name}"]
    return faults


def _is_small(graph: OnnxGraph, node: Node) -> bool:
    """Whether a weight is so small that a plan leaves it in float."""
    weight = graph.constants.get(node.inputs[1])
    return weight is not None and weight.size < SMALLEST_WEIGHT


def _int8_faults(graph: OnnxGraph, recipe: Recipe, float_ops: FloatNames) -> list[str]:
    producers = graph.producers()
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    faults, indices, parts = [], _indices(graph), composed_parts(graph)
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _check_scale(graph, node)
        if node.op_type not in QUANTIZED and node.outputs[0] not in parts:
            continue
        if belongs(node, float_ops):
            planned = node.name in float_ops.planned and node.op_type in WEIGHTED
            if planned and _has_integer_weights(graph, producers, node):
                faults.append(f"{node.op_type} {node.name}, to stay in float, has integer weights")
            continue
        read = node.inputs[:1] if node.op_type == "Pad" else node.inputs  # the number is a constant
        numbers = [name for name in read if name and name not in indices | parts]
        composed = node.outputs[0] in parts or not parts.isdisjoint(read)
        if composed:  # of integers, other parts and numbers
            numbers = [name for name in numbers if name not in graph.constants]
        elif not numbers:
            continue
        sources = [producers.get(name) for name in numbers]
        if any(source is None or source.op_type != "DequantizeLinear" for source in sources):
            faults.append(f"{node.op_type} {node.name} reads floats")
            continue
        if node.outputs[0] in parts:
            continue
        if any(r.op_type != "QuantizeLinear" for r in readers.get(node.outputs[0], [node])):
            faults.append(f"{node.op_type} {node.name} gives floats")
        if node.op_type in WEIGHTED and producers[node.inputs[1]].inputs[0] in graph.constants:
            faults += _weight_faults(graph, node, producers[node.inputs[1]], recipe)
    return faults


def _has_integer_weights(graph: OnnxGraph, producers: dict[str, Node], node: Node) -> bool:
    """Whether the second operand is stored in integers, and no activation."""
    source = producers.get(node.inputs[1])
    stored = source is not None and source.op_type == "DequantizeLinear"
    return stored and source is not None and source.inputs[0] in graph.constants


def belongs(node: Node, names: FloatNames) -> bool:
    """Whether a node is one of those that these operators are written as."""
    result = node.outputs[0]
    return not {node.name, result}.isdisjoint(names) or any(
        result.startswith(f"{name}.") for name in names
    )


def _indices(graph: OnnxGraph) -> set[str]:
    """Names of axes, sizes and paddings: stored int64, shapes, and results of these alone."""
    indices = {name for name, value in graph.constants.items() if value.dtype == "int64"}
    for node in graph.nodes:
        if node.op_type == "Shape" or indices.issuperset(filter(None, node.inputs)):
            indices.update(node.outputs)
    return indices


def _check_scale(graph: OnnxGraph, node: Node) -> None:
    import numpy as np

    scale = graph.constants.get(node.inputs[1])
    if scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
        raise InvalidInputError(
            "scales are finite numbers above zero",
            received=f"{'none' if scale is None else scale.reshape(-1)[:3]} for {node.inputs[0]}",
            remedy="check the weights and the calibration data",
        )


def _weight_faults(graph: OnnxGraph, node: Node, dequantizer: Node, recipe: Recipe) -> list[str]:
    weight: np.ndarray = graph.constants[dequantizer.inputs[0]]
    scales = graph.constants[dequantizer.inputs[1]].size
    faults = []
    if weight.dtype != "int8":
        return [f"weight of {node.name} is {weight.dtype}"]
    if max(int(weight.max()), -int(weight.min())) > FULL_BOUND:
        faults.append(f"weight of {node.name} leaves [-{FULL_BOUND}, {FULL_BOUND}]")
    if must_not_saturate(node, weight, recipe.settings.weight_range):
        worst = int(pair_sums(node, weight).max())
        if worst > PAIR_LIMIT:
            faults.append(f"neighbouring weights of {node.name} add up to {worst}")
    if recipe.settings.granularity is Granularity.PER_TENSOR and scales != 1:
        faults.append(f"weight of {node.name} has {scales} scales")
    if (
        recipe.settings.granularity is Granularity.PER_CHANNEL
        and node.op_type == "Conv"
        and scales != weight.shape[0]
    ):
        faults.append(f"weight of {node.name} has {scales} scales for {weight.shape[0]} channels")
    return faults
