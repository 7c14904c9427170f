"""A plan of float activations rendered as a .tflite: float16, dynamic or weight-only int8.

A stored weight in float16, or in int8 alone, passes a DEQUANTIZE, which LiteRT and its delegates
compute once when the network is loaded. In a dynamic file an operator reads the integers itself and
quantizes its input as it runs. Biases and other constants of a float16 file are float16 too.
Versions: tensorflow/lite/tools/versioning/op_version.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.tflite.render import Writing
from network.graph import Op
from network.operators import OpKind
from quantize.rounding.half import LARGEST
from quantize.settings import Precision

_DEQUANTIZE = "DEQUANTIZE"
_HYBRID_VERSIONS: Mapping[str, int] = {
    OpKind.CONV: 5,
    OpKind.DEPTHWISE_CONV: 6,
    OpKind.DENSE: 9,
}
"""Versions of the operators that read a float activation and an int8 weight."""
_FROM_HALF, _FROM_INTEGERS = 3, 5
"""Versions of DEQUANTIZE for float16, and for int8 with a scale for each channel."""


@dataclass
class FloatingWriting(Writing):
    """A .tflite file while it is built; see ``Writing``."""

    def _computed_in(self, _: Op) -> str:
        return "float32"

    def _constant(self, name: str, *, integer: bool) -> int:
        """Index of a constant as an operator in float reads it; ``integer`` is False."""
        key = (name, "float32")
        if key in self.index:
            return self.index[key]
        planned = self.plan.constants.get(name)
        value = self.graph.value(name) if planned is None else planned.integers
        half = self.plan.settings.floating is Precision.FLOAT16
        if planned is None and not (half and _is_halved(value)):
            return super()._constant(name, integer=integer)
        if planned is None:
            stored = self.file.tensor(
                f"{name}_float16", value.shape, "float16", value=value.astype(np.float16)
            )
        else:
            stored = self._integers(name)
        self.index[key] = self.file.tensor(name, value.shape, "float32")
        version = _FROM_HALF if planned is None else _FROM_INTEGERS
        self.file.operator(_DEQUANTIZE, version, [stored], [self.index[key]])
        return self.index[key]

    def _integers(self, name: str) -> int:
        """Index of a weight in int8."""
        key = (name, "int8")
        if key not in self.index:
            planned = self.plan.constants[name]
            hybrid = self.plan.settings.floating is Precision.DYNAMIC
            self.index[key] = self.file.tensor(
                name if hybrid else f"{name}_int8",
                planned.integers.shape,
                "int8",
                planned.params,
                planned.integers,
            )
        return self.index[key]

    def _write(self, op: Op) -> None:
        if not self._is_hybrid(op):
            super()._write(op)
            return
        options: Mapping[str, Any] = op.options
        if op.kind == OpKind.DENSE:
            options = {**options, "asymmetricQuantizeInputs": True}
        inputs = [
            self._integers(name) if name == op.inputs[1] else self._operand(name, "float32")
            for name in op.file_inputs
        ]
        results = [self._result(name, "float32") for name in op.outputs]
        version = _HYBRID_VERSIONS[op.kind]
        self.file.operator(op.kind, version, inputs, results, op.options_type, options)

    def _is_hybrid(self, op: Op) -> bool:
        """Whether an operator quantizes its input as it runs."""
        dynamic = self.plan.settings.floating is Precision.DYNAMIC
        if not dynamic or not op.is_weighted or op.inputs[1] not in self.plan.constants:
            return False
        return reads_integers(op, self.graph.tensors[op.inputs[0]].shape, self.graph.weight(op))


def reads_integers(op: Op, shape: tuple[int, ...], weight: np.ndarray) -> bool:
    """Whether LiteRT has kernels of an operator for a float activation and an int8 weight.

    Args:
        op: weighted operator.
        shape: shape of its input.
        weight: its weight; that of a grouped convolution has fewer channels than the input.
    """
    if op.kind == OpKind.CONV and weight.shape[-1] != shape[-1]:
        return False
    return op.kind in _HYBRID_VERSIONS


def _is_halved(value: np.ndarray) -> bool:
    """Whether a constant is float16 in a float16 file: several numbers within its range."""
    several = value.dtype == np.float32 and value.size > 1
    return several and bool(np.abs(value).max() <= LARGEST)
