"""Bootstrap intervals of differences between two networks on the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evaluation.intervals import Interval
from evaluation.metrics import CONFIDENCE, Drop

if TYPE_CHECKING:
    import numpy as np

    Statistic = Callable[[np.ndarray], np.ndarray]

RESAMPLES = 2000
_SEED = 20_240_229
_DIGITS = 10
_VALUES = 4_000_000
"""Weights that are held at once."""
_FEWEST, _WORK = 200, 80_000_000
"""Smallest number of resamples, and weighted values of all of them that take some seconds."""


def method(resamples: int) -> str:
    """Method of the interval that ``paired_bootstrap`` computes, in words."""
    return (
        f"paired bootstrap of the images, percentiles of {resamples:,} resamples less their bias "
        "(Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 10 and 13)"
    )


def paired_bootstrap(
    difference: Statistic, n: int, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Percentile interval of a statistic of ``n`` images that are drawn again and again.

    Both networks get the same images in each resample, so that what makes an image hard for both
    cancels. An image that is drawn twice ties with itself, which moves metrics of ranks: the
    percentiles are shifted by the difference between the value of all images and the mean of the
    resamples, the bootstrap's estimate of that bias. The seed is fixed: equal outputs have equal
    intervals.

    Args:
        difference: weights ``[r, n]``, the number of times that each image occurs in each of ``r``
            resamples -> statistic ``[r]``; NaN where a resample has no value of it.
        n: number of images.
        confidence: confidence level, between 0 and 1.
        resamples: number of resamples.

    Raises:
        ValueError: no resample with a value.
    """
    import numpy as np

    rng = np.random.default_rng(_SEED)
    share = np.full(n, 1 / n)
    step = max(1, _VALUES // n)
    found = []
    for start in range(0, resamples, step):
        weights = rng.multinomial(n, share, min(step, resamples - start)).astype(np.float64)
        found.append(difference(weights))
    values = np.concatenate(found)
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("no resample has a value of the statistic")
    tail = (1 - confidence) / 2
    shift = float(difference(np.ones((1, n)))[0]) - float(values.mean())
    low, high = np.quantile(values, [tail, 1 - tail]) + shift
    return Interval(float(low), float(high))


def bootstrap_drop(
    before: Statistic, after: Statistic, n: int, *, width: int = 1, rises: bool = False
) -> Drop:
    """Loss of a statistic against the float network, with its bootstrap interval.

    Args:
        before: statistic of the float network, as ``paired_bootstrap`` takes it.
        after: statistic of the file.
        n: number of images.
        width: number of values of an image that the statistic reads; many images of many labels get
            fewer resamples.
        rises: whether more of the statistic is worse.
    """
    import numpy as np

    sign = -1.0 if rises else 1.0

    def lost(weights: np.ndarray) -> np.ndarray:
        # Sums of the same terms in another order differ in their last bits.
        result: np.ndarray = np.round(sign * (before(weights) - after(weights)), _DIGITS)
        return result

    resamples = min(max(_WORK // (n * width), _FEWEST), RESAMPLES)
    interval = paired_bootstrap(lost, n, resamples=resamples)
    return Drop(
        points=float(lost(np.ones((1, n)))[0]) + 0.0,
        low=interval.low,
        high=interval.high,
        confidence=CONFIDENCE,
        method=method(resamples),
        n=n,
    )
