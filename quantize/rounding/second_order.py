"""Second-order rounding: integers that keep a layer's output, not each weight, close.

For a layer ``y = W x`` the error of integers ``Q`` with scale ``s`` is ``(W - sQ) H (W - sQ)^T``,
with H the second moments of the inputs. Weights are rounded one input at a time, and what a
rounding spoils is made good by the inputs still to come (optimal brain quantization, Frantar and
Alistarh 2022, arXiv:2208.11580; in one order for all rows: GPTQ, Frantar et al. 2023,
arXiv:2210.17323, section 3). Sweeps of coordinate descent over all integers follow, each the exact
minimum along one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from foundation.errors import InvalidInputError

LIMIT = 127
"""Largest magnitude of an int8 weight: symmetric, so that the zero point is 0."""

PAIR_LIMIT = 128
"""Largest sum of two neighbouring weights of one sign where products are added in 16 bits:
VPMADDUBSW saturates at 32,767 (Intel SDM, volume 2), and 255 * 128 is 32,640."""

_BLOCK = 64
"""Inputs whose errors reach the inputs after them in one product of matrices."""

_NEAR = 8
"""Of a block, those whose errors reach each other one by one."""


@dataclass(frozen=True)
class Layer:
    """Rows to round that share their inputs, or have inputs of their own.

    Attributes:
        weight: float64 ``[rows, inputs]``.
        moments: float64 ``[inputs, inputs]`` of all rows, or ``[rows, inputs, inputs]``; symmetric
            and positive semidefinite.
        neighbours: int64 ``[kinds, inputs]``, for each input another one whose weight may be
            multiplied in one 16-bit pair with it, or -1; None where nothing saturates.
    """

    weight: np.ndarray = field(repr=False)
    moments: np.ndarray = field(repr=False)
    neighbours: np.ndarray | None = field(default=None, repr=False)

    def chosen(self, rows: np.ndarray | slice) -> Layer:
        """Some of the rows, in any order and as often as they are named."""
        own = self.moments[rows] if self.moments.ndim == 3 else self.moments
        return Layer(self.weight[rows], own, self.neighbours)

    def error(self, weight: np.ndarray) -> np.ndarray:
        """Mean square error of each row's output if ``weight`` took the layer's place, float32."""
        off = (weight - self.weight).astype(np.float32)
        moments = self.moments.astype(np.float32)
        if self.moments.ndim == 3:
            return np.asarray(np.einsum("ri,rij,rj->r", off, moments, off, optimize=True))
        return np.asarray(np.einsum("ri,ri->r", off @ moments, off))


def damped(moments: np.ndarray, share: float) -> np.ndarray:
    """Moments with a share of their mean diagonal added to it, so that they can be inverted."""
    size = moments.shape[-1]
    mean = np.trace(moments, axis1=-2, axis2=-1) / size
    added = mean * share + np.finfo(np.float64).tiny ** 0.5
    return np.asarray(moments + np.eye(size) * np.asarray(added)[..., None, None])


def rounded(
    layer: Layer, scale: np.ndarray, *, damping: float = 0.005, sweeps: int = 3
) -> np.ndarray:
    """Integers for the weights of a layer.

    Args:
        layer: what to round.
        scale: float64 ``[rows]``, above zero.
        damping: share of the mean diagonal that is added to the moments.
        sweeps: of coordinate descent, at most.

    Returns:
        ``[rows, inputs]`` of whole numbers in [-127, 127], in float.

    Raises:
        InvalidInputError: weights or moments with NaN or infinity.
    """
    if not (np.isfinite(layer.weight).all() and np.isfinite(layer.moments).all()):
        raise InvalidInputError(
            "weights and the activations that they meet are finite numbers",
            received="NaN or infinity in a layer",
            remedy="check the training that made them",
        )
    moments = damped(layer.moments, damping)
    order = np.argsort(-np.einsum("...ii->...i", moments), axis=-1, kind="stable")
    if moments.ndim == 3:
        return _rounded_apart(layer, scale, moments, order, sweeps)
    spread = _spread(moments[np.ix_(order, order)])
    integers = _propagated(layer, scale, spread, order)
    return np.ascontiguousarray(_descended(layer, scale, moments, integers, sweeps).T)


def _others(layer: Layer) -> list[list[int]]:
    """The neighbours of each input."""
    if layer.neighbours is None:
        return [[] for _ in range(layer.weight.shape[1])]
    columns = layer.neighbours.T.tolist()
    return [sorted({other for other in column if other >= 0}) for column in columns]


def _hold(wanted: np.ndarray, beside: list[np.ndarray]) -> None:
    """The nearest integers that an input may hold beside its neighbours', in ``wanted``'s place."""
    np.rint(wanted, out=wanted)
    if not beside:
        np.minimum(np.maximum(wanted, -LIMIT, out=wanted), LIMIT, out=wanted)
        return
    low = high = beside[0]
    for other in beside[1:]:
        low, high = np.minimum(low, other), np.maximum(high, other)
    low = np.maximum(-LIMIT, -PAIR_LIMIT - np.minimum(low, 0))
    high = np.minimum(LIMIT, PAIR_LIMIT - np.maximum(high, 0))
    np.minimum(np.maximum(wanted, low, out=wanted), high, out=wanted)


def _spread(moments: np.ndarray) -> np.ndarray:
    """Upper triangular factor of the inverse: how an error goes to the inputs that follow.

    With ``H = R R^T`` and R upper triangular, it is the inverse of R. Inputs that hardly ever
    change leave moments that float64 cannot tell from singular ones; these are damped until they
    can be factored.
    """
    for share in (0.0, 1e-6, 1e-4, 1e-2):
        held = damped(moments, share) if share else moments
        try:
            lower = np.linalg.cholesky(held[..., ::-1, ::-1])
        except np.linalg.LinAlgError:
            continue
        return _inverse(np.ascontiguousarray(lower[..., ::-1, ::-1]))
    # Errors stay where they arise: rounding to the nearest.
    diagonal = np.sqrt(1 / np.maximum(np.einsum("...ii->...i", moments), np.finfo(float).tiny))
    return np.asarray(diagonal[..., None] * np.eye(moments.shape[-1]))


def _inverse(upper: np.ndarray) -> np.ndarray:
    """Of one or many upper triangular matrices with a diagonal above zero."""
    if upper.ndim == 3:
        return np.linalg.inv(upper)
    from scipy.linalg.lapack import dtrtri

    inverse, _ = dtrtri(upper)
    return np.asarray(inverse)


def _propagated(
    layer: Layer, scale: np.ndarray, spread: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """One pass over the inputs; each rounding error is spread over the inputs that follow.

    In steps of the scales, and in single precision: half the time, and its own rounding is far
    below a step.

    Returns:
        ``[inputs, rows]``, in the layer's own order.
    """
    work = np.asarray((layer.weight / scale[:, None]).T[order], np.float32, order="C")
    share = (spread / np.einsum("ii->i", spread)[:, None]).astype(np.float32)
    place = np.argsort(order, kind="stable").tolist()
    others = _others(layer)
    before = [[k for k in others[i] if place[k] < place[i]] for i in range(len(work))]
    integers = np.zeros_like(work)
    inputs = len(work)
    errors = np.empty((_BLOCK, work.shape[1]), np.float32)
    numbers = order.tolist()
    for start in range(0, inputs, _BLOCK):
        stop = min(inputs, start + _BLOCK)
        for near in range(start, stop, _NEAR):
            far = min(stop, near + _NEAR)
            for j in range(near, far):
                number, error = numbers[j], errors[j - start]
                chosen = integers[number]
                chosen[:] = work[j]
                _hold(chosen, [integers[k] for k in before[number]])
                np.subtract(work[j], chosen, out=error)
                if j + 1 < far:
                    work[j + 1 : far] -= share[j, j + 1 : far, None] * error
            work[far:stop] -= share[near:far, far:stop].T @ errors[near - start : far - start]
        work[stop:] -= share[start:stop, stop:].T @ errors[: stop - start]
    return integers


def _descended(
    layer: Layer, scale: np.ndarray, moments: np.ndarray, integers: np.ndarray, sweeps: int
) -> np.ndarray:
    """Coordinate descent on the quadratic error, input by input; ``[inputs, rows]``.

    In steps of the scales. Inside a block of inputs the gradient follows every step; the rest of it
    follows once a block, in one product of matrices.
    """
    if not sweeps:
        return integers
    integers = integers.astype(np.float64)
    gradient = moments @ (integers - (layer.weight / scale[:, None]).T)
    inverse = (1 / np.diag(moments)).tolist()
    others = _others(layer)
    inputs = len(integers)
    for _ in range(sweeps):
        changed = False
        for start in range(0, inputs, _BLOCK):
            stop = min(inputs, start + _BLOCK)
            near = gradient[start:stop]
            moved = np.zeros_like(near)
            for j in range(start, stop):
                step = near[j - start] * -inverse[j]
                step += integers[j]
                _hold(step, [integers[k] for k in others[j]])
                step -= integers[j]
                if step.any():
                    integers[j] += step
                    moved[j - start] = step
                    near += moments[start:stop, j, None] * step
            if moved.any():
                changed = True
                gradient[:start] += moments[:start, start:stop] @ moved
                gradient[stop:] += moments[stop:, start:stop] @ moved
        if not changed:
            break
    return integers


def _rounded_apart(
    layer: Layer, scale: np.ndarray, moments: np.ndarray, order: np.ndarray, sweeps: int
) -> np.ndarray:
    """The same for rows with inputs of their own (depthwise convolutions), all rows at once."""
    work = np.take_along_axis(layer.weight, order, 1)
    target = work.copy()
    moments = np.take_along_axis(
        np.take_along_axis(moments, order[:, :, None], 1), order[:, None, :], 2
    )
    spread = _spread(moments)
    integers = np.zeros_like(work)
    for j in range(work.shape[1]):
        integers[:, j] = np.clip(np.rint(work[:, j] / scale), -LIMIT, LIMIT)
        error = (work[:, j] - integers[:, j] * scale) / spread[:, j, j]
        work[:, j + 1 :] -= error[:, None] * spread[:, j, j + 1 :]
    off = integers * scale[:, None] - target
    for _ in range(sweeps):
        changed = 0
        for j in range(work.shape[1]):
            slope = np.einsum("ri,ri->r", off, moments[:, :, j])
            wanted = integers[:, j] + np.rint(-slope / (moments[:, j, j] * scale))
            step = np.clip(wanted, -LIMIT, LIMIT) - integers[:, j]
            integers[:, j] += step
            off[:, j] += step * scale
            changed += int(np.count_nonzero(step))
        if not changed:
            break
    return np.take_along_axis(integers, np.argsort(order, axis=1, kind="stable"), 1)


def neighbours(shape: tuple[int, ...]) -> np.ndarray:
    """Inputs that x86 kernels may multiply in one 16-bit pair, for a weight OHWI or OI.

    MLAS reduces over height, width and input channel in this order, in blocks of four from the
    start (QgemmU8S8KernelAvx2), or over the channels of each position likewise (ConvSymKernelAvx2).
    With an even number of channels both pair the channels 0 and 1, 2 and 3, and so on. With an odd
    one every two neighbours count, and those in the order input channel, height, width too.

    Args:
        shape: of the weight, ``[out, height, width, in]`` or ``[out, in]``.

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
    rows = []
    for order in orders:
        before, after = np.full(inputs, -1), np.full(inputs, -1)
        before[order[1:]], after[order[:-1]] = order[:-1], order[1:]
        rows += [before, after]
    return np.array(rows, np.int64)


def pair_reach(weight: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Largest magnitude that two weights of one pair and one sign add up to.

    Args:
        weight: ``[rows, inputs]``.
        pairs: from ``neighbours``.

    Returns:
        float64 ``[rows]``; a weight alone counts as a pair with zero.
    """
    worst = np.abs(weight).max(axis=1, initial=0.0).astype(np.float64)
    for other in pairs:
        known = other >= 0
        for sign in (1.0, -1.0):
            one, two = sign * weight[:, known], sign * weight[:, other[known]]
            sums = np.maximum(one, 0) + np.maximum(two, 0)
            worst = np.maximum(worst, sums.max(axis=1, initial=0.0))
    return np.asarray(worst)
