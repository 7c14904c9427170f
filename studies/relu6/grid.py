"""The numbers that b-bit integers stand for, and the losses of values on them.

A value loses by clipping or by rounding, never by both: beyond the range it is clipped to the end,
within the range it is rounded to the next step. The squares of both therefore add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError
from network.affine import SMALLEST_SPAN, round_away

INT8_BITS = 8


@dataclass(frozen=True)
class Grid:
    """Multiples of a step: ``scale * k`` for whole k from ``first`` to ``last``.

    An int8 tensor with zero point z is the grid from ``-128 - z`` to ``127 - z``.

    Attributes:
        scale: step, a float32 number above 0.
        first: lowest multiple, at most 0.
        last: highest multiple, at least 0.
    """

    scale: float
    first: int
    last: int

    @property
    def low(self) -> float:
        """Smallest number."""
        return self.scale * self.first

    @property
    def high(self) -> float:
        """Largest number."""
        return self.scale * self.last

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Values clipped to the range, float64."""
        return np.clip(values.astype(np.float64), self.low, self.high)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Nearest numbers of the grid, ties to even multiples, float64."""
        steps = np.rint(values.astype(np.float64) / self.scale)
        return np.asarray(np.clip(steps, self.first, self.last) * self.scale)

    def rounded(self, value: Any) -> Any:
        """``nearest`` as TensorFlow computes it on all cores, float32."""
        import tensorflow as tf

        steps = tf.round(tf.multiply(value, np.float32(1 / self.scale)))
        within = tf.clip_by_value(steps, np.float32(self.first), np.float32(self.last))
        return within * np.float32(self.scale)


def grid_of(low: float, high: float, bits: int = INT8_BITS) -> Grid:
    """Asymmetric grid of a range, by the rule of TFLite's converter at any number of bits.

    With 8 bits it is the grid of ``network.affine.params_from_range``.

    Args:
        low: smallest value; the range is widened to include 0.
        high: largest value.
        bits: number of bits, 2 to 16.

    Raises:
        InvalidInputError: an end that is not finite, low above high, or a number of bits outside 2
            to 16.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high and 2 <= bits <= 16):
        raise InvalidInputError(
            "a grid has a finite range and 2 to 16 bits",
            received=f"[{low:g}, {high:g}] with {bits} bits",
            remedy="check the calibration images and the weights for NaN and infinity",
        )
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < SMALLEST_SPAN:
        low, high = (low, SMALLEST_SPAN) if high >= -low else (-SMALLEST_SPAN, high)
    steps = 2**bits - 1
    bottom = -(2 ** (bits - 1))
    scale = (high - low) / steps
    # The end whose error is smaller sets the zero point (ChooseQuantizationParams).
    from_low, from_high = bottom - low / scale, bottom + steps - high / scale
    use_low = abs(bottom) + abs(low / scale) < abs(bottom + steps) + abs(high / scale)
    zero = int(round_away(np.asarray(from_low if use_low else from_high)))
    first = bottom - min(max(zero, bottom), bottom + steps)
    return Grid(float(np.float32(scale)), first, first + steps)


@dataclass(frozen=True)
class Noise:
    """Sums of squares over values; ``+`` adds two sets of values.

    Attributes:
        signal: squares of the values.
        clipping: squares of the distances beyond the range.
        rounding: squares of the distances to the grid within the range.
        count: number of values.
        clipped: number of values beyond the range.
    """

    signal: float = 0.0
    clipping: float = 0.0
    rounding: float = 0.0
    count: int = 0
    clipped: int = 0

    def __add__(self, other: Noise) -> Noise:
        return Noise(
            self.signal + other.signal,
            self.clipping + other.clipping,
            self.rounding + other.rounding,
            self.count + other.count,
            self.clipped + other.clipped,
        )

    @property
    def total(self) -> float:
        """Sum of both losses."""
        return self.clipping + self.rounding

    @property
    def sqnr(self) -> float:
        """Signal-to-noise ratio in dB; infinity without noise."""
        return decibels(self.signal, self.total)


def noise_of(values: np.ndarray, grid: Grid) -> Noise:
    """Losses of values on a grid, by clipping and by rounding.

    Args:
        values: float32, any shape.
        grid: grid that the values are rounded to.
    """
    exact = values.astype(np.float64)
    within = grid.clipped(values)
    cut = exact - within
    return Noise(
        float(np.square(exact).sum()),
        float(np.square(cut).sum()),
        float(np.square(within - grid.nearest(values)).sum()),
        values.size,
        int(np.count_nonzero(cut)),
    )


def decibels(signal: float, noise: float) -> float:
    """``10 log10(signal / noise)``; infinity without noise, minus infinity without signal."""
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
