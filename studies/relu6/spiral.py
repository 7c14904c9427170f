"""Part 4: what ReLU leaves of a two-dimensional shape in few dimensions and in many.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", figure 1: a
spiral is embedded in n dimensions by a random matrix T, goes through ReLU, and comes back by the
pseudo-inverse of T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.relu6.statistics import half_width

DIMENSIONS = (2, 3, 5, 15, 30)
POINTS = 400
TURNS = 2.5
SEEDS = 50
"""Random matrices for each number of dimensions."""


def spiral(points: int = POINTS) -> np.ndarray:
    """Points along a spiral about the origin, float64 ``[points, 2]``, evenly spaced in angle."""
    share = np.linspace(0.05, 1.0, points)
    angle = 2 * np.pi * TURNS * share
    return np.stack([share * np.cos(angle), share * np.sin(angle)], axis=1)


def embedding(dimensions: int, seed: int) -> np.ndarray:
    """A random matrix with independent normal entries, ``[2, dimensions]``."""
    return np.random.default_rng((dimensions, seed)).standard_normal((2, dimensions))


def through_relu(shape: np.ndarray, matrix: np.ndarray, *, rectified: bool = True) -> np.ndarray:
    """Embed, rectify, and project back: ``[points, 2] -> [points, 2]``.

    Args:
        shape: points.
        matrix: ``[2, dimensions]``.
        rectified: False leaves ReLU out, and gives the points back.
    """
    inside = shape @ matrix
    if rectified:
        inside = np.maximum(inside, 0)
    return np.asarray(inside @ np.linalg.pinv(matrix))


@dataclass(frozen=True)
class SpiralRow:
    """What is left, over SEEDS matrices.

    Attributes:
        dimensions: n.
        seeds: how many matrices.
        points: on the spiral.
        error: mean relative error of the points that come back, scaled as fits best; 0 to 1.
        error_half: half-width of its 95 % t interval over the matrices.
        distinct: mean percent of the points that can be told apart from all others after ReLU.
        distinct_half: likewise.
        recovered: mean percent of the points whose nearest neighbours on the spiral are still
            nearest after ReLU.
        recovered_half: likewise.
    """

    dimensions: int
    seeds: int
    points: int
    error: float
    error_half: float
    distinct: float
    distinct_half: float
    recovered: float
    recovered_half: float


def measure(dimensions: int, seeds: int = SEEDS, points: int = POINTS) -> SpiralRow:
    """Embed the spiral by many random matrices."""
    shape = spiral(points)
    found = []
    for seed in range(seeds):
        matrix = embedding(dimensions, seed)
        found.append(
            (
                relative_error(shape, through_relu(shape, matrix)),
                100 * distinct(np.maximum(shape @ matrix, 0)),
                100 * recovered(shape, np.maximum(shape @ matrix, 0)),
            )
        )
    error, apart, kept = np.asarray(found).T
    return SpiralRow(
        dimensions,
        seeds,
        points,
        float(error.mean()),
        half_width(error),
        float(apart.mean()),
        half_width(apart),
        float(kept.mean()),
        half_width(kept),
    )


def relative_error(shape: np.ndarray, given: np.ndarray) -> float:
    """``|shape - c given| / |shape|`` for the factor c that makes it least; 1 when all is lost.

    ReLU halves what comes back on average, which is no loss of information: c takes that out.
    """
    power = float(np.square(given).sum())
    factor = float((shape * given).sum()) / power if power > 0 else 0.0
    return float(np.linalg.norm(shape - factor * given) / np.linalg.norm(shape))


def distinct(embedded: np.ndarray) -> float:
    """Share of the points that share their place with no other, ``[points, n] -> 0..1``."""
    _, counts = np.unique(embedded.round(9), axis=0, return_inverse=False, return_counts=True)
    return float(counts[counts == 1].sum() / len(embedded))


def recovered(shape: np.ndarray, embedded: np.ndarray) -> float:
    """Share of the points whose nearest other point, after ReLU, is a neighbour on the spiral.

    Args:
        shape: points in their order, ``[points, 2]``.
        embedded: the same after ReLU, ``[points, n]``.

    Returns:
        0 to 1. A point with several nearest ones counts as lost unless all are its neighbours.
    """
    count = len(shape)
    apart = np.square(embedded[:, None] - embedded[None]).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart <= apart.min(axis=1, keepdims=True) + 1e-15
    order = np.arange(count)
    beside = np.abs(order[:, None] - order[None]) == 1
    return float(np.mean(~(nearest & ~beside).any(axis=1)))
