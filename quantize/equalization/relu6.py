"""How far channels behind ReLU6 may be scaled.

ReLU6 does not commute with factors: a channel that is scaled up meets the bound earlier, one that
is scaled down later. Neither changes the function as long as the channel stays below the bound, on
images of the calibration and on all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from network.graph import Graph, Op
from network.operators import Fused
from quantize.ranges.extremes import Extremes

BOUND = 6.0
"""Bound of ReLU6."""

HELD_SHARE = 0.9
"""Share of BOUND that a channel scaled up may reach on calibration images. One that reaches it as
it is relies on the bound, and is not scaled."""

SMALLEST_FACTOR = 1e-3
"""Smallest factor of a channel, however little of it calibration images have shown."""

OUTLIER = 2.0
"""A channel that other images may bring to its bound is scaled up where the weights that read it
reach so many times as far as those of all channels that are free: alone it would set the one scale
of them all, which costs more than a few values that are cut. It is never scaled down, since values
above the bound would then pass."""


def behind_relu6(graph: Graph) -> Iterator[Op]:
    """Operators with a ReLU6 whose results only weighted operators read."""
    for op in graph.weighted:
        readers = graph.readers[op.name]
        if (
            op.fused is Fused.RELU6
            and op.name not in graph.outputs
            and readers
            and all(reader.is_weighted for reader in readers)
        ):
            yield op


@dataclass(frozen=True)
class Room:
    """Factors that the channels of an activation behind ReLU6 may be divided by.

    Attributes:
        smallest: smallest factor that leaves calibration images below HELD_SHARE of the bound, and
            other images below the bound, ``[channels]``.
        least: smallest factor that calibration images alone permit, ``[channels]``.
    """

    smallest: np.ndarray = field(repr=False)
    least: np.ndarray = field(repr=False)

    @property
    def free(self) -> np.ndarray:
        """Channels that no image is expected to bring to the bound, bool ``[channels]``.

        Any factor from ``smallest`` on is permitted.
        """
        return np.asarray(self.smallest < 1)

    @property
    def wary(self) -> np.ndarray:
        """Channels that calibration images leave below the bound, and others may not.

        Their factor is 1 but for outliers, bool ``[channels]``. Channels that are neither free nor
        wary keep 1.
        """
        return np.asarray((self.least < 1) & ~self.free)

    @classmethod
    def of(cls, seen: Extremes, beyond: Extremes) -> Room:
        """Room of an activation.

        Args:
            seen: its extremes on calibration images.
            beyond: extremes that hardly any other image exceeds.
        """
        least = seen.high.astype(np.float64) / (HELD_SHARE * BOUND)
        smallest = np.maximum(beyond.high.astype(np.float64) / BOUND, least)
        return cls(np.maximum(smallest, SMALLEST_FACTOR), least)

    def factors(self, wanted: np.ndarray, read: np.ndarray) -> np.ndarray:
        """Factors nearest to those that are wanted, ``[channels]``.

        Args:
            wanted: factors that balance the weights, ``[channels]``.
            read: largest magnitude of the weights that read each channel, at factor 1.
        """
        free, wary = self.free, self.wary
        factors = np.where(free, np.maximum(wanted, self.smallest), 1.0)
        if not (free.any() and wary.any()):
            return factors
        farthest = OUTLIER * read[free].max()
        if not farthest:
            return factors
        outliers = np.maximum(farthest / np.maximum(read, farthest), self.least)
        return np.where(wary, outliers, factors)
