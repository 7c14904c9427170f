"""What a kernel gets, and what the kernels share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.oracle.fixed_point import Multiplier
from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams, activation_limits
from network.graph import Op

MOST_ELEMENTS = 1 << 27
"""Numbers in a tensor at most: a gigabyte as int64, ten times what classifiers have."""

MOST_PRODUCTS = 1 << 29
"""Numbers in the windows of one convolution or pool at most."""


@dataclass(frozen=True)
class Call:
    """One operator with its values.

    Attributes:
        op: kind and options.
        inputs: arrays in the operator's order; None for an absent one.
        sources: parameters of the inputs; None for floats and for shapes and axes.
        results: parameters of the results; None for floats.
        shapes: of the results, as the file states them.
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
        """An input that must be there."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise self.refused(f"no input {position}")
        return value

    def source(self, position: int = 0) -> QuantParams:
        """Parameters of an input that must be quantized."""
        params = self.sources[position]
        if params is None:
            raise self.refused(f"input {position} without scales")
        return params

    @property
    def result(self) -> QuantParams:
        """Parameters of the first result, which must be quantized."""
        params = self.results[0]
        if params is None:
            raise self.refused("a result without scales")
        return params

    @property
    def is_wide(self) -> bool:
        """Whether the first input has 16 bits."""
        return self.source().dtype is IntType.INT16

    def centred(self, position: int = 0, *, wide: bool = False) -> np.ndarray:
        """An 8-bit input less its zero point, int64; with ``wide`` a 16-bit one as well."""
        params = self.source(position)
        allowed = (IntType.INT8, IntType.UINT8, *((IntType.INT16,) if wide else ()))
        if params.dtype not in allowed:
            raise self.refused(f"{params.dtype.value} input")
        return self.array(position).astype(np.int64) - params.zero_point[0]

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Steps without zero point as the first result, with its fused activation.

        Args:
            values: int64, of the result's scale.

        Returns:
            Integers of the result's type.
        """
        low, high = activation_limits(self.op.fused, self.result)
        clipped: np.ndarray = np.clip(values + self.result.zero_point[0], low, high)
        return clipped.astype(self.result.dtype.value)

    def require_size(self, *sizes: int, most: int = MOST_ELEMENTS) -> None:
        """Refuse a result that would fill the memory: options of damaged files ask for such.

        Args:
            sizes: of the array that is about to be made.
            most: numbers in it.
        """
        if math.prod(sizes) > most or min(sizes, default=0) < 0:
            raise self.refused(f"an array of {list(sizes)} on the way")

    def refused(self, received: str) -> UnsupportedError:
        """The error for an operator in a form that has no integer kernel here."""
        return UnsupportedError(
            f"the integer interpreter has {self.op.kind} in its usual forms alone",
            received=f"{', '.join(self.op.outputs[:1])} with {received}",
            remedy="run the file in litert-reference",
        )


Kernel = Callable[[Call], tuple[np.ndarray, ...]]
"""Takes a call, gives the results in order."""


def rescaling(call: Call) -> Multiplier:
    """From the scale of the first input to that of the first result, in double precision."""
    return Multiplier.of(np.float64(call.source().scale[0]) / np.float64(call.result.scale[0]))


def spread_of(size: int, window: int, stride: int, *, same: bool) -> tuple[int, int, int]:
    """Where windows lie along one axis.

    Source: ComputePaddingWithOffset, tensorflow/lite/kernels/padding.h.

    Args:
        size: of the input.
        window: extent of a window, dilation included.
        stride: between two windows.
        same: SAME padding instead of VALID.

    Returns:
        Number of windows, padding before, padding after.
    """
    if not same:
        return (size - window + stride) // stride, 0, 0
    count = -(-size // stride)
    total = max((count - 1) * stride + window - size, 0)
    return count, total // 2, total - total // 2
