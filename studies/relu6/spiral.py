"""Part 4: how much of a two-dimensional shape survives ReLU in few and in many dimensions.

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
"""Number of points on the spiral."""
TURNS = 2.5
SEEDS = 50
"""Number of random matrices for each number of dimensions."""


def spiral(points: int = POINTS) -> np.ndarray:
    """Points along a spiral around the origin, float64 ``[points, 2]``, evenly spaced in angle."""
    share = np.linspace(0.05, 1.0, points)
    angle = 2 * np.pi * TURNS * share
    return np.stack([share * np.cos(angle), share * np.sin(angle)], axis=1)


def embedding(dimensions: int, seed: int) -> np.ndarray:
    """A random matrix with independent normal entries, ``[2, dimensions]``."""
    return np.random.default_rng((dimensions, seed)).standard_normal((2, dimensions))


def through_relu(shape: np.ndarray, matrix: np.ndarray, *, rectified: bool = True) -> np.ndarray:
    """Embed, rectify, and project back: ``[points, 2] -> [points, 2]``.

    Args:
        shape: points, ``[points, 2]``.
        matrix: ``[2, dimensions]``.
        rectified: False omits ReLU, and returns the points themselves.
    """
    embedded = shape @ matrix  # [points, dimensions]
    if rectified:
        embedded = np.maximum(embedded, 0)
    return np.asarray(embedded @ np.linalg.pinv(matrix))  # [points, 2]


@dataclass(frozen=True)
class SpiralRow:
    """What survives of the spiral, over SEEDS matrices.

    Attributes:
        dimensions: number of dimensions n.
        seeds: number of matrices.
        points: number of points on the spiral.
        error: mean relative error of the points after the way back, with the best scale; 0 to 1.
        error_half: half-width of its 95 % t interval over the matrices.
        distinct: mean percent of the points that differ from all others after ReLU.
        distinct_half: half-width of its 95 % t interval over the matrices.
        recovered: mean percent of the points whose nearest neighbours on the spiral are still
            nearest after ReLU.
        recovered_half: half-width of its 95 % t interval over the matrices.
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
    """Embed the spiral by many random matrices, and measure what survives."""
    shape = spiral(points)
    figures = []
    for seed in range(seeds):
        matrix = embedding(dimensions, seed)
        figures.append(
            (
                relative_error(shape, through_relu(shape, matrix)),
                100 * distinct(np.maximum(shape @ matrix, 0)),
                100 * recovered(shape, np.maximum(shape @ matrix, 0)),
            )
        )
    error, distinct_points, recovered_points = np.asarray(figures).T
    return SpiralRow(
        dimensions,
        seeds,
        points,
        float(error.mean()),
        half_width(error),
        float(distinct_points.mean()),
        half_width(distinct_points),
        float(recovered_points.mean()),
        half_width(recovered_points),
    )


def relative_error(shape: np.ndarray, returned: np.ndarray) -> float:
    """``|shape - c returned| / |shape|`` for the best factor c; 1 when everything is lost.

    ReLU halves the points on average, which is no loss of information: c compensates that.
    """
    power = float(np.square(returned).sum())
    factor = float((shape * returned).sum()) / power if power > 0 else 0.0
    return float(np.linalg.norm(shape - factor * returned) / np.linalg.norm(shape))


def distinct(embedded: np.ndarray) -> float:
    """Share of the points that coincide with no other point, ``[points, n] -> 0..1``."""
    _, counts = np.unique(embedded.round(9), axis=0, return_inverse=False, return_counts=True)
    return float(counts[counts == 1].sum() / len(embedded))


def recovered(shape: np.ndarray, embedded: np.ndarray) -> float:
    """Share of the points whose nearest other point, after ReLU, is a neighbour on the spiral.

    Args:
        shape: points in their order, ``[points, 2]``.
        embedded: points after ReLU, ``[points, n]``.

    Returns:
        0 to 1. A point with several nearest points counts as lost unless all are its neighbours.
    """
    count = len(shape)
    distances = np.square(embedded[:, None] - embedded[None]).sum(axis=2)  # [points, points]
    np.fill_diagonal(distances, np.inf)
    nearest = distances <= distances.min(axis=1, keepdims=True) + 1e-15
    order = np.arange(count)
    neighbours = np.abs(order[:, None] - order[None]) == 1
    return float(np.mean(~(nearest & ~neighbours).any(axis=1)))
