"""Confidence intervals and tests for accuracies measured on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

METHOD = "Newcombe 1998 (Statistics in Medicine 17:2635-2650), method 10"
"""Method of the interval that ``paired_difference`` computes."""


STUDENT = "Student 1908 (Biometrika 6:1-25), paired by image"
"""Method of the interval that ``paired_mean`` computes."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of its quantity.

    Attributes:
        low: lower limit.
        high: upper limit.
    """

    low: float
    high: float


@dataclass(frozen=True)
class PairedCounts:
    """Numbers of images by the answers of two classifiers.

    Attributes:
        both: images that both answer right.
        first_only: images that only the first answers right.
        second_only: images that only the second answers right.
        neither: images that neither answers right.

    Raises:
        ValueError: a negative count, or no image at all.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    def __post_init__(self) -> None:
        counts = (self.both, self.first_only, self.second_only, self.neither)
        if min(counts) < 0 or sum(counts) == 0:
            raise ValueError(f"counts are not negative and not all zero, not {counts}")

    @property
    def n(self) -> int:
        """Number of all images."""
        return self.both + self.first_only + self.second_only + self.neither


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of one proportion.

    With ``p = successes / n`` and the normal quantile ``z``: ``(2np + z^2 -+ z sqrt(z^2 + 4np(1 -
    p))) / (2(n + z^2))``. Source: Wilson 1927, JASA 22:209-212; method 3 of Newcombe 1998,
    Statistics in Medicine 17:857-872.

    Args:
        successes: number of successes, 0 to ``n``.
        n: number of trials, above zero.
        confidence: confidence level, between 0 and 1.

    Returns:
        Proportions, within 0 and 1.

    Raises:
        ValueError: counts or a confidence out of range.
    """
    if n < 1 or not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"{successes} of {n} at confidence {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    failures = n - successes
    middle = 2 * successes + z * z
    spread = z * math.sqrt(z * z + 4 * successes * failures / n)
    below = 2 * (n + z * z)
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else (middle - spread) / below
    high = 1.0 if failures == 0 else (middle + spread) / below
    return Interval(low, high)


def paired_difference(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """Interval of ``p1 - p2``, two proportions of the same images, by square-and-add.

    With Wilson limits ``l, u`` of each proportion: ``low = d - sqrt((p1 - l1)^2 - 2 phi (p1 - l1)
    (u2 - p2) + (u2 - p2)^2)`` and ``high = d + sqrt((u1 - p1)^2 - 2 phi (u1 - p1)(p2 - l2) + (p2
    - l2)^2)``. ``phi`` is the correlation of the two answers, continuity-corrected where it is
    positive. Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, method 10.

    Args:
        counts: numbers of images.
        confidence: confidence level, between 0 and 1.

    Returns:
        Differences of proportions, within -1 and 1; the point estimate lies inside.

    Raises:
        ValueError: a confidence out of range.
    """
    n = counts.n
    first, second = counts.both + counts.first_only, counts.both + counts.second_only
    p1, p2 = first / n, second / n
    one, two = wilson(first, n, confidence), wilson(second, n, confidence)
    phi = _phi(counts)
    difference = (counts.first_only - counts.second_only) / n
    low = difference - _square_and_add(p1 - one.low, two.high - p2, phi)
    high = difference + _square_and_add(one.high - p1, p2 - two.low, phi)
    return Interval(low, high)


def paired_mean(differences: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval of the mean of differences between two networks on the same images.

    ``d -+ t s / sqrt(n)`` with the mean ``d``, the standard deviation ``s`` and the quantile ``t``
    of Student's distribution with ``n - 1`` degrees of freedom. Source: Student 1908, Biometrika
    6:1-25.

    Args:
        differences: float64 ``[n]``, of two images at least.
        confidence: confidence level, between 0 and 1.

    Raises:
        ValueError: fewer than two images.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        raise ValueError(f"an interval of a mean needs two images, not {n}")
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    reach = float(t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(mean - reach, mean + reach)


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Exact two-sided p value of McNemar's test that both classifiers are equally often right.

    The test uses only the images on which they differ: under the null hypothesis, ``first_only`` of
    them is binomial with probability 1/2. Source: McNemar 1947, Psychometrika 12:153-157.

    Args:
        first_only: images that only the first answers right.
        second_only: images that only the second answers right.

    Returns:
        0 to 1; 1 where they do not differ on any image.
    """
    from scipy.stats import binomtest

    if first_only + second_only == 0:
        return 1.0
    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)


def _phi(counts: PairedCounts) -> float:
    """Newcombe's correlation: 0 where an accuracy is 0 or 1."""
    n = counts.n
    first, second = counts.both + counts.first_only, counts.both + counts.second_only
    margins = first * (n - first) * second * (n - second)
    if margins == 0:
        return 0.0
    numerator: float = counts.both * counts.neither - counts.first_only * counts.second_only
    if numerator > 0:
        numerator = max(numerator - n / 2, 0.0)
    return numerator / math.sqrt(margins)


def _square_and_add(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(first * first - 2 * phi * first * second + second * second, 0.0))
