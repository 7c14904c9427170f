"""Second-order rounding: integers that keep a layer's output, not each weight, close.

For a layer ``y = W x`` with one scale s per row, the mean square error of row r with integers Q is

    E_r = (W_r - s_r Q_r) H (W_r - s_r Q_r)^T        H = mean of x x^T over the calibration inputs

Weights are rounded one input at a time, and the inputs still to come compensate the error of each
rounding (optimal brain quantization, Frantar and Alistarh 2022, arXiv:2208.11580; in one order for
all rows: GPTQ, Frantar et al. 2023, arXiv:2210.17323, section 3). Sweeps of coordinate descent over
all integers follow, each step the exact minimum along one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from foundation.errors import InvalidInputError
from quantize.rounding.descent import (
    BLOCK,
    descended,
    in_layers_order,
    in_order,
    propagated_by_row,
)

LIMIT = 127
"""Largest magnitude of an int8 weight: symmetric, so that the zero point is 0."""

PAIR_LIMIT = 128
"""Largest sum of two neighbouring weights of one sign where products are added in 16 bits:
VPMADDUBSW saturates at 32,767 (Intel SDM, volume 2), and 255 * 128 is 32,640."""

_RUN = 8
"""Inputs per run, a part of a block: inside a run, errors reach the next inputs one by one."""


@dataclass(frozen=True)
class Layer:
    """Rows to round, which all read the same inputs or each read their own.

    Attributes:
        weight: float64 ``[rows, inputs]``.
        moments: H, float64: ``[inputs, inputs]`` for all rows, or ``[rows, inputs, inputs]``;
            symmetric and positive semidefinite.
        neighbours: int64 ``[kinds, inputs]``, for each input another one whose weight may be
            multiplied in one 16-bit pair with it, or -1; None where nothing saturates.
        limit: largest magnitude of an integer.
    """

    weight: np.ndarray = field(repr=False)
    moments: np.ndarray = field(repr=False)
    neighbours: np.ndarray | None = field(default=None, repr=False)
    limit: int = LIMIT

    def take(self, rows: np.ndarray | slice) -> Layer:
        """Layer of some of the rows, in any order; a row may be named several times."""
        moments = self.moments[rows] if self.moments.ndim == 3 else self.moments
        return Layer(self.weight[rows], moments, self.neighbours, self.limit)

    @cached_property
    def _single_moments(self) -> np.ndarray:
        """H in single precision, which many weights are judged with."""
        return self.moments.astype(np.float32)

    def error(self, weight: np.ndarray) -> np.ndarray:
        """Mean square error of each row's output if ``weight`` replaced the layer's, float32."""
        difference = (weight - self.weight).astype(np.float32)
        moments = self._single_moments
        if self.moments.ndim == 3:
            return np.asarray(
                np.einsum("ri,rij,rj->r", difference, moments, difference, optimize=True)
            )
        return np.asarray(np.einsum("ri,ri->r", difference @ moments, difference))


def damped(moments: np.ndarray, share: float) -> np.ndarray:
    """Moments with a share of their mean diagonal added to it, so that they can be inverted."""
    mean = np.trace(moments, axis1=-2, axis2=-1) / moments.shape[-1]
    added = mean * share + np.finfo(np.float64).tiny ** 0.5
    result = moments.copy()
    np.einsum("...ii->...i", result)[...] += np.asarray(added)[..., None]  # a view: the diagonals
    return result


def require_finite(layer: Layer) -> None:
    """Check that a layer can be rounded.

    Raises:
        InvalidInputError: weights or moments with NaN or infinity.
    """
    if not (np.isfinite(layer.weight).all() and np.isfinite(layer.moments).all()):
        raise InvalidInputError(
            "weights and the activations that they meet are finite numbers",
            received="NaN or infinity in a layer",
            remedy="check the training that made them",
        )


def rounded(
    layer: Layer,
    scale: np.ndarray,
    *,
    damping: float = 0.005,
    sweeps: int = 3,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Integers for the weights of a layer.

    Args:
        layer: rows to round.
        scale: float64 ``[rows]``, above zero.
        damping: share of the mean diagonal that is added to the moments.
        sweeps: largest number of coordinate descent sweeps.
        start: integers ``[rows, inputs]`` to descend from, without errors being spread before.

    Returns:
        ``[rows, inputs]`` of whole numbers within the layer's limit, in float.

    Raises:
        InvalidInputError: weights or moments with NaN or infinity.
    """
    require_finite(layer)
    moments = damped(layer.moments, damping)
    # Inputs of the largest power first; for rows with inputs of their own, an order per row.
    order = np.argsort(-np.einsum("...ii->...i", moments), axis=-1, kind="stable")
    if moments.ndim == 3:
        return _rounded_depthwise(layer, scale, moments, order, sweeps, start)
    if start is None:
        factor = inverse_factor(moments[np.ix_(order, order)])
        integers = _propagated(layer, scale, factor, order)  # [inputs, rows]
    else:
        integers = start.T
    return np.ascontiguousarray(_descended(layer, scale, moments, integers, sweeps).T)


def _neighbour_lists(layer: Layer) -> list[list[int]]:
    """Numbers of the neighbours of each input."""
    if layer.neighbours is None:
        return [[] for _ in range(layer.weight.shape[1])]
    columns = layer.neighbours.T.tolist()
    return [sorted({other for other in column if other >= 0}) for column in columns]


def _round_within_bounds(values: np.ndarray, beside: list[np.ndarray], limit: int) -> None:
    """Replace ``values`` of one input by the nearest integers that it may have.

    With the integers n of its neighbours, an integer q is allowed where ``|q| <= limit`` and
    ``|q + n| <= PAIR_LIMIT`` for every n of the sign of q.

    Args:
        values: ``[rows]``, changed in place.
        beside: integers ``[rows]`` of each neighbour that is rounded already.
        limit: largest magnitude of an integer.
    """
    np.rint(values, out=values)
    if not beside:
        np.minimum(np.maximum(values, -limit, out=values), limit, out=values)
        return
    low = high = beside[0]
    for integers in beside[1:]:
        low, high = np.minimum(low, integers), np.maximum(high, integers)
    # Neighbours of the other sign leave more room than the limit does.
    low = np.maximum(-PAIR_LIMIT - low, -limit)
    high = np.minimum(PAIR_LIMIT - high, limit)
    np.minimum(np.maximum(values, low, out=values), high, out=values)


def inverse_factor(moments: np.ndarray) -> np.ndarray:
    """Upper triangular U with ``U^T U = H^-1``: how an error spreads over the inputs that follow.

    With ``H = R R^T`` and R upper triangular, U is the inverse of R. Inputs that hardly ever
    change leave moments that float64 cannot tell from singular ones; these are damped until they
    can be factored.
    """
    for share in (0.0, 1e-6, 1e-4, 1e-2):
        invertible = damped(moments, share) if share else moments
        try:
            # Cholesky gives lower factors: that of H with both axes reversed is R reversed.
            lower = np.linalg.cholesky(invertible[..., ::-1, ::-1])
        except np.linalg.LinAlgError:
            continue
        return _inverse(lower[..., ::-1, ::-1])
    # A diagonal U spreads no error: each weight is rounded to the nearest integer.
    diagonal = np.sqrt(1 / np.maximum(np.einsum("...ii->...i", moments), np.finfo(float).tiny))
    return np.asarray(diagonal[..., None] * np.eye(moments.shape[-1]))


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Inverse of one or many upper triangular matrices with a diagonal above zero."""
    if upper.ndim == 3:
        return np.linalg.inv(np.ascontiguousarray(upper))
    from scipy.linalg.lapack import dtrtri

    inverse, _ = dtrtri(np.array(upper, order="F"), overwrite_c=True)  # the one copy
    return np.asarray(inverse)


def _propagated(
    layer: Layer, scale: np.ndarray, factor: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Integers after one pass over the inputs, each rounding error spread over the later inputs.

    In units of each row's scale, ``w = W / s``, for the inputs j in ``order``:

        q_j = round(w_j)                within the bounds of ``_round_within_bounds``
        e_j = w_j - q_j
        w_k = w_k - e_j U_jk / U_jj     for every later input k

    The subtractions are grouped: inputs of the same run get theirs one by one, the rest of the
    block in one product per run, all inputs behind the block in one product per block. Single
    precision takes half the time, and its own rounding is far below a step.

    Args:
        layer: rows to round.
        scale: ``[rows]``.
        factor: U, ``[inputs, inputs]``, both axes in ``order``.
        order: numbers of the inputs, in the order of rounding.

    Returns:
        float32 ``[inputs, rows]``, inputs in the layer's order.
    """
    steps = (layer.weight / scale[:, None]).T  # w: [rows, inputs] -> [inputs, rows]
    weight = np.asarray(steps[order], np.float32, order="C")  # [inputs, rows], in `order`
    share = (factor / np.einsum("ii->i", factor)[:, None]).astype(np.float32)  # U_jk / U_jj
    inputs, rows = weight.shape
    numbers = order.tolist()
    rank = np.argsort(order, kind="stable").tolist()
    rounded_neighbours = [
        [k for k in others if rank[k] < rank[i]] for i, others in enumerate(_neighbour_lists(layer))
    ]
    integers = np.zeros_like(weight)  # [inputs, rows], in the layer's order
    errors = np.empty((BLOCK, rows), np.float32)  # e of the current block
    for start in range(0, inputs, BLOCK):
        stop = min(inputs, start + BLOCK)
        for first in range(start, stop, _RUN):
            last = min(stop, first + _RUN)
            for j in range(first, last):
                number, error, chosen = numbers[j], errors[j - start], integers[numbers[j]]
                chosen[:] = weight[j]
                beside = [integers[k] for k in rounded_neighbours[number]]
                _round_within_bounds(chosen, beside, layer.limit)
                np.subtract(weight[j], chosen, out=error)
                if j + 1 < last:  # the rest of the run
                    weight[j + 1 : last] -= share[j, j + 1 : last, None] * error
            # The rest of the block: [inputs of the rest, run] @ [run, rows]
            weight[last:stop] -= (
                share[first:last, last:stop].T @ errors[first - start : last - start]
            )
        # All inputs behind the block: [inputs behind, block] @ [block, rows]
        weight[stop:] -= share[start:stop, stop:].T @ errors[: stop - start]
    return integers


def _descended(
    layer: Layer, scale: np.ndarray, moments: np.ndarray, integers: np.ndarray, sweeps: int
) -> np.ndarray:
    """Integers after coordinate descent on the quadratic error, in units of each row's scale.

    With ``w = W / s``, the best integer along input j is ``round(q_j - g_j / H_jj)`` within the
    bounds of ``_round_within_bounds``; see ``descent.descended``.

    Args:
        layer: rows that are rounded.
        scale: ``[rows]``.
        moments: H, ``[inputs, inputs]``.
        integers: q at the start, ``[inputs, rows]``.
        sweeps: largest number of passes over all inputs.

    Returns:
        ``[inputs, rows]``.
    """
    if not sweeps:
        return integers
    integers = integers.astype(np.float64)
    inverse = (1 / np.diag(moments)).tolist()
    numbers = _neighbour_lists(layer)

    def best(j: int, gradient: np.ndarray) -> np.ndarray:
        found: np.ndarray = gradient * -inverse[j]
        found += integers[j]
        _round_within_bounds(found, [integers[k] for k in numbers[j]], layer.limit)
        return found

    descended(integers, (layer.weight / scale[:, None]).T, moments, sweeps, best)
    return integers


def _rounded_depthwise(
    layer: Layer,
    scale: np.ndarray,
    moments: np.ndarray,
    order: np.ndarray,
    sweeps: int,
    start: np.ndarray | None,
) -> np.ndarray:
    """Both phases for rows with inputs of their own (depthwise convolutions), all rows at once.

    Args:
        layer: rows to round.
        scale: ``[rows]``.
        moments: H of each row, ``[rows, inputs, inputs]``.
        order: numbers of each row's inputs in the order of rounding, ``[rows, inputs]``.
        sweeps: largest number of coordinate descent sweeps.
        start: integers to descend from, ``[rows, inputs]``; None for those of the first phase.

    Returns:
        ``[rows, inputs]``, inputs in the layer's order.
    """
    # Everything below stands in each row's order.
    target, moments = in_order(layer.weight, moments, order)

    def nearest(weight: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(np.rint(weight / scale), -layer.limit, layer.limit))

    if start is None:
        integers = propagated_by_row(target, inverse_factor(moments), nearest, scale)
    else:
        integers = np.take_along_axis(start, order, 1)
    # Coordinate descent; see ``descent.descended``.
    difference = integers * scale[:, None] - target
    for _ in range(sweeps):
        changed = 0
        for j in range(integers.shape[1]):
            gradient = np.einsum("ri,ri->r", difference, moments[:, :, j])
            wanted = integers[:, j] + np.rint(-gradient / (moments[:, j, j] * scale))
            step = np.clip(wanted, -layer.limit, layer.limit) - integers[:, j]
            integers[:, j] += step
            difference[:, j] += step * scale
            changed += int(np.count_nonzero(step))
        if not changed:
            break
    return in_layers_order(integers, order)


def neighbours(shape: tuple[int, ...]) -> np.ndarray:
    """Inputs that x86 kernels may multiply in one 16-bit pair, for a weight OHWI or OI.

    MLAS reduces over height, width and input channel in this order, in blocks of four from the
    start (QgemmU8S8KernelAvx2), or over the channels of each position, in such blocks too
    (ConvSymKernelAvx2). With an even number of channels both pair the channels 0 and 1, 2 and 3,
    and so on. With an odd one every two neighbours count, and also those in the order input
    channel, height, width.

    Args:
        shape: shape of the weight, ``[out, height, width, in]`` or ``[out, in]``.

    Returns:
        int64 ``[kinds, inputs]``: the number of the other input, or -1.
    """
    inputs = int(np.prod(shape[1:]))
    index = np.arange(inputs)
    if shape[-1] % 2 == 0:
        return index[None] ^ 1
    orders = [index]
    if len(shape) == 4 and shape[1] * shape[2] > 1:
        orders.append(index.reshape(shape[1:]).transpose(2, 0, 1).reshape(-1))
    kinds = []
    for order in orders:
        before, after = np.full(inputs, -1), np.full(inputs, -1)
        before[order[1:]], after[order[:-1]] = order[:-1], order[1:]
        kinds += [before, after]
    return np.array(kinds, np.int64)


def pair_reach(weight: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Largest magnitude that two weights of one pair and one sign add up to, for each row.

    Args:
        weight: ``[rows, inputs]``.
        pairs: int64 ``[kinds, inputs]`` from ``neighbours``.

    Returns:
        float64 ``[rows]``; a weight alone counts as a pair with zero.
    """
    largest = np.abs(weight).max(axis=1, initial=0.0).astype(np.float64)
    for other in pairs:
        first = np.flatnonzero(other >= 0)
        second = other[first]
        if np.array_equal(other[second], first):  # each pair once
            first, second = first[first < second], second[first < second]
        # Two of unlike signs add up to less than the larger one, which is counted already.
        sums = np.abs(weight[:, first] + weight[:, second])
        largest = np.maximum(largest, sums.max(axis=1, initial=0.0))
    return np.asarray(largest)
