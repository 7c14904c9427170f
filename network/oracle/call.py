"""Interface of the kernels, and the functions that they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foundation.errors import UnsupportedError
from network.activation_limits import activation_limits
from network.affine import IntType, QuantParams
from network.graph import Op
from network.oracle.fixed_point import Multiplier

MOST_ELEMENTS = 1 << 27
"""Largest number of elements of a tensor: a gigabyte as int64, ten times what classifiers have."""

MOST_PRODUCTS = 1 << 29
"""Largest number of elements in the windows of one convolution or pool."""


@dataclass(frozen=True)
class Call:
    """An operator with the values of its inputs.

    Attributes:
        op: kind and options.
        inputs: arrays in the operator's order; None for an absent one.
        sources: parameters of the inputs; None for floats, shapes and axes.
        results: parameters of the results; None for floats.
        shapes: shapes of the results in the file.
    """

    op: Op
    inputs: tuple[np.ndarray | None, ...] = field(repr=False)
    sources: tuple[QuantParams | None, ...]
    results: tuple[QuantParams | None, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def options(self) -> Mapping[str, Any]:
        """Fields of the schema's options table."""
        return self.op.options

    def array(self, position: int) -> np.ndarray:
        """Value of an input; refuses an absent one."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise self.refused(f"no input {position}")
        return value

    def source(self, position: int = 0) -> QuantParams:
        """Parameters of an input; refuses one that is not quantized."""
        params = self.sources[position]
        if params is None:
            raise self.refused(f"input {position} without scales")
        return params

    @property
    def result(self) -> QuantParams:
        """Parameters of the first result; refuses one that is not quantized."""
        params = self.results[0]
        if params is None:
            raise self.refused("a result without scales")
        return params

    @property
    def is_wide(self) -> bool:
        """Whether the first input has 16 bits."""
        return self.source().dtype is IntType.INT16

    def centred(self, position: int = 0, *, wide: bool = False) -> np.ndarray:
        """An input minus its zero point, int64; 8 bits, or also 16 bits with ``wide``."""
        params = self.source(position)
        allowed = (IntType.INT8, IntType.UINT8, *((IntType.INT16,) if wide else ()))
        if params.dtype not in allowed:
            raise self.refused(f"{params.dtype.value} input")
        return self.array(position).astype(np.int64) - params.zero_point[0]

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Add the zero point of the first result and apply its fused activation.

        Args:
            values: steps of the result's scale, int64.

        Returns:
            Integers of the result's type.
        """
        low, high = activation_limits(self.op.fused, self.result)
        clipped: np.ndarray = np.clip(values + self.result.zero_point[0], low, high)
        return clipped.astype(self.result.dtype.value)

    def require_size(self, *sizes: int, most: int = MOST_ELEMENTS) -> None:
        """Refuse an array that would fill the memory, as options of damaged files may ask for.

        Args:
            sizes: shape of the array.
            most: largest allowed number of elements.
        """
        if math.prod(sizes) > most or min(sizes, default=0) < 0:
            raise self.refused(f"an array of {list(sizes)} on the way")

    def refused(self, received: str) -> UnsupportedError:
        """Error for an operator in a form that has no integer kernel here."""
        return UnsupportedError(
            f"the integer interpreter has {self.op.kind} in its usual forms alone",
            received=f"{', '.join(self.op.outputs[:1])} with {received}",
            remedy="run the file in litert-reference",
        )


Kernel = Callable[[Call], tuple[np.ndarray, ...]]
"""Call -> results of the operator, in order."""


def rescaling(call: Call) -> Multiplier:
    """Multiplier ``input scale / result scale``, in double precision."""
    return Multiplier.of(np.float64(call.source().scale[0]) / np.float64(call.result.scale[0]))


def spread_of(size: int, window: int, stride: int, *, same: bool) -> tuple[int, int, int]:
    """Number of windows along one axis, and the padding.

    Source: ComputePaddingWithOffset, tensorflow/lite/kernels/padding.h.

    Args:
        size: size of the input.
        window: extent of a window, dilation included.
        stride: distance between two windows.
        same: whether the padding is SAME; VALID if not.

    Returns:
        Number of windows, padding before, padding after.
    """
    if not same:
        return (size - window + stride) // stride, 0, 0
    count = -(-size // stride)
    total = max((count - 1) * stride + window - size, 0)
    return count, total // 2, total - total // 2
