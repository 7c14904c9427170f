"""Ranges of activations: observed as a stream or in shards, merged, chosen by any method.

A histogram has bins of a width that is a power of two, on a grid through 0. The width depends on
the smallest and the largest value alone, and doubling it adds neighbouring bins exactly: so the
state of a stream depends neither on its order nor on how it was cut, but for the last bits of the
means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from network.operators import Fused
from quantize.ranges.search import Histogram, least_divergence, least_error
from quantize.settings import RangeMethod

BINS = 4096
"""Largest number of bins; at least half of it lies between the smallest and the largest value."""

PERCENTILE = 99.99
"""Percent of the values below the upper end of a range, and above the lower end."""

_FINEST = -60
"""Exponent of the width of the finest bins."""


@dataclass(frozen=True)
class RangeState:
    """What was observed of one tensor; ``merged`` joins the states of two shards of images.

    Attributes:
        name: name of the tensor.
        images: number of images.
        low: smallest value of each channel (last axis), float32 ``[channels]``.
        high: largest value of each channel, float32 ``[channels]``.
        mean_low: mean over the images of the smallest value.
        mean_high: mean over the images of the largest value.
        histogram: counts of the sampled values.
    """

    name: str
    images: int
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    mean_low: float
    mean_high: float
    histogram: Histogram = field(repr=False)

    def range(
        self, method: RangeMethod = RangeMethod.MIN_MAX, *, percentile: float = PERCENTILE
    ) -> tuple[float, float]:
        """Range to quantize, within the observed values; it need not include 0.

        Args:
            method: how the range is chosen.
            percentile: percent of the values that each end keeps, above 50; for PERCENTILE alone.

        Raises:
            InvalidInputError: a percentile out of (50, 100].
        """
        low, high = float(self.low.min()), float(self.high.max())
        if method is RangeMethod.MOVING_AVERAGE:
            return self.mean_low, self.mean_high
        if low == high or method is RangeMethod.MIN_MAX:
            return low, high
        if method is RangeMethod.PERCENTILE:
            ends = self.histogram.quantiles(_checked(percentile) / 100.0)
        elif method is RangeMethod.ENTROPY:
            ends = least_divergence(self.histogram, low, high)
        else:
            ends = least_error(self.histogram, low, high)
        # A search may move an end beyond all values where they lie on one side of 0.
        first, last = (min(max(float(end), low), high) for end in ends)
        return first, last

    def merged(self, other: RangeState) -> RangeState:
        """State of both shards together.

        Raises:
            InvalidInputError: a state of another tensor, or of another number of channels.
        """
        if (self.name, self.low.shape) != (other.name, other.low.shape):
            raise InvalidInputError(
                "ranges are merged of one tensor",
                received=f"{self.name} {self.low.shape} and {other.name} {other.low.shape}",
                remedy="observe the same network on every shard",
            )
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        images = self.images + other.images
        share = other.images / images
        exponent = exponent_for(float(low.min()), float(high.max()))
        return RangeState(
            self.name,
            images,
            low,
            high,
            self.mean_low + (other.mean_low - self.mean_low) * share,
            self.mean_high + (other.mean_high - self.mean_high) * share,
            self.histogram.coarsened(exponent).added(other.histogram.coarsened(exponent)),
        )


class RangeObserver:
    """Accumulates the values of one tensor.

    Args:
        name: name of the tensor.
        sample: largest number of values that a call of ``update`` counts in the histogram, evenly
            spread; None for all of them. Smallest and largest values are always those of all.
    """

    def __init__(self, name: str, *, sample: int | None = None) -> None:
        self.name = name
        self._sample = sample
        self._state: RangeState | None = None

    def update(self, values: np.ndarray) -> None:
        """Add a batch.

        Args:
            values: float32 ``[images, ..., channels]``.

        Raises:
            InvalidInputError: NaN or infinity, or no values; names the tensor.
        """
        batch = self._state_of(values)
        self._state = batch if self._state is None else self._state.merged(batch)

    def merge(self, other: RangeObserver) -> None:
        """Add what another observer has accumulated; raises as ``RangeState.merged``."""
        if other._state is not None:
            state = self._state
            self._state = other._state if state is None else state.merged(other._state)

    @property
    def state(self) -> RangeState:
        """State after all batches so far.

        Raises:
            InvalidInputError: no batch yet.
        """
        if self._state is None:
            raise InvalidInputError(
                "a range needs calibration images",
                received=f"none for {self.name}",
                remedy="give at least one image",
            )
        return self._state

    def _state_of(self, values: np.ndarray) -> RangeState:
        """State of one batch alone."""
        if values.size == 0:
            raise InvalidInputError(
                "a range needs values",
                received=f"an empty {self.name} of shape {list(values.shape)}",
                remedy="give at least one image",
            )
        images, channels = len(values), values.shape[-1] if values.ndim > 1 else 1
        rows = values.reshape(images, -1, channels)  # [images, positions, channels]
        low, high = rows.min(axis=1), rows.max(axis=1)  # [images, channels]
        least, most = float(low.min()), float(high.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise InvalidInputError(
                "activations are finite",
                received=f"NaN or infinity in {self.name}",
                remedy="check the network's weights and the preprocessing contract",
            )
        sampled = values.reshape(-1)[:: _step(values.size, channels, self._sample)]
        return RangeState(
            self.name,
            images,
            low.min(axis=0),
            high.max(axis=0),
            float(low.min(axis=1).mean(dtype=np.float64)),
            float(high.max(axis=1).mean(dtype=np.float64)),
            Histogram.of(sampled, exponent_for(least, most)),
        )


def exponent_for(low: float, high: float) -> int:
    """Exponent of the bin width: the smallest with which BINS bins cover a range.

    It never decreases when the range grows.
    """
    largest = max(abs(low), abs(high))
    # Indexes stay whole numbers of single precision.
    exponent = max(_FINEST, math.frexp(largest)[1] - 23 if largest > 0.0 else _FINEST)
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / BINS)[1] - 1)
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= BINS:
        exponent += 1
    return exponent


def known_range(fused: Fused) -> tuple[float, float] | None:
    """Range of a fused activation with two bounds (ReLU6), known without images; None for others.

    Values beyond it cannot occur, so a range that is searched must lie within it.
    """
    low, high = fused.limits
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def arrays_of(states: Iterable[RangeState]) -> dict[str, Any]:
    """States as arrays by name, for an .npz file; ``states_of`` reads them back."""
    arrays: dict[str, Any] = {}
    for state in states:
        histogram = state.histogram
        arrays |= {
            f"{state.name}|low": state.low,
            f"{state.name}|high": state.high,
            f"{state.name}|means": np.asarray([state.mean_low, state.mean_high]),
            f"{state.name}|counts": histogram.counts,
            f"{state.name}|grid": np.asarray([state.images, histogram.exponent, histogram.first]),
        }
    return arrays


def states_of(arrays: Mapping[str, np.ndarray]) -> dict[str, RangeState]:
    """States by name, in the order that ``arrays_of`` had them.

    Raises:
        KeyError: an array is missing.
    """
    names = [key.removesuffix("|grid") for key in arrays if key.endswith("|grid")]
    return {name: _state_of(name, arrays) for name in names}


def save_states(path: Path, states: Iterable[RangeState]) -> None:
    """Write states as one .npz file, which appears whole or not at all."""
    arrays = arrays_of(states)
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def load_states(path: Path) -> dict[str, RangeState]:
    """Read back what ``save_states`` wrote.

    Raises:
        InvalidInputError: no such file, or one that ``save_states`` did not write.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return states_of(arrays)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInputError(
            "a file of ranges is one that was written here",
            received=f"{path} ({error})",
            remedy="observe the calibration images again",
        ) from error


def _state_of(name: str, arrays: Mapping[str, np.ndarray]) -> RangeState:
    images, exponent, first = arrays[f"{name}|grid"].tolist()
    mean_low, mean_high = arrays[f"{name}|means"].tolist()
    return RangeState(
        name,
        images,
        arrays[f"{name}|low"],
        arrays[f"{name}|high"],
        mean_low,
        mean_high,
        Histogram(exponent, first, arrays[f"{name}|counts"]),
    )


def _step(size: int, channels: int, sample: int | None) -> int:
    """Stride that leaves at most ``sample`` values, and visits every channel."""
    if sample is None or size <= sample:
        return 1
    step = -(-size // max(sample, 1))
    while math.gcd(step, channels) > 1:
        step += 1
    return step


def _checked(percentile: float) -> float:
    if not 50.0 < percentile <= 100.0:
        raise InvalidInputError(
            "a percentile lies above 50 and up to 100",
            received=f"{percentile:g}",
            remedy="give 99.99, say",
        )
    return percentile
