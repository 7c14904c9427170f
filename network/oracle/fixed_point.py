"""Multiplication of int32 by a real number, in integers, as TensorFlow Lite defines it.

A multiplier is ``mantissa * 2 ** (shift - 31)`` with a mantissa of 31 bits. Sources:
QuantizeMultiplier and MultiplyByQuantizedMultiplier (two roundings, the default build) in
quantization_util.cc and common.cc of tensorflow/lite/kernels/internal;
SaturatingRoundingDoublingHighMul and RoundingDivideByPOT in gemmlowp/fixedpoint/fixedpoint.h. The
functions work elementwise on int64 arrays that hold int32 values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from network.affine import round_away

INT32 = np.iinfo(np.int32)

_48_OVER_17 = 1515870810
_MINUS_32_OVER_17 = -1010580540
_ONE_AND_A_HALF = (1 << 28) + (1 << 27)
"""1.5 in Q3.28."""
_HALF_ROOT_OF_2 = 1518500250
"""sqrt(2) / 2 in Q0.31."""


@dataclass(frozen=True)
class Multiplier:
    """A real number, or one per channel, as 31-bit mantissas and powers of two.

    Attributes:
        mantissa: mantissas in [2 ** 30, 2 ** 31 - 1], or 0.
        shift: powers of two; a shift to the left where positive.
    """

    mantissa: tuple[int, ...]
    shift: tuple[int, ...]

    @classmethod
    def of(cls, real: float | np.ndarray) -> Multiplier:
        """Multiplier of a real number, as QuantizeMultiplier computes it.

        Args:
            real: float64, at least 0; a number, or ``[channels]``.
        """
        values = np.atleast_1d(np.asarray(real, np.float64))
        fractions, shifts = np.frexp(values)
        mantissas = round_away(fractions * 2.0**31).astype(np.int64)
        carried = mantissas == 2**31
        mantissas = np.where(carried, mantissas // 2, mantissas)
        shifts = np.where(carried, shifts + 1, shifts)
        lost = (shifts < -31) | (values == 0)
        return cls(
            tuple(np.where(lost, 0, mantissas).tolist()), tuple(np.where(lost, 0, shifts).tolist())
        )

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Multiply as MultiplyByQuantizedMultiplier does, with two roundings.

        Args:
            values: integers within int32; channels last where there are several multipliers.

        Returns:
            int64 within int32, same shape.
        """
        mantissa, shift = np.asarray(self.mantissa, np.int64), np.asarray(self.shift, np.int64)
        return multiplied(values, mantissa, shift)

    def apply_once(self, values: np.ndarray) -> np.ndarray:
        """Multiply with one rounding, ties up (TFLITE_SINGLE_ROUNDING; ruy).

        Args:
            values: integers within int32; channels last where there are several multipliers.

        Returns:
            int64, same shape.
        """
        right = 31 - np.asarray(self.shift, np.int64)
        product = np.asarray(values, np.int64) * np.asarray(self.mantissa, np.int64)
        rounded: np.ndarray = (product + (np.int64(1) << (right - 1))) >> right
        return rounded

    def apply_wide(self, values: np.ndarray) -> np.ndarray:
        """Multiply int64 sums with 15 bits of the mantissa and one rounding, ties up.

        Args:
            values: integers within 48 bits; channels last where there are several multipliers.

        Returns:
            int64, same shape.
        """
        mantissa = np.asarray(self.mantissa, np.int64)
        reduced = np.where(mantissa < 0x7FFF0000, (mantissa + (1 << 15)) >> 16, 0x7FFF)
        right = 15 - np.asarray(self.shift, np.int64)
        product = np.asarray(values, np.int64) * reduced
        rounded: np.ndarray = (product + (np.int64(1) << (right - 1))) >> right
        return rounded


def wrapped(values: np.ndarray) -> np.ndarray:
    """The low 32 bits as a signed number, as int32 arithmetic wraps.

    Args:
        values: int64.

    Returns:
        int64 within int32.
    """
    return values.astype(np.int32).astype(np.int64)


def doubling_high_mul(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """SaturatingRoundingDoublingHighMul: ``round(a * b / 2 ** 31)``, ties up.

    Args:
        a: int64 within int32.
        b: int64 within int32, or an integer.

    Returns:
        int64 within int32.
    """
    product = a * np.asarray(b, np.int64)
    # C's division rounds towards zero, and the nudge differs with the sign.
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    product_high: np.ndarray = np.minimum(high, INT32.max)  # only -2 ** 31 squared is beyond
    return product_high


def rounding_divide_by_pot(values: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """RoundingDivideByPOT: division by a power of two, ties away from zero.

    Args:
        values: int64 within int32.
        exponent: 0 to 31.

    Returns:
        int64 within int32.
    """
    power = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << power) - 1
    threshold = (mask >> 1) + (values < 0)
    quotient: np.ndarray = (values >> power) + ((values & mask) > threshold)
    return quotient


def one_over_one_plus(values: np.ndarray) -> np.ndarray:
    """1 / (1 + x) of Q0.31 numbers in (0, 1), by Newton-Raphson steps."""
    half = (values + INT32.max + 1) >> 1  # the sum is positive
    x = _48_OVER_17 + doubling_high_mul(half, _MINUS_32_OVER_17)
    for _ in range(3):
        missing = (1 << 29) - doubling_high_mul(half, x)
        x = x + _saturated32(doubling_high_mul(x, missing) << 2)
    return _saturated32(x << 1)


def inverse_root(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """GetInvSqrtQuantizedMultiplierExp: ``1 / sqrt(x) = mantissa * 2 ** (shift - 31)``.

    Args:
        values: positive, below 2 ** 29.

    Returns:
        Mantissas and shifts, int64, same shape.
    """
    zeros = 32 - np.frexp(values.astype(np.float64))[1].astype(np.int64)
    pairs = (zeros - 1) // 2 - 1  # of bits, by which a value is shifted to [2 ** 27, 2 ** 29)
    half = rounding_divide_by_pot((values << (2 * pairs)) >> 1, 1)
    root = np.full_like(half, 1 << 28)  # Q3.28
    for _ in range(5):  # Newton-Raphson
        cube = _saturated32(doubling_high_mul(doubling_high_mul(root, root), root) << 6)
        step = doubling_high_mul(root, _ONE_AND_A_HALF) - doubling_high_mul(half, cube)
        root = _saturated32(step << 3)
    mantissa = doubling_high_mul(root, _HALF_ROOT_OF_2)
    shift = 11 - pairs
    mantissa, shift = mantissa << np.maximum(-shift, 0), np.maximum(shift, 0)
    large = values <= 1
    return np.where(large, INT32.max, mantissa), np.where(large, 0, -shift)


def multiplied(values: np.ndarray, mantissa: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """MultiplyByQuantizedMultiplier, with two roundings.

    Args:
        values: integers within int32.
        mantissa: int64 within int32.
        shift: powers of two; a shift to the left where positive.

    Returns:
        int64 within int32.
    """
    left = wrapped(np.asarray(values, np.int64) << np.maximum(shift, 0))
    return rounding_divide_by_pot(doubling_high_mul(left, mantissa), np.maximum(-shift, 0))


def _saturated32(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(values, INT32.min, INT32.max)
    return clipped
