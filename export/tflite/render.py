"""A plan rendered as an int8 .tflite.

Source of the scales operators want:
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from network.affine import IntType, QuantParams
from network.graph import INPUT_NAME, OUTPUT_NAME, Graph, Op
from network.operators import traits_of
from network.tflite.writer import FlatFile
from quantize.plans.plan import QuantizationPlan
from quantize.plans.widening import wide_params
from quantize.recipes import IoType


def render(graph: Graph, plan: QuantizationPlan, io: IoType) -> bytes:
    """Write the network of a plan.

    Args:
        graph: canonical float graph that the plan is of.
        plan: its integers.
        io: type of input and output.

    Returns:
        A whole .tflite without a card; equal arguments give equal bytes.
    """
    return _Writing(graph, plan).content(io)


@dataclass
class _Writing:
    """One file while it is built.

    Attributes:
        graph: see ``render``.
        plan: likewise.
        file: what is written so far.
        index: number of a tensor by name and type.
    """

    graph: Graph
    plan: QuantizationPlan
    file: FlatFile = field(default_factory=FlatFile)
    index: dict[tuple[str, str], int] = field(default_factory=dict)

    def content(self, io: IoType) -> bytes:
        source = self._end(INPUT_NAME, io)
        for op in self.graph.ops:
            self._write(op)
        sink = self._leave(io)
        return self.file.content([source], [sink])

    def _end(self, name: str, io: IoType) -> int:
        """The input tensor, and what turns it into the type that the network computes in."""
        shape = self.graph.tensors[self.graph.input].shape
        params = self.plan.activations.get(self.graph.input)
        if params is None or io is IoType.INT8:
            return self._activation(self.graph.input)
        end = self.file.tensor(name, shape, *_end_type(io, params))
        inside = self._activation(self.graph.input, suffix="_int8")
        self._operator("QUANTIZE", (end,), (inside,))
        return end

    def _leave(self, io: IoType) -> int:
        """The output tensor in its type."""
        params = self.plan.activations.get(self.graph.output)
        inside = self.index[self.graph.output, "float32" if params is None else "int8"]
        if params is None or io is IoType.INT8:
            return inside
        self.file.renamed(inside, f"{self.graph.output}_int8")
        shape = self.graph.tensors[self.graph.output].shape
        end = self.file.tensor(OUTPUT_NAME, shape, *_end_type(io, params))
        self._operator("DEQUANTIZE" if io is IoType.FLOAT32 else "QUANTIZE", (inside,), (end,))
        return end

    def _write(self, op: Op) -> None:
        dtype = self._computed_in(op)
        inputs = tuple(self._operand(name, dtype) for name in op.inputs)
        outputs = tuple(self._result(name, dtype) for name in op.outputs)
        self._operator(op.kind, inputs, outputs, op, dtype)
        for name, index in zip(op.outputs, outputs, strict=True):
            params = self.plan.activations.get(name)
            if params is not None and params.dtype.value != dtype:
                self._operator("QUANTIZE", (index,), (self._activation(name),))

    def _computed_in(self, op: Op) -> str:
        if op.name in self.plan.settings.float_ops:
            return "float32"
        return "int16" if op.name in self.plan.settings.wide_ops else "int8"

    def _operand(self, name: str, dtype: str) -> int:
        if not name:
            return -1
        if self.graph.is_constant(name):
            return self._constant(name, integer=dtype != "float32")
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
        return self._in_type(name, dtype)

    def _in_type(self, name: str, dtype: str) -> int:
        """A tensor for an activation in another type than the plan has for it."""
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
        decided = self.plan.constants.get(name) if integer else None
        value = self.graph.value(name) if decided is None else decided.integers
        key = (name, str(value.dtype))
        if key not in self.index:
            shape = self.graph.tensors[name].shape
            params = None if decided is None else decided.params
            self.index[key] = self.file.tensor(name, shape, str(value.dtype), params, value)
        return self.index[key]

    def _operator(
        self,
        kind: str,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        op: Op | None = None,
        dtype: str = "int8",
    ) -> None:
        version = op.version if op is not None and dtype == "float32" else _version(kind, dtype)
        options = {} if op is None else _options(op, dtype)
        self.file.operator(
            kind, version, inputs, outputs, "" if op is None else op.options_type, options
        )


def _end_type(io: IoType, params: QuantParams) -> tuple[str, QuantParams | None]:
    if io is IoType.FLOAT32:
        return "float32", None
    return io.value, params.as_type(IntType(io.value))


def _version(kind: str, dtype: str) -> int:
    """Version of an operator on these activations; QUANTIZE and DEQUANTIZE have no row."""
    if kind in ("QUANTIZE", "DEQUANTIZE"):
        return 1 if kind == "QUANTIZE" and dtype != "int16" else 2
    row = traits_of(kind)
    version = row.int16_version if dtype == "int16" else row.int8_version
    assert version is not None
    return version


def _options(op: Op, dtype: str) -> Mapping[str, Any]:
    """Fields of an operator's options table."""
    if dtype == "int16" and "potScaleInt16" in op.options:  # scales are no powers of two
        return {**op.options, "potScaleInt16": False}
    return op.options
