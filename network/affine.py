"""Affine quantization: ``real = scale * (integer - zero_point)``.

Source: LiteRT 8-bit quantization specification,
https://ai.google.dev/edge/litert/models/quantization_spec; Jacob et al. 2018 (arXiv:1712.05877),
section 2.1. ``QuantParams.quantize`` and ``dequantize`` are the only way between integers and reals
in NumPy; ``network.run_tensorflow`` has the same in TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError

SMALLEST_SPAN = 1e-6
"""Narrower ranges are widened to this span, so that a constant zero has a scale (the bound of the
converter, ``ExpandVerySmallRange`` in tensorflow/compiler/mlir/lite/quantization)."""

SMALLEST_RELATIVE_SCALE = 2.0**-24
"""Smallest scale of a channel relative to the widest channel's: float32 resolves no smaller one."""

BIAS_LIMIT = 2**30
"""Largest magnitude of a stored bias: half of int32, so that the sum of products fits beside it."""


class IntType(StrEnum):
    """Integer types of stored tensors, by NumPy's names."""

    INT4 = "int4"
    """Weights alone; NumPy has no such type, so that arrays of them are int8."""
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        if self is IntType.INT4:
            return -8, 7
        info = np.iinfo(self.value)
        return int(info.min), int(info.max)

    @property
    def array(self) -> str:
        """NumPy's name of the type of arrays that hold these integers."""
        return "int8" if self is IntType.INT4 else self.value


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point of one tensor; hashable, and plain values for JSON.

    Attributes:
        scale: real distance of two neighbouring integers, above zero, each a float32 number; one
            for the whole tensor, or one for each index of ``axis``.
        zero_point: integers that stand for 0, as many as scales.
        dtype: type of the integers.
        axis: axis along which the scales differ; None where one scale holds everywhere.

    Raises:
        InvalidInputError: no scale, one that is not finite and above zero, several without an axis,
            a zero point outside of the type, or another number of zero points than of scales.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    dtype: IntType = IntType.INT8
    axis: int | None = None

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # a scale beyond float32 becomes infinite, and is refused
            scale = np.asarray(self.scale, np.float64).astype(np.float32)
        object.__setattr__(self, "scale", tuple(scale.tolist()))
        object.__setattr__(self, "zero_point", tuple(map(int, self.zero_point)))
        low, high = self.dtype.limits
        whole = len(self.scale) == len(self.zero_point) >= 1
        sound = bool(np.isfinite(scale).all() and (scale > 0).all())
        zeros = self.zero_point or (0,)
        inside = low <= min(zeros) and max(zeros) <= high
        if not (whole and sound and inside and (self.axis is not None or len(self.scale) == 1)):
            raise InvalidInputError(
                f"a tensor of {self.dtype.value} has finite scales above zero, one or one for each "
                "index of an axis, and as many zero points within its type",
                received=f"scales {_brief(self.scale)}, zero points {_brief(self.zero_point)}, "
                f"axis {self.axis}",
                remedy="check the range that they were made from, or export the file again",
            )

    @property
    def per_axis(self) -> bool:
        """Whether each index of an axis has its own scale."""
        return self.axis is not None

    @property
    def real_range(self) -> tuple[float, float]:
        """Smallest and largest number that a tensor with one scale can store."""
        low, high = self.dtype.limits
        scale, zero = self.scale[0], self.zero_point[0]
        return scale * (low - zero), scale * (high - zero)

    def quantize(
        self, values: np.ndarray, precision: type[np.floating[Any]] = np.float32
    ) -> np.ndarray:
        """``clamp(round(values / scale) + zero_point)``, ties away from zero as LiteRT's QUANTIZE.

        Args:
            values: finite numbers of any shape that has ``axis``.
            precision: type of the division; single as in the kernels, double for biases.

        Returns:
            Integers of ``dtype``, same shape.
        """
        scale, zero = self._aligned(values.ndim, precision)
        with np.errstate(over="ignore"):  # beyond float32 is beyond the integers too: clamped
            steps = values.astype(precision) / scale
        if np.dtype(self.dtype.array).itemsize > 2:  # 16 bits and a zero point fit float32
            steps = steps.astype(np.float64)
        low, high = self.dtype.limits
        clipped: np.ndarray = np.clip(round_away(steps) + zero.astype(steps.dtype), low, high)
        return clipped.astype(self.dtype.array)

    def dequantize(
        self, integers: np.ndarray, precision: type[np.floating[Any]] = np.float32
    ) -> np.ndarray:
        """``scale * (integers - zero_point)``, as LiteRT's DEQUANTIZE.

        Args:
            integers: integers of any shape that has ``axis``.
            precision: type of the product; single as in the kernel, double for biases.

        Returns:
            Numbers of type ``precision``, same shape.
        """
        scale, zero = self._aligned(integers.ndim, precision)
        if integers.dtype.itemsize <= 2:  # differences up to 2^17: exact in single precision
            result: np.ndarray = integers.astype(precision)
            result -= zero.astype(precision)
        else:
            result = (integers.astype(np.int64) - zero).astype(precision)
        result *= scale
        return result

    def round_trip(self, values: np.ndarray) -> np.ndarray:
        """Float32 values after quantization and back, same shape."""
        return self.dequantize(self.quantize(values))

    def as_type(self, dtype: IntType) -> QuantParams:
        """Parameters of the same numbers in the other 8-bit type: int8 plus 128 is uint8.

        Raises:
            InvalidInputError: a type of another width.
        """
        if dtype is self.dtype:
            return self
        shift = {(IntType.INT8, IntType.UINT8): 128, (IntType.UINT8, IntType.INT8): -128}.get(
            (self.dtype, dtype)
        )
        if shift is None:
            raise InvalidInputError(
                "parameters change between int8 and uint8 only",
                received=f"{self.dtype.value} to {dtype.value}",
                remedy="make new parameters from the range",
            )
        return replace(self, dtype=dtype, zero_point=tuple(z + shift for z in self.zero_point))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back to the last bit."""
        return {
            "scale": list(self.scale),
            "zero_point": list(self.zero_point),
            "dtype": self.dtype.value,
            "axis": self.axis,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantParams:
        """Parameters from the values that ``to_dict`` gave."""
        return cls(
            tuple(values["scale"]),
            tuple(values["zero_point"]),
            IntType(values["dtype"]),
            values["axis"],
        )

    def _aligned(
        self, rank: int, precision: type[np.floating[Any]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scale and zero point (int64), shaped to broadcast against a tensor of that rank."""
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = len(self.scale)
        elif rank == 0:
            shape = []
        return (
            np.asarray(self.scale, precision).reshape(shape),
            np.asarray(self.zero_point, np.int64).reshape(shape),
        )


def round_away(values: np.ndarray) -> np.ndarray:
    """Round to the nearest whole number, ties away from zero (C's ``round``, TfLiteRound).

    Args:
        values: float32 or float64.

    Returns:
        Of the same type and shape.
    """
    whole = np.trunc(values)
    # Adding a half first would round 0.49999999999999994 up.
    rounded: np.ndarray = whole + np.where(
        np.abs(values - whole) >= 0.5, np.copysign(1.0, values), 0.0
    )
    return rounded


def params_from_range(low: float, high: float, dtype: IntType = IntType.INT8) -> QuantParams:
    """Asymmetric parameters of an activation, with the zero point nudged to a whole number.

    The range is widened to include 0, which padding and ReLU need exactly. The zero point comes
    from the end whose error is smaller, as in TFLite's converter (``ChooseQuantizationParams``,
    tensorflow/lite/kernels/internal/quantization_util.h); the scale is then rounded to float32.

    Args:
        low: smallest value of the tensor.
        high: largest value.
        dtype: type of the integers.

    Raises:
        InvalidInputError: an end that is not finite, or low above high.
    """
    _check_range(low, high)
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < SMALLEST_SPAN:
        low, high = (low, SMALLEST_SPAN) if high >= -low else (-SMALLEST_SPAN, high)
    first, last = dtype.limits
    scale = (high - low) / (last - first)
    from_low, from_high = first - low / scale, last - high / scale
    error_low, error_high = abs(first) + abs(low / scale), abs(last) + abs(high / scale)
    exact = from_low if error_low < error_high else from_high
    zero = int(round_away(np.asarray(exact)).clip(first, last))
    return QuantParams((scale,), (zero,), dtype)


def symmetric_params(
    largest: float | Sequence[float] | np.ndarray,
    *,
    bits: int = 8,
    dtype: IntType = IntType.INT8,
    axis: int | None = None,
) -> QuantParams:
    """Parameters with zero point 0 whose largest integer is ``2 ** (bits - 1) - 1``.

    Args:
        largest: magnitude that the largest integer stands for; one number, or one for each index
            of ``axis``. Dead channels (0) get the scale of SMALLEST_SPAN.
        bits: 8 for [-127, 127]; 7 for [-63, 63], whose products never saturate 16-bit sums.
        dtype: type of the integers.
        axis: axis of the scales; None for one scale.

    Raises:
        InvalidInputError: a magnitude that is negative or not finite, or more bits than the type.
    """
    ends = np.atleast_1d(np.asarray(largest, np.float64))
    top = 2 ** (bits - 1) - 1
    if not (np.isfinite(ends).all() and (ends >= 0).all()) or not 1 <= top <= dtype.limits[1]:
        raise InvalidInputError(
            f"symmetric {dtype.value} takes finite magnitudes and 2 bits or more that fit the type",
            received=f"{_brief(tuple(ends.tolist()))} with {bits} bits",
            remedy="check the weights for NaN and infinity",
        )
    scales = np.maximum(ends, SMALLEST_SPAN) / top
    return QuantParams(tuple(scales.tolist()), (0,) * len(scales), dtype, axis)


def weight_reach(channels: np.ndarray, *, per_channel: bool) -> np.ndarray:
    """Number that the largest integer of each channel of a weight stands for.

    A channel of zeros, or of weights too small to matter, does not determine a scale: it gets one
    that leaves its bias, whose step is the product of the scales of input and weight, fine enough
    to be stored in 32 bits.

    Args:
        channels: largest magnitude in each channel, float64 ``[channels]``.
        per_channel: whether each channel has a scale, or all have one.

    Returns:
        float64 ``[channels]``, above zero; all 127 where every weight is 0.
    """
    widest = float(channels.max(initial=0.0)) or 127.0
    if not per_channel:
        return np.full_like(channels, widest)
    live = np.maximum(channels, widest * SMALLEST_RELATIVE_SCALE)
    return np.where(channels == 0, widest, live)


def weight_params(weight: np.ndarray, *, axis: int | None, bits: int = 8) -> QuantParams:
    """Symmetric int8 parameters of a weight, from its largest magnitudes.

    Args:
        weight: float32.
        axis: axis of the output channels, for one scale per channel; None for one scale.
        bits: 8 for [-127, 127]; 7 for [-63, 63].
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    magnitudes = np.abs(weight).max(axis=others if axis is not None else None)
    return symmetric_params(magnitudes, bits=bits, axis=axis)


def bias_params(source: QuantParams, weight: QuantParams) -> QuantParams:
    """Parameters of an int32 bias: scale of the input times scale of the weight, zero point 0.

    Args:
        source: parameters of the operator's input, one scale.
        weight: parameters of its weight.
    """
    product = np.float32(source.scale[0]) * np.asarray(weight.scale, np.float32)
    axis = None if weight.axis is None else 0
    return QuantParams(tuple(product.tolist()), (0,) * len(product), IntType.INT32, axis)


def quantize_bias(bias: np.ndarray, params: QuantParams, name: str) -> np.ndarray:
    """A bias in int32.

    Args:
        bias: float32 ``[channels]``.
        params: parameters from ``bias_params``.
        name: name of the layer, for the error.

    Raises:
        InvalidInputError: a value that is not finite, or needs more than BIAS_LIMIT steps: the
            weights of its channel are too small beside it (see widened_for_bias).
    """
    steps = bias.astype(np.float64) / np.asarray(params.scale, np.float64)
    if not np.isfinite(steps).all() or (np.abs(steps) > BIAS_LIMIT).any():
        raise InvalidInputError(
            "a bias is finite and fits in 31 bits of its scale",
            received=f"{name} with up to {np.abs(steps).max():.3g} steps",
            remedy="widen the scales of its weights",
        )
    return params.quantize(bias, np.float64)


def widened_for_bias(weight: QuantParams, bias: np.ndarray, source: QuantParams) -> QuantParams:
    """Parameters of a weight, with larger scales where a channel's bias would not fit int32.

    This happens in dead channels, of which only the bias is left.

    Args:
        weight: parameters of the weight.
        bias: float32 ``[channels]``.
        source: parameters of the input.
    """
    needed = np.abs(bias.astype(np.float64)) / (source.scale[0] * (BIAS_LIMIT - 2.0**8))
    if not weight.per_axis:
        needed = np.asarray([needed.max(initial=0.0)])
    scales = np.maximum(np.asarray(weight.scale, np.float64), needed)
    return replace(weight, scale=tuple(scales.tolist()))


def _check_range(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InvalidInputError(
            "a range has a finite lower end below its upper end",
            received=f"[{low:g}, {high:g}]",
            remedy="check the calibration images and the weights for NaN and infinity",
        )


def _brief(values: Sequence[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:3])
    return f"[{shown}{', ...' if len(values) > 3 else ''}]"
