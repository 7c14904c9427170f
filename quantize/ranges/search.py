"""Histograms whose bin width is a power of two, and searches for a range in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

LEVELS = 256
"""Integers that a range is divided into."""

_SHARES = np.concatenate([np.linspace(0.1, 0.5, 9), np.linspace(0.525, 1.0, 20)])
"""Shares of the lower and of the upper end that the searches try."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins ``[i * width, (i + 1) * width)``.

    Attributes:
        exponent: the width is 2 to this power.
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
        """Width of a bin."""
        return float(2.0**self.exponent)

    @property
    def centres(self) -> np.ndarray:
        """Middles of the bins, float64."""
        return (self.first + np.arange(len(self.counts)) + 0.5) * self.width

    def coarsened(self, exponent: int) -> Histogram:
        """Same counts in bins at least as wide."""
        shift = exponent - self.exponent
        if shift <= 0:
            return self
        first = self.first >> shift
        bins = ((self.first + np.arange(len(self.counts))) >> shift) - first  # new bin of each
        counts = np.zeros(int(bins[-1]) + 1, np.int64)
        np.add.at(counts, bins, self.counts)
        return Histogram(exponent, first, counts)

    def added(self, other: Histogram) -> Histogram:
        """Sum with a histogram of the same width."""
        first = min(self.first, other.first)
        last = max(self.first + len(self.counts), other.first + len(other.counts))
        counts = np.zeros(last - first, np.int64)
        for histogram in (self, other):
            start = histogram.first - first
            counts[start : start + len(histogram.counts)] += histogram.counts
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
    """Range ``[first, last]`` of the least squared error of LEVELS steps, within ``[low, high]``.

    With the bins' centres v and counts n, ``step = (last - first) / (LEVELS - 1)``:

        error = sum of n (step clip(round(v / step), round(first / step), ...) - v)^2
    """
    centres, counts = histogram.centres, histogram.counts.astype(np.float64)

    def error(first: float, last: float) -> float:
        step = (last - first) / (LEVELS - 1)
        lowest = np.rint(first / step)
        rounded = np.clip(np.rint(centres / step), lowest, lowest + LEVELS - 1) * step
        return float(counts @ np.square(rounded - centres))

    return _least(error, low, high)


def least_divergence(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """Range of the least divergence of the values from what LEVELS steps leave of them.

    For a range, with the bins i of the histogram and their counts n:

        p_i = n_i / N inside, and the end bins hold what is clipped to them too
        q_i = (mass of i's level / filled bins of i's level) / mass inside      filled bins
        divergence = sum over i with p_i > 0 of p_i log(p_i / q_i)

    A level is one of LEVELS equal parts of the range, a filled bin one with a count inside. N is
    the sum of all counts.
    """
    centres, counts = histogram.centres, histogram.counts.astype(np.float64)
    total = counts.sum()

    def divergence(first: float, last: float) -> float:
        inside, clipped, level = _levels(centres, counts, first, last)  # [bins inside] each
        reference = clipped / total  # p
        spread = _spread_over_levels(inside, level)
        # An end bin that only holds clipped values has no mass inside: one value stands in for it.
        approximation = np.maximum(spread, 1.0 / total) / max(inside.sum(), 1.0)  # q
        used = clipped > 0
        ratio = reference[used] / approximation[used]
        return float(np.sum(reference[used] * np.log(ratio)))

    return _least(divergence, low, high)


def _levels(
    centres: np.ndarray, counts: np.ndarray, first: float, last: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins inside a range: counts, counts with all values clipped to it, and numbers of levels."""
    start, stop = (int(place) for place in np.searchsorted(centres, (first, last)))
    start = min(start, len(centres) - 1)  # one bin at least
    stop = max(stop, start + 1)
    inside = counts[start:stop]
    clipped = inside.copy()
    clipped[0] += counts[:start].sum()
    clipped[-1] += counts[stop:].sum()
    level = ((centres[start:stop] - first) * (LEVELS / (last - first))).astype(np.int64)
    return inside, clipped, np.clip(level, 0, LEVELS - 1)


def _spread_over_levels(inside: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The mass of each level, spread evenly over its filled bins: float64 ``[bins inside]``."""
    filled = inside > 0
    mass = np.bincount(level, inside, LEVELS)  # [LEVELS]
    filled_bins = np.bincount(level, filled, LEVELS)  # [LEVELS]
    return np.where(filled, mass[level] / np.maximum(filled_bins[level], 1.0), 0.0)


def _least(cost: Callable[[float, float], float], low: float, high: float) -> tuple[float, float]:
    """Range of the least cost, searched at both ends in turn, the whole range first.

    An end at or beyond 0 stays where it is.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    best, least = (low, high), cost(low, high)

    def improve(candidates: list[tuple[float, float]]) -> None:
        nonlocal best, least
        for first, last in candidates:
            value = cost(first, last)
            if value < least:
                best, least = (first, last), value

    for _ in range(2):
        if high > 0.0:
            improve([(best[0], high * share) for share in _SHARES])
        if low < 0.0:
            improve([(low * share, best[1]) for share in _SHARES])
    return best
