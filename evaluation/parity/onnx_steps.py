"""Integer steps of a QDQ ONNX file: its operators that compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.parity.integer_steps import Step, StepKind, as_int8, centred
from export.onnx.check import FloatNames, belongs
from export.onnx.graph import Node, OnnxGraph, composed_parts, from_model
from export.onnx.inspect import COMPLETE, load, read_card, require_inside
from foundation.errors import UnsupportedError
from foundation.foreign import reading
from network.affine import IntType, QuantParams

_KINDS = {
    # Convolutions and matrix products
    "Conv": StepKind.CONVOLUTION,
    "Gemm": StepKind.PRODUCT,
    "MatMul": StepKind.PRODUCT,
    "ConvTranspose": StepKind.CONVOLUTION,
    # Elementwise, of several operands
    "Add": StepKind.SUM,
    "Sub": StepKind.DIFFERENCE,
    "Max": StepKind.EXTREMUM,
    "Min": StepKind.EXTREMUM,
    "Mul": StepKind.MULTIPLICATION,
    # Reductions and pools
    "GlobalAveragePool": StepKind.MEAN,
    "ReduceMean": StepKind.MEAN,
    "AveragePool": StepKind.MEAN,
    "MaxPool": StepKind.POOL,
    "Resize": StepKind.RESIZE,
    "LpNormalization": StepKind.NORMALIZATION,
    # Shapes, orders of axes, parts
    "Concat": StepKind.CONCATENATION,
    # Activation functions
    "Sigmoid": StepKind.ACTIVATION,
    "HardSwish": StepKind.ACTIVATION,
    "LeakyRelu": StepKind.ACTIVATION,
    "PRelu": StepKind.ACTIVATION,
    "Tanh": StepKind.ACTIVATION,
    "Exp": StepKind.ACTIVATION,
    "Log": StepKind.ACTIVATION,
    "Abs": StepKind.ACTIVATION,
}
_PASSED = ("Relu", "Clip", "Transpose", "Reshape", "Flatten", "Squeeze")
"""Operators that may be between a result and its QuantizeLinear."""
_RECTIFIERS = ("Relu", "Clip")
"""Operators that are steps where they read integers."""


def onnx_steps(path: Path) -> tuple[Step, ...]:
    """Steps of a QDQ file in order, the input first.

    Raises:
        InvalidInputError: no such file, or not an ONNX model.
        UnsupportedError: a file without QuantizeLinear, or with other types or scales than int8's.
    """
    model = load(path)
    require_inside(model, path)
    with reading(path, COMPLETE, "export the file again"):
        return _steps(from_model(model), path, _in_float(path))


def _in_float(path: Path) -> tuple[str, ...]:
    """Names of the operators that a file of ours computes in float32 by its plan."""
    card = read_card(path)
    return () if card is None else card.recipe.settings.float_ops


def _steps(graph: OnnxGraph, path: Path, floats: tuple[str, ...]) -> tuple[Step, ...]:
    if not any(node.op_type == "QuantizeLinear" for node in graph.nodes):
        raise UnsupportedError(
            "parity is that of int8 files in QDQ form",
            received=f"{path.name} without QuantizeLinear",
            remedy="give a file of the recipe onnx-int8",
        )
    read = _Reading(graph, FloatNames(frozenset(floats)))
    return (read.input_step(), *read.steps())


@dataclass(frozen=True)
class _Reading:
    graph: OnnxGraph = field(repr=False)
    floats: FloatNames

    @cached_property
    def producers(self) -> dict[str, Node]:
        return self.graph.producers()

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def parts(self) -> frozenset[str]:
        return composed_parts(self.graph)

    def input_step(self) -> Step:
        tensor, params = self._quantized(self.graph.input[0])
        return Step(StepKind.INPUT, "image", tensor, params)

    def steps(self) -> Iterator[Step]:
        for node in self.graph.nodes:
            if node.outputs[0] in self.parts or belongs(node, self.floats):
                continue
            kind = _KINDS.get(node.op_type)
            if self.parts.intersection(node.inputs):
                kind = StepKind.ACTIVATION
            tensor, params = self._quantized(node.outputs[0])
            if kind is None and self._rectifies_integers(node) and params is not None:
                kind = StepKind.ACTIVATION
            if kind is None or (kind is StepKind.CONCATENATION and not self._reads_integers(node)):
                continue
            step = Step(kind, node.outputs[0].removesuffix(".f"), tensor, params)
            weighted = kind in (StepKind.CONVOLUTION, StepKind.PRODUCT)
            yield self._with_weight(step, node) if weighted else step

    def _rectifies_integers(self, node: Node) -> bool:
        """Whether a node is a rectifier, and not the activation of the operator before it."""
        source = self.producers.get(node.inputs[0]) if node.inputs else None
        dequantizes = source is not None and source.op_type == "DequantizeLinear"
        return dequantizes and node.op_type in _RECTIFIERS and not self._belongs(node)

    def _belongs(self, rectifier: Node) -> bool:
        """Whether a rectifier is the activation of the operator before it."""
        source = self.producers[rectifier.inputs[0]]
        quantizer = self.producers.get(source.inputs[0])
        return quantizer is not None and self._behind_activation(quantizer) is not None

    def _reads_integers(self, node: Node) -> bool:
        """Whether a node joins activations, and no sizes."""
        sources = [self.producers.get(name) for name in node.inputs]
        return any(s is not None and s.op_type == "DequantizeLinear" for s in sources)

    def _with_weight(self, step: Step, node: Node) -> Step:
        weight, bias = self._constant(node, 1), self._constant(node, 2)
        integers = params = None
        if weight is not None:
            axis, order = _weight_axes(node)
            integers, params = centred(weight[0], weight[1], axis)
            integers = integers.transpose(order)
            if params.per_axis:
                params = QuantParams(params.scale, params.zero_point, params.dtype, 0)
        return Step(
            step.kind,
            step.name,
            step.tensor,
            step.result,
            integers,
            params,
            None if bias is None else bias[0],
            None if bias is None else bias[1],
        )

    def _constant(self, node: Node, position: int) -> tuple[np.ndarray, QuantParams] | None:
        """Stored integers behind a DequantizeLinear, and their parameters."""
        if position >= len(node.inputs):
            return None
        source = self.producers.get(node.inputs[position])
        if source is None or source.op_type != "DequantizeLinear":
            return None
        stored = self.graph.constants.get(source.inputs[0])
        if stored is None:
            return None
        kind = _int_type(source, stored.dtype)
        return stored.astype(np.int64), self._params(source, kind)

    def _quantized(self, name: str) -> tuple[str, QuantParams | None]:
        """Name of the tensor with the integers of a result, and its parameters as int8."""
        for _ in range(len(self.graph.nodes) + 1):  # a damaged graph may have a circle
            readers = self.readers.get(name, [])
            quantizer = next((n for n in readers if n.op_type == "QuantizeLinear"), None)
            if quantizer is not None:
                quantizer = self._behind_activation(quantizer) or quantizer
                return quantizer.outputs[0], as_int8(self._params(quantizer, None))
            passed = [node for node in readers if node.op_type in _PASSED]
            if len(readers) != 1 or not passed:
                return "", None
            name = passed[0].outputs[0]
        return "", None

    def _behind_activation(self, quantizer: Node) -> Node | None:
        """Second quantizer of an operator whose activation is between two quantizers, or None.

        An activation with a name is a separate operator.
        """
        node = quantizer
        for op_types in (("DequantizeLinear",), ("Relu", "Clip"), ("QuantizeLinear",)):
            readers = self.readers.get(node.outputs[0], [])
            if len(readers) != 1 or readers[0].op_type not in op_types:
                return None
            node = readers[0]
            if node.op_type in ("Relu", "Clip") and node.name:
                return None
        return node

    def _params(self, node: Node, dtype: IntType | None) -> QuantParams:
        constants = self.graph.constants
        stored = [constants.get(name) for name in node.inputs[1:3] if name]
        scale, zero = (*stored, None)[:2]
        kind = dtype or _int_type(node, np.dtype(np.uint8) if zero is None else zero.dtype)
        if scale is None or any(value is None for value in stored):
            raise _refused(node, "scales that are not stored")
        with np.errstate(invalid="ignore"):  # a signalling NaN, which QuantParams refuses
            scales = np.atleast_1d(scale).astype(np.float64)
        zeros = np.zeros(len(scales), np.int64) if zero is None else np.atleast_1d(zero)
        axis = int(node.attributes.get("axis", 1)) if len(scales) > 1 else None
        return QuantParams(tuple(scales.tolist()), tuple(zeros.tolist()), kind, axis)


def _weight_axes(node: Node) -> tuple[int, tuple[int, ...]]:
    """Axis of a weight's output channels, and its axes in the order of the steps."""
    if node.op_type == "Conv":  # [o, i, h, w]
        return 0, (0, 2, 3, 1)
    if node.op_type == "ConvTranspose":  # [i, o, h, w]
        return 1, (1, 2, 3, 0)
    return (0, (0, 1)) if node.attributes.get("transB", 0) else (1, (1, 0))


def _int_type(node: Node, dtype: np.dtype[Any]) -> IntType:
    if dtype.name not in {kind.value for kind in IntType}:
        raise _refused(node, dtype.name)
    return IntType(dtype.name)


def _refused(node: Node, received: str) -> UnsupportedError:
    return UnsupportedError(
        "parity is that of stored 8-bit integers and biases in int32",
        received=f"{node.op_type} {node.outputs[0]} with {received}",
        remedy="give a file of the recipe onnx-int8",
    )
