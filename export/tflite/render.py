"""A plan rendered as an int8 .tflite.

Source of the scales that operators require:
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from network.affine import IntType, QuantParams
from network.graph import INPUT_NAME, Graph, Op
from network.operators import OpKind, traits_of
from network.tflite.writer import FlatFile
from quantize.plans.narrow import NARROW_VERSIONS
from quantize.plans.plan import QuantizationPlan
from quantize.plans.widening import WHOLE_VERSIONS, wide_params
from quantize.settings import IoType


def render(graph: Graph, plan: QuantizationPlan, io: IoType) -> bytes:
    """Write a planned network as a .tflite file.

    Args:
        graph: canonical float graph that the plan was made for.
        plan: integers of the graph.
        io: type of input and outputs.

    Returns:
        Bytes of a .tflite without a card; equal arguments give equal bytes.
    """
    return Writing(graph, plan).content(io)


@dataclass
class Writing:
    """A .tflite file while it is built.

    Attributes:
        graph: canonical float graph.
        plan: integers of the graph.
        file: operators and tensors written so far.
        index: index of a tensor in the file, by canonical name and type.
    """

    graph: Graph
    plan: QuantizationPlan
    file: FlatFile = field(default_factory=FlatFile)
    index: dict[tuple[str, str], int] = field(default_factory=dict)

    def content(self, io: IoType) -> bytes:
        """Bytes of the file, without a card."""
        source = self._input(INPUT_NAME, io)
        for op in self.graph.ops:
            self._write(op)
        return self.file.content([source], [self._output(name, io) for name in self.graph.outputs])

    def _input(self, name: str, io: IoType) -> int:
        """Index of the input tensor; adds the QUANTIZE to the type that the network computes in."""
        shape = self.graph.tensors[self.graph.input].shape
        params = self.plan.activations.get(self.graph.input)
        if params is None:
            return self._in_type(self.graph.input, self.graph.tensors[self.graph.input].dtype)
        if io is IoType.INT8:
            return self._activation(self.graph.input)
        source = self.file.tensor(name, shape, *_io_type(io, params))
        dtype = params.dtype.value
        quantized = self._activation(self.graph.input, suffix=f"_{dtype}")
        self._operator("QUANTIZE", (source,), (quantized,), dtype=dtype)
        return source

    def _output(self, name: str, io: IoType) -> int:
        """Index of an output tensor; adds the operator that changes its type."""
        params = self.plan.activations.get(name)
        dtype = "float32" if params is None else params.dtype.value
        computed = self.index[name, dtype]
        if params is None or io is IoType.INT8:
            return computed
        self.file.renamed(computed, f"{name}_{dtype}")
        shape = self.graph.tensors[name].shape
        sink = self.file.tensor(name, shape, *_io_type(io, params))
        kind = "DEQUANTIZE" if io is IoType.FLOAT32 else "QUANTIZE"
        self._operator(kind, (computed,), (sink,), dtype=dtype)
        return sink

    def _write(self, op: Op) -> None:
        dtype = self._computed_in(op)
        inputs = tuple(self._operand(name, dtype) for name in op.file_inputs)
        outputs = tuple(self._result(name, dtype) for name in op.outputs)
        self._operator(op.kind, inputs, outputs, op, dtype)
        for name, index in zip(op.outputs, outputs, strict=True):
            params = self.plan.activations.get(name)
            if params is not None and params.dtype.value != dtype:
                stored = params.dtype.value
                self._operator("QUANTIZE", (index,), (self._activation(name),), dtype=stored)

    def _computed_in(self, op: Op) -> str:
        if op.name in self.plan.settings.float_ops:
            return "float32"
        return "int16" if op.name in self.plan.settings.wide_ops else "int8"

    def _operand(self, name: str, dtype: str) -> int:
        if not name:
            return -1
        if self.graph.is_constant(name):
            return self._constant(name, integer=dtype != "float32")
        if self.graph.tensors[name].dtype != "float32":
            return self.index[name, self.graph.tensors[name].dtype]
        if (name, dtype) not in self.index:  # computed in another type
            before = self.index[name, self.plan.activations[name].dtype.value]
            after = self._in_type(name, dtype)
            kind = "DEQUANTIZE" if dtype == "float32" else "QUANTIZE"
            self._operator(kind, (before,), (after,), dtype=dtype)
        return self.index[name, dtype]

    def _result(self, name: str, dtype: str) -> int:
        params = self.plan.activations.get(name)
        if params is not None and params.dtype.value == dtype:
            return self._activation(name)
        stated = self.graph.tensors[name].dtype
        return self._in_type(name, dtype if stated == "float32" else stated)

    def _in_type(self, name: str, dtype: str) -> int:
        """Index of a new tensor for an activation in another type than that of the plan."""
        params = self.plan.activations.get(name)
        suffix = "" if params is None else f"_{dtype}"
        wide = wide_params(params) if params is not None and dtype == "int16" else None
        shape = self.graph.tensors[name].shape
        self.index[name, dtype] = self.file.tensor(f"{name}{suffix}", shape, dtype, wide)
        return self.index[name, dtype]

    def _activation(self, name: str, suffix: str = "") -> int:
        params = self.plan.activations[name]
        shape = self.graph.tensors[name].shape
        self.index[name, params.dtype.value] = self.file.tensor(
            f"{name}{suffix}", shape, params.dtype.value, params
        )
        return self.index[name, params.dtype.value]

    def _constant(self, name: str, *, integer: bool) -> int:
        planned = self.plan.constants.get(name) if integer else None
        value = self.graph.value(name) if planned is None else planned.integers
        params = None if planned is None else planned.params
        dtype = str(value.dtype) if params is None else params.dtype.value
        key = (name, dtype)
        if key not in self.index:
            shape = self.graph.tensors[name].shape
            self.index[key] = self.file.tensor(name, shape, dtype, params, value)
        return self.index[key]

    def _operator(
        self,
        kind: str,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        op: Op | None = None,
        dtype: str = "int8",
    ) -> None:
        if op is None:
            version = _version(kind, dtype)
        else:
            version = op.version if dtype == "float32" else self._version_of(op, dtype)
        options = {} if op is None else _options(op, dtype)
        self.file.operator(
            kind, version, inputs, outputs, "" if op is None else op.options_type, options
        )

    def _version_of(self, op: Op, dtype: str) -> int:
        """Version of an operator: that of its types, or of its options where these came later."""
        if op.name in self.plan.settings.narrow_ops:
            return NARROW_VERSIONS[OpKind(op.kind)]
        version = _version(op.kind, dtype)
        return version if op.is_weighted else max(version, op.version)


def _io_type(io: IoType, params: QuantParams) -> tuple[str, QuantParams | None]:
    if io is IoType.FLOAT32:
        return "float32", None
    return io.value, params.as_type(IntType(io.value))


def _version(kind: str, dtype: str) -> int:
    """Version of an operator on activations of a type; QUANTIZE and DEQUANTIZE have no traits."""
    if kind in ("QUANTIZE", "DEQUANTIZE"):
        return 1 if kind == "QUANTIZE" and dtype != "int16" else 2
    row = traits_of(kind)
    version = row.int8_version
    if dtype == "int16":
        version = row.int16_version or WHOLE_VERSIONS.get(kind)
    assert version is not None
    return version


def _options(op: Op, dtype: str) -> Mapping[str, Any]:
    """Fields of an operator's options table."""
    if dtype == "int16" and "potScaleInt16" in op.options:  # scales are not powers of two
        return {**op.options, "potScaleInt16": False}
    return op.options
