"""An int8 network of integer tensors, and the loop that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError, UnsupportedError
from foundation.foreign import reading
from foundation.tables import joined
from network.affine import QuantParams
from network.graph import Op
from network.oracle.call import Call, Kernel
from network.oracle.kernels.scales import DEQUANTIZE, QUANTIZE

_FITTING = "operators have the inputs, options, shapes and scales that they compute with"
_ELSEWHERE = "export the file again"
_STRICT: dict[str, Any] = {"over": "raise", "divide": "raise", "invalid": "raise"}

KERNELS: Mapping[str, Kernel] = joined(f"{__package__}.kernels", "KERNELS")
"""Kernel of each operator, by TFLite's builtin name."""


@dataclass(frozen=True)
class IntegerTensor:
    """A tensor of an int8 network.

    Attributes:
        name: name, unique in the network.
        shape: shape in the file.
        dtype: NumPy's name of the type.
        params: scale and zero point; None for floats, shapes and axes.
        value: value of a constant; None for an activation.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    params: QuantParams | None = None
    value: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Operators:
    """Operators in an order in which they can run, and their tensors.

    Attributes:
        ops: operators in order.
        tensors: tensors by name.

    Raises:
        UnsupportedError: an integer operator without a kernel here; names it.
    """

    ops: tuple[Op, ...]
    tensors: Mapping[str, IntegerTensor] = field(repr=False)

    def __post_init__(self) -> None:
        in_float = {op.name for op in self.in_float}
        lacking = sorted({op.kind for op in self.ops if op.name not in in_float} - set(KERNELS))
        if lacking:
            raise UnsupportedError(
                f"the integer interpreter knows {', '.join(sorted(map(str, KERNELS)))}",
                received=", ".join(lacking),
                remedy="run the file in litert-reference",
            )

    @property
    def in_float(self) -> tuple[Op, ...]:
        """Operators that compute without scales, between DEQUANTIZE and QUANTIZE."""
        return tuple(
            op
            for op in self.ops
            if op.kind not in (QUANTIZE, DEQUANTIZE)
            and all(self.tensors[name].params is None for name in op.outputs)
        )

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run all operators.

        Args:
            feeds: activations that no operator computes, by name.

        Returns:
            Every activation by name, ``feeds`` included.

        Raises:
            UnsupportedError: an operator in float32, or in a form that has no kernel here.
            InvalidInputError: options, shapes or scales that do not fit together.
        """
        if in_float := self.in_float:
            raise UnsupportedError(
                "the integer interpreter runs operators in integers",
                received=f"{in_float[0].kind}, which gives {in_float[0].name} in float32",
                remedy="run the file in litert-reference",
            )
        values = dict(feeds)
        for op in self.ops:
            name = f"{op.kind} {', '.join(op.outputs)}"
            # Damaged scales give numbers beyond a type: an error here, where C continues.
            with reading(name, _FITTING, _ELSEWHERE), np.errstate(**_STRICT):
                results = KERNELS[op.kind](self._call(op, values))
                values.update(zip(op.outputs, results, strict=True))
        return values

    def _call(self, op: Op, values: Mapping[str, np.ndarray]) -> Call:
        inputs: list[np.ndarray | None] = []
        for name in op.inputs:
            stored = self.tensors[name].value if name else None
            inputs.append(values.get(name) if stored is None else stored)
        return Call(
            op,
            tuple(inputs),
            tuple(self.tensors[name].params if name else None for name in op.inputs),
            tuple(self.tensors[name].params for name in op.outputs),
            tuple(self.tensors[name].shape for name in op.outputs),
        )


@dataclass(frozen=True)
class IntegerModel(Operators):
    """A network with one input.

    Attributes:
        input: name of the image tensor.
        outputs: names of the tensors of the outputs, in the file's order.
    """

    input: str
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """Name of the first output's tensor; the only one of most networks."""
        return self.outputs[0]

    def activations(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run one input.

        Args:
            image: array with the shape and type of the input.

        Returns:
            Every activation by name, input and outputs included.

        Raises:
            InvalidInputError: another shape or type.
            UnsupportedError: an operator in a form that has no kernel here.
        """
        wanted = self.tensors[self.input]
        if image.shape != wanted.shape or image.dtype != np.dtype(wanted.dtype):
            raise InvalidInputError(
                f"the network takes {wanted.dtype} of shape {list(wanted.shape)}",
                received=f"{image.dtype} {list(image.shape)}",
                remedy="quantize the image with the input's scale, one at a time",
            )
        return self.run({self.input: image})
