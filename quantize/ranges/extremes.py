"""One batched float pass over the calibration images: extremes of each activation's channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph
from network.run_litert import Spans
from quantize.parallel import in_parallel
from quantize.ranges.activations import Range

BATCH = 8
"""Images per batch of the float pass."""

MARGIN = 6.0
"""Spreads of a Gumbel distribution from the largest value seen to one that hardly any image
exceeds: one batch in e^6 n, of which n were seen."""


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of each channel (last axis) of one activation.

    Attributes:
        low: float32 ``[channels]``.
        high: float32 ``[channels]``.
    """

    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)

    def joined(self, other: Extremes) -> Extremes:
        """Extremes over both sets of images; shards of a set give what the whole set would."""
        return Extremes(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def plus(self, other: Extremes) -> Extremes:
        """Sum of both; over batches, what their mean is made of."""
        return Extremes(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Extremes:
        """Both multiplied by one factor above zero."""
        return Extremes(self.low * np.float32(factor), self.high * np.float32(factor))

    def scaled(self, factors: np.ndarray) -> Extremes:
        """Extremes after each channel is multiplied by a factor above zero."""
        return Extremes(self.low * factors, self.high * factors)

    def moved(self, offsets: np.ndarray) -> Extremes:
        """Extremes after a number is added to each channel."""
        return Extremes(self.low + offsets, self.high + offsets)

    def beyond(self, typical: Extremes, batches: int) -> Extremes:
        """Extremes that hardly any other image exceeds.

        The largest values of batches are taken to have a Gumbel distribution, of the mean m and the
        spread b: the largest of n batches is expected at ``m + b ln n``, which gives b (Coles 2001,
        An Introduction to Statistical Modeling of Extreme Values, section 3.1).

            high + MARGIN (high - m) / ln n        low likewise

        Args:
            typical: mean m of the extremes of each batch.
            batches: number n of batches; one tells nothing of the spread.
        """
        margin = np.float32(MARGIN / np.log(batches) if batches > 1 else 0.0)
        return Extremes(
            self.low - margin * (typical.low - self.low),
            self.high + margin * (self.high - typical.high),
        )

    @property
    def reach(self) -> np.ndarray:
        """Largest magnitude of each channel."""
        return np.asarray(np.maximum(np.abs(self.low), np.abs(self.high)))

    @property
    def range(self) -> Range:
        """Range of the whole tensor."""
        return Range(float(self.low.min()), float(self.high.max()))


def extremes(graph: Graph, batches: Iterable[np.ndarray]) -> Iterator[dict[str, Extremes]]:
    """Run the float graph over the images and measure every activation in each batch.

    Args:
        graph: canonical.
        batches: float32 ``[batch, height, width, 3]``.

    Yields:
        Extremes by activation, the input included.

    Raises:
        InvalidInputError: an activation with NaN or infinity; names it.
    """
    for low, high in in_parallel(Spans.of(graph).over, batches):
        spans = {name: Extremes(low[name], high[name]) for name in low}
        for name, span in spans.items():
            if not (np.isfinite(span.low).all() and np.isfinite(span.high).all()):
                raise InvalidInputError(
                    "activations of the float network are finite numbers",
                    received=f"NaN or infinity in {name}",
                    remedy="check the weights, and that the preprocessing is that of the training",
                )
        yield spans


def joined(
    first: Mapping[str, Extremes] | None, second: Mapping[str, Extremes]
) -> dict[str, Extremes]:
    """Extremes of both sets of images; None stands for no image."""
    if first is None:
        return dict(second)
    return {name: span.joined(second[name]) for name, span in first.items()}
