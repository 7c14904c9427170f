"""Histograms on a dyadic grid, and the searches for a range in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

LEVELS = 256
"""Integers that a range is divided into."""

_SHARES = np.concatenate([np.linspace(0.1, 0.5, 9), np.linspace(0.525, 1.0, 20)])
"""Parts of an end that the searches try."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins ``[i * width, (i + 1) * width)``.

    Attributes:
        exponent: the width is 2 to its power.
        first: index i of the first bin.
        counts: int64 ``[bins]``.
    """

    exponent: int
    first: int
    counts: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, values: np.ndarray, exponent: int) -> Histogram:
        """Count float32 values, which are finite."""
        indexes = np.floor(np.ldexp(values, -exponent)).astype(np.int64)
        first = int(indexes.min())
        return cls(exponent, first, np.bincount(indexes - first))

    @property
    def width(self) -> float:
        """Of a bin."""
        return float(2.0**self.exponent)

    @property
    def centres(self) -> np.ndarray:
        """Middles of the bins, float64."""
        return (self.first + np.arange(len(self.counts)) + 0.5) * self.width

    def coarsened(self, exponent: int) -> Histogram:
        """The same counts in bins at least as wide."""
        shift = exponent - self.exponent
        if shift <= 0:
            return self
        first = self.first >> shift
        places = ((self.first + np.arange(len(self.counts))) >> shift) - first
        counts = np.zeros(int(places[-1]) + 1, np.int64)
        np.add.at(counts, places, self.counts)
        return Histogram(exponent, first, counts)

    def added(self, other: Histogram) -> Histogram:
        """The sum with one of the same width."""
        first = min(self.first, other.first)
        last = max(self.first + len(self.counts), other.first + len(other.counts))
        counts = np.zeros(last - first, np.int64)
        for part in (self, other):
            start = part.first - first
            counts[start : start + len(part.counts)] += part.counts
        return Histogram(self.exponent, first, counts)

    def quantiles(self, share: float) -> tuple[float, float]:
        """Edges of the bins beyond which, on either side, no more than ``1 - share`` lies."""
        total = int(self.counts.sum())
        allowed = (1.0 - share) * total
        above = np.cumsum(self.counts)
        below = np.cumsum(self.counts[::-1])
        lower = int(np.searchsorted(above, allowed, side="right"))
        upper = len(self.counts) - int(np.searchsorted(below, allowed, side="right"))
        return (self.first + lower) * self.width, (self.first + upper) * self.width


def least_error(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """The range of the least mean squared error of LEVELS steps."""
    centres, weights = histogram.centres, histogram.counts.astype(np.float64)

    def error(first: float, last: float) -> float:
        step = (last - first) / (LEVELS - 1)
        lowest = np.rint(first / step)
        kept = np.clip(np.rint(centres / step), lowest, lowest + LEVELS - 1) * step
        return float(weights @ np.square(kept - centres))

    return _least(error, low, high)


def least_divergence(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """The range of the least divergence of the values from what LEVELS steps keep of them."""
    centres, counts = histogram.centres, histogram.counts.astype(np.float64)
    total = counts.sum()
    lasts = len(centres) - 1

    def divergence(first: float, last: float) -> float:
        start, stop = np.searchsorted(centres, (first, last))
        start, stop = min(int(start), lasts), max(int(stop), int(start) + 1)
        inside = counts[start:stop]
        clipped = inside.copy()
        clipped[0] += counts[:start].sum()
        clipped[-1] += counts[stop:].sum()
        level = ((centres[start:stop] - first) * (LEVELS / (last - first))).astype(np.int64)
        level = np.clip(level, 0, LEVELS - 1)
        filled = inside > 0
        mass = np.bincount(level, inside, LEVELS)
        spread = np.bincount(level, filled, LEVELS)
        kept = np.where(filled, mass[level] / np.maximum(spread[level], 1.0), 0.0)
        # A clipped bin that was empty has no counterpart: as much as one value stands in for it.
        p, q = clipped / total, np.maximum(kept, 1.0 / total) / max(inside.sum(), 1.0)
        used = clipped > 0
        return float(np.sum(p[used] * np.log(p[used] / q[used])))

    return _least(divergence, low, high)


def _least(cost: Callable[[float, float], float], low: float, high: float) -> tuple[float, float]:
    """Search both ends in turn, the whole range first; an end at or beyond 0 stays where it is."""
    low, high = min(low, 0.0), max(high, 0.0)
    found, best = (low, high), cost(low, high)
    for _ in range(2):
        ends = [(found[0], high * share) for share in _SHARES] if high > 0.0 else []
        for first, last in ends:
            value = cost(first, last)
            if value < best:
                found, best = (first, last), value
        ends = [(low * share, found[1]) for share in _SHARES] if low < 0.0 else []
        for first, last in ends:
            value = cost(first, last)
            if value < best:
                found, best = (first, last), value
    return found
