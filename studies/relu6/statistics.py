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
    """A mean with its interval, in the unit of the values.

    Attributes:
        mean: over seeds and images.
        low: lower limit of the interval.
        high: upper limit of the interval.
        seeds: half-width of the t interval over seeds.
        images: half-width of the normal interval over images.
        n: number of images.
    """

    mean: float
    low: float
    high: float
    seeds: float
    images: float
    n: int


def over_seeds_and_images(values: np.ndarray) -> Estimate:
    """Mean and interval of values that were measured for every seed on the same images.

        var(mean) = var(means of the seeds) / seeds + var(means of the images) / images

    Seeds and images are crossed, two samples at once. Both terms contain the residual variance, so
    the interval is too wide rather than too narrow.

    Args:
        values: ``[seeds, images]``: 0 and 100 for an accuracy, -100, 0 and 100 for a drop. With one
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
    """Half-width of Student's t interval of a mean.

    Args:
        values: independent values, ``[n]``.
    """
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def _normal() -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
