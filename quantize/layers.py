"""One weighted operator: from its float weight to integers, scales and a bias."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from quantize.affine import (
    QuantParams,
    bias_params,
    quantize_bias,
    weight_reach,
    widened_for_bias,
)
from quantize.graph import Graph, Op, OpKind
from quantize.moments import Moments
from quantize.plan import IntegerConstant
from quantize.recipes import Granularity, WeightRange
from quantize.rounding import LIMIT, Layer, damped, neighbours, pair_reach, rounded

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Shares of the mean variance that a refit may be held to the float weight with."""


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
class Rows:
    """A weight as rows of inputs, and back.

    Attributes:
        op: weighted operator.
        shape: of its weight.
        groups: of a grouped convolution; 1 otherwise.
    """

    op: Op
    shape: tuple[int, ...]
    groups: int = 1

    @classmethod
    def of(cls, op: Op, graph: Graph) -> Rows:
        """The layout of an operator of a graph."""
        shape = graph.weight(op).shape
        if op.kind != OpKind.CONV:
            return cls(op, shape)
        return cls(op, shape, graph.tensors[op.inputs[0]].shape[-1] // shape[-1])

    def to_rows(self, weight: np.ndarray) -> np.ndarray:
        """``[channels, inputs]``, float64."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:
            return np.asarray(weight.reshape(-1, weight.shape[-1]).T, np.float64)
        return np.asarray(weight.reshape(weight.shape[0], -1), np.float64)

    def from_rows(self, rows: np.ndarray) -> np.ndarray:
        """The weight's own shape and order of axes."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:
            return rows.T.reshape(self.shape)
        return rows.reshape(self.shape)

    def parts(self) -> Iterator[tuple[slice, np.ndarray | None]]:
        """Rows that share inputs, with the numbers of these among the operator's windows.

        None stands for all of them, in their order.
        """
        if self.groups == 1:
            yield slice(None), None
            return
        out, height, width, each = self.shape
        index = np.arange(height * width * each * self.groups).reshape(height, width, -1)
        for group in range(self.groups):
            rows = slice(group * out // self.groups, (group + 1) * out // self.groups)
            yield rows, index[:, :, group * each : (group + 1) * each].reshape(-1)


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
        if settings.refit:
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
    return _select(half.covariance, index, part), _select(half.cross_covariance, index, part)


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

    Ridge regression towards the float weight; each half of the images judges what the other one
    fitted, and without a gain the float weight stays.
    """
    best, least = None, 0.0
    for ridge in RIDGES:
        gain = 0.0
        for fitting, judging in (halves, halves[::-1]):
            step = _step(weight, *fitting, ridge)
            gain += _gain(weight, step, *judging)
        if gain < least:
            best, least = ridge, gain
    if best is None:
        return weight
    own, cross = ((a + b) / 2 for a, b in zip(*halves, strict=True))
    return np.asarray(weight + _step(weight, own, cross, best))


def _step(weight: np.ndarray, own: np.ndarray, cross: np.ndarray, ridge: float) -> np.ndarray:
    held = damped(own, ridge)
    if own.ndim == 3:
        pull = np.einsum("ri,rij->rj", weight, cross - own)
        return np.asarray(np.linalg.solve(held, pull[:, :, None])[:, :, 0])
    return np.asarray(np.linalg.solve(held, (weight @ (cross - own)).T).T)


def _gain(weight: np.ndarray, step: np.ndarray, own: np.ndarray, cross: np.ndarray) -> float:
    """Change of the mean square error when ``step`` is added to the weight."""
    form = "ri,rij->rj" if own.ndim == 3 else "ri,ij->rj"
    quadratic = np.einsum(form, step, own, optimize=True)
    linear = np.einsum(form, weight, own - cross, optimize=True)
    return float(((quadratic + 2 * linear) * step).sum())


def _best(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Scales, and integers, with the least error among the candidates."""
    best_scale = np.zeros(len(target))
    best = np.zeros_like(target)
    least = np.full(len(target), np.inf)
    for scale in _candidates(op, target, layers, settings):
        integers, error = np.empty_like(target), np.empty(len(target))
        for part, layer in layers:
            found = rounded(layer, scale[part], damping=settings.damping, sweeps=settings.sweeps)
            integers[part] = found
            error[part] = layer.error(found * scale[part][:, None])
        better = error < least if _per_channel(op, settings) else error.sum() < least.sum()
        better = np.broadcast_to(better, error.shape)
        least = np.where(better, error, least)
        best_scale = np.where(better, scale, best_scale)
        best = np.where(better[:, None], integers, best)
    return best_scale, best


def _per_channel(op: Op, settings: LayerSettings) -> bool:
    """Dense layers have one scale in every recipe, as the TFLite specification has it."""
    return settings.granularity is Granularity.PER_CHANNEL and op.kind != OpKind.DENSE


def _candidates(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> Iterable[np.ndarray]:
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
