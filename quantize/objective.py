"""What the engine follows when it compares a changed network with the float one: its outputs.

A single output counts as it is. Of several, each counts by its noise relative to its own energy, so
that boxes in pixels do not drown probabilities:

    noise = mean over outputs of  sum (changed - float)^2 / sum float^2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def energy(values: np.ndarray) -> float:
    """Sum of the squares of float numbers, in float64."""
    return float(np.square(values.astype(np.float64)).sum())


def weights(exact: Sequence[np.ndarray]) -> tuple[float, ...]:
    """What the squared error of each output is multiplied by: 1 for one, else 1 / energy.

    Args:
        exact: outputs of the float network on the images to judge on.
    """
    if len(exact) == 1:
        return (1.0,)
    return tuple(1.0 / (energy(output) or 1.0) for output in exact)


def squared_error(
    exact: Sequence[np.ndarray], found: Sequence[np.ndarray], factors: Sequence[float]
) -> float:
    """Sum over the outputs of the squared error times ``weights``; float64 arrays."""
    return sum(
        factor * float(np.square(output - wanted).sum())
        for wanted, output, factor in zip(exact, found, factors, strict=True)
    )


def mean_noise(signal: Sequence[float], noise: Sequence[float]) -> float:
    """Mean over the outputs of the energy of the change as a share of the output's energy."""
    tiny = float(np.finfo(np.float64).tiny)
    shares = [n / max(s, tiny) for s, n in zip(signal, noise, strict=True)]
    return sum(shares) / len(shares)


def decided(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Number of the first output with a choice of classes, ``[batch, classes]``; None without."""
    return next(
        (i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] > 1),
        None,
    )
