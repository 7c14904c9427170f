"""One weighted operator: from its float weight to integers, scales and a bias."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from network.affine import (
    QuantParams,
    bias_params,
    quantize_bias,
    weight_reach,
    widened_for_bias,
)
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.recipes import Granularity, WeightRange
from quantize.rounding.moments import Moments
from quantize.rounding.rows import Rows
from quantize.rounding.second_order import LIMIT, Layer, damped, neighbours, pair_reach, rounded

RIDGE = 1e-2
"""Share of the mean variance that a refit is held to the float weight with."""

TOO_FEW = 16
"""Inputs for each position of half the images from which on the other half would take next to
nothing of a refit (a last dense layer sees one position an image)."""


@dataclass(frozen=True)
class LayerSettings:
    """How a layer is rounded.

    Attributes:
        granularity: scales a convolution weight has.
        weight_range: whether pairs of weights must not saturate 16-bit sums.
        damping: see ``rounded``.
        sweeps: see ``rounded``.
        narrowings: factors on the widest scale to choose from, by the error of each channel.
        refit: whether the float weight is first fitted to the quantized inputs.
    """

    granularity: Granularity
    weight_range: WeightRange
    damping: float = 0.005
    sweeps: int = 3
    narrowings: tuple[float, ...] = (1.0,)
    refit: bool = False


@dataclass(frozen=True)
class Solved:
    """A layer in integers.

    Attributes:
        weight: int8.
        bias: int32.
    """

    weight: IntegerConstant = field(repr=False)
    bias: IntegerConstant = field(repr=False)


def solve(
    op: Op,
    graph: Graph,
    source: QuantParams,
    halves: tuple[Moments, Moments],
    settings: LayerSettings,
) -> Solved:
    """Round one layer for the inputs that it will meet.

    The bias takes up the mean error of the outputs, as empirical bias correction does (Nagel et
    al. 2019, arXiv:1906.04721, section 4.2).

    Args:
        op: weighted operator.
        graph: canonical, equalized.
        source: parameters of the operator's input.
        halves: moments of two disjoint halves of the images.
        settings: how.
    """
    rows = Rows.of(op, graph)
    exact = rows.to_rows(graph.weight(op))
    both = halves[0].joined(halves[1])
    target = np.empty_like(exact)
    layers: list[tuple[slice, Layer]] = []
    pairs = _neighbours(rows, settings)
    for part, index in rows.parts():
        fitted = exact[part]
        if settings.refit and halves[0].count * TOO_FEW > exact.shape[1]:
            fitted = _refit(exact[part], [_chosen(half, index, part) for half in halves])
        target[part] = fitted
        own = _select(both.covariance, index, part)
        layers.append((part, Layer(fitted, own, pairs)))
    scale, integers = _best(op, target, layers, settings)
    mean, wanted = both.means
    error = _products(rows, exact, wanted) - _products(rows, integers * scale[:, None], mean)
    bias = (graph.bias(op).astype(np.float64) + error).astype(np.float32)
    params = _params(op, scale, settings)
    wide = widened_for_bias(params, bias, source)
    if wide != params:  # only dead channels: their integers are zeros anyway, or as good as
        ratio = np.asarray(params.scale) / np.asarray(wide.scale)
        integers = np.rint(integers * np.broadcast_to(ratio, (len(integers),))[:, None])
        params = wide
    stored = rows.from_rows(integers).astype(np.int8)
    of_bias = bias_params(source, params)
    return Solved(
        IntegerConstant(params, stored),
        IntegerConstant(of_bias, quantize_bias(bias, of_bias, op.name)),
    )


def _chosen(half: Moments, index: np.ndarray | None, part: slice) -> tuple[np.ndarray, np.ndarray]:
    pull = half.pull[part]
    return _select(half.covariance, index, part), pull if index is None else pull[:, index]


def _select(moments: np.ndarray, index: np.ndarray | None, part: slice) -> np.ndarray:
    if index is not None:
        return np.asarray(moments[np.ix_(index, index)])
    return moments[part] if moments.ndim == 3 else moments


def _products(rows: Rows, weight: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What the mean input makes of each row."""
    if mean.ndim == 2:
        return np.asarray((weight * mean).sum(axis=1))
    result = np.empty(len(weight))
    for part, index in rows.parts():
        result[part] = weight[part] @ (mean if index is None else mean[index])
    return result


def _neighbours(rows: Rows, settings: LayerSettings) -> np.ndarray | None:
    """Pairs to watch; depthwise kernels add in 32 bits (see WeightRange)."""
    safe = settings.weight_range is WeightRange.SATURATION_SAFE
    if not safe or rows.op.kind == OpKind.DEPTHWISE_CONV:
        return None
    return neighbours(rows.shape)


def _refit(weight: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The weight that gives the float outputs from the quantized inputs, as far as they tell.

    Least squares, held to the float weight by a small ridge. Each half of the images judges, row by
    row, how much of the step that the other half fitted is worth taking (from nothing to all).
    """
    steps = list(in_parallel(_step, halves))
    linear, quadratic = np.sum(list(in_parallel(_terms, zip(steps, halves[::-1], strict=True))), 0)
    share = np.clip(linear / np.maximum(quadratic, np.finfo(np.float64).tiny), 0.0, 1.0)
    return np.asarray(weight + share[:, None] * (steps[0] + steps[1]) / 2)


def _step(half: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    own, pull = half
    if own.ndim == 3:
        return np.asarray(np.linalg.solve(damped(own, RIDGE), pull[:, :, None])[:, :, 0])
    for ridge in (RIDGE, 10 * RIDGE):  # rounding has left some moments indefinite
        try:
            factor = cho_factor(damped(own, ridge), check_finite=False)
        except LinAlgError:
            continue
        return np.asarray(cho_solve(factor, pull.T, check_finite=False).T)
    return np.zeros_like(pull)


def _terms(judged: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Row by row, the two terms ``[2, rows]`` of what a share of a step gains on the other half.

    It is twice the share times the first one, less the share's square times the second.
    """
    step, (own, pull) = judged
    form = "ri,rij->rj" if own.ndim == 3 else "ri,ij->rj"
    across = np.einsum(form, step, own, optimize=True)
    return np.stack([(pull * step).sum(axis=1), (across * step).sum(axis=1)])


def _best(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Scales, and integers, with the least error among the candidates."""
    scales = np.stack(_candidates(op, target, layers, settings))  # [candidates, channels]
    errors = np.empty(scales.shape)
    tried = []
    for part, layer in layers:
        found, place, errors[:, part] = _tried(layer, scales[:, part], settings)
        tried.append((part, found, place))
    if not _per_channel(op, settings):
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = errors.argmin(axis=0)
    integers = np.empty_like(target)
    for part, found, place in tried:
        integers[part] = found[np.take_along_axis(place, best[None, part], 0)[0]]
    return scales[best, np.arange(len(target))], integers


def _tried(
    layer: Layer, scales: np.ndarray, settings: LayerSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round at all scales, each row at each of its own once.

    Returns:
        Integers ``[tried, inputs]``; which of them are those of a scale and a row, ``[candidates,
        rows]``; their errors likewise, 0 for a row that has no choice.
    """
    first = (scales[None] == scales[:, None]).argmax(axis=1)  # [candidates, rows]
    new = first == np.arange(len(scales))[:, None]
    rows = np.nonzero(new)[1]
    many, scale = layer.chosen(rows), scales[new]
    found = rounded(many, scale, damping=settings.damping, sweeps=settings.sweeps)
    place = np.zeros(scales.shape, np.int64)
    place[new] = np.arange(len(rows))
    place = np.take_along_axis(place, first, 0)
    errors = np.zeros(len(rows))
    judged = np.flatnonzero((new.sum(axis=0) > 1)[rows])
    errors[judged] = many.chosen(judged).error(found[judged] * scale[judged, None])
    return found, place, errors[place]


def _per_channel(op: Op, settings: LayerSettings) -> bool:
    """Dense layers have one scale in every recipe, as the TFLite specification has it."""
    return settings.granularity is Granularity.PER_CHANNEL and op.kind != OpKind.DENSE


def _candidates(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> list[np.ndarray]:
    """Scales to try, float64 ``[channels]``, each exactly a float32."""
    reach = weight_reach(np.abs(target).max(axis=1), per_channel=_per_channel(op, settings))
    factors = [np.full_like(reach, factor) for factor in settings.narrowings]
    pairs = layers[0][1].neighbours
    if pairs is not None:
        room = np.maximum(pair_reach(target, pairs) / reach, 1.0)
        if not _per_channel(op, settings):
            room = np.full_like(room, room.max())
        factors += [room**0.5, room]
    return [(reach * factor / LIMIT).astype(np.float32).astype(np.float64) for factor in factors]


def _params(op: Op, scale: np.ndarray, settings: LayerSettings) -> QuantParams:
    if _per_channel(op, settings):
        return QuantParams(tuple(scale.tolist()), (0,) * len(scale), axis=op.channel_axis)
    return replace(QuantParams((1.0,), (0,)), scale=(float(scale[0]),))
