"""Intervals of an accuracy drop over seeds and images at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95

METHOD = (
    "95 % over seeds and images: the half-widths of a t interval over the seeds' paired drops and "
    "of a normal interval over the images' drops (each averaged over the seeds), added as squares"
)


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, in the unit of what was given.

    Attributes:
        mean: over seeds and images.
        low: lower limit.
        high: upper limit.
        seeds: half-width of the t interval over seeds.
        images: half-width of the normal interval over images.
        n: images.
    """

    mean: float
    low: float
    high: float
    seeds: float
    images: float
    n: int


def over_seeds_and_images(values: np.ndarray) -> Estimate:
    """Mean and interval of values that were measured for every seed on the same images.

    Seeds and images are crossed, two samples at once: the variance of the mean is that of the
    seeds' means over their number plus, for the images, that of the images' means over theirs
    (both hold the variance of what is left, so the interval errs on the wide side).

    Args:
        values: ``[seeds, images]``; of an accuracy 0 and 100, of a drop -100, 0 and 100. With one
            seed the interval is over images alone.

    Raises:
        ValueError: no seed, or fewer than two images.
    """
    seeds, images = values.shape
    if seeds < 1 or images < 2:
        raise ValueError(f"an interval needs a seed and two images, not {values.shape}")
    mean = float(values.mean())
    among_seeds = half_width(values.mean(axis=1)) if seeds > 1 else 0.0
    spread = float(values.mean(axis=0).std(ddof=1)) / math.sqrt(images)
    among_images = _normal() * spread
    half = math.hypot(among_seeds, among_images)
    return Estimate(mean, mean - half, mean + half, among_seeds, among_images, images)


def half_width(values: np.ndarray) -> float:
    """Of Student's t interval of a mean.

    Args:
        values: ``[n]``, independent.
    """
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _normal() -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
