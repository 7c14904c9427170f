"""Second-order rounding of weights to half precision, for the inputs that they will meet.

float16 has 11 significant bits. In a layer whose inputs move together, such as neighbouring pixels
behind a ReLU6, large weights of both signs cancel, and with them all but their rounding errors. As
in ``second_order``, the inputs still to come compensate each error (GPTQ, Frantar et al. 2023,
arXiv:2210.17323, section 3), and coordinate descent follows; the steps between two neighbouring
numbers are those of the format instead of one scale.
"""

from __future__ import annotations

import numpy as np

from quantize.rounding.descent import (
    BLOCK,
    descended,
    in_layers_order,
    in_order,
    propagated_by_row,
)
from quantize.rounding.second_order import Layer, damped, inverse_factor, require_finite

LARGEST = float(np.finfo(np.float16).max)


def to_half(values: np.ndarray) -> np.ndarray:
    """Nearest numbers of float16, as float64 of the same shape."""
    return np.asarray(
        np.clip(values, -LARGEST, LARGEST).astype(np.float16).astype(np.float64), np.float64
    )


def rounded_to_half(
    layer: Layer, bias: np.ndarray, mean: np.ndarray, *, damping: float = 1e-6, sweeps: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of a layer in half precision.

    A bias is the weight of an input that is always 1. It is rounded first, so that the weights take
    its error: their steps are finer.

    Args:
        layer: rows to round; their moments are covariances.
        bias: float64 ``[rows]``.
        mean: means of the inputs, float64 ``[inputs]`` or ``[rows, inputs]``.
        damping: share of the mean diagonal that is added to the moments.
        sweeps: largest number of coordinate descent sweeps.

    Returns:
        float64 ``[rows, inputs]`` and ``[rows]`` of float16 numbers.

    Raises:
        InvalidInputError: weights or moments with NaN or infinity.
    """
    require_finite(layer)
    moments = _with_one(damped(layer.moments, damping), mean)
    weight = np.concatenate([bias[:, None], layer.weight], axis=1)
    # The bias, then where a rounding error weighs most: steps grow with the numbers. Rows with
    # inputs of their own have an order each.
    squares = np.square(weight) if moments.ndim == 3 else np.square(weight).mean(axis=0)
    power = -np.einsum("...ii->...i", moments) * squares
    power[..., 0] = -np.inf
    order = np.argsort(power, axis=-1, kind="stable")
    if moments.ndim == 3:
        halves = _depthwise(weight, moments, order, sweeps)
    else:
        moments, weight = moments[np.ix_(order, order)], weight[:, order].T  # [inputs, rows]
        halves = _propagated(weight, inverse_factor(moments))

        def best(j: int, gradient: np.ndarray) -> np.ndarray:
            return to_half(halves[j] - gradient / moments[j, j])

        descended(halves, weight, moments, sweeps, best)
        halves = np.ascontiguousarray(halves[np.argsort(order)].T)
    return halves[:, 1:], halves[:, 0]


def _with_one(covariance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Second moments of the inputs behind one that is always 1."""
    *rows, inputs = mean.shape
    moments = np.empty((*rows, inputs + 1, inputs + 1))
    moments[..., 0, 0] = 1
    moments[..., 0, 1:] = moments[..., 1:, 0] = mean
    moments[..., 1:, 1:] = covariance + mean[..., :, None] * mean[..., None, :]
    return moments


def _propagated(target: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """One pass over the inputs, all in the order of rounding; see ``second_order._propagated``.

    In double precision, unlike there: the steps of float16 are fine beside the weights.
    """
    weight, halves = target.copy(), np.empty_like(target)
    inputs = len(weight)
    for start in range(0, inputs, BLOCK):
        stop = min(inputs, start + BLOCK)
        errors = np.empty((stop - start, weight.shape[1]))
        for j in range(start, stop):
            halves[j] = to_half(weight[j])
            errors[j - start] = (weight[j] - halves[j]) / factor[j, j]
            weight[j + 1 : stop] -= factor[j, j + 1 : stop, None] * errors[j - start]
        weight[stop:] -= factor[start:stop, stop:].T @ errors
    return halves


def _depthwise(
    target: np.ndarray, moments: np.ndarray, order: np.ndarray, sweeps: int
) -> np.ndarray:
    """Both phases for rows with inputs of their own, all rows at once: ``[rows, inputs]``."""
    target, moments = in_order(target, moments, order)  # in each row's order
    halves = propagated_by_row(target, inverse_factor(moments), to_half)
    for _ in range(sweeps):
        before = halves.copy()
        for j in range(target.shape[1]):
            gradient = np.einsum("ri,ri->r", halves - target, moments[:, :, j])
            halves[:, j] = to_half(halves[:, j] - gradient / moments[:, j, j])
        if np.array_equal(before, halves):
            break
    return in_layers_order(halves, order)
