"""One weighted operator: from its float weight to integers, scales and a bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from network.affine import (
    IntType,
    QuantParams,
    bias_params,
    quantize_bias,
    weight_reach,
    widened_for_bias,
)
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.grids import TOLERANCE, common_step, row_steps
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.rounding.moments import Moments
from quantize.rounding.rows import Rows
from quantize.rounding.second_order import (
    PAIR_LIMIT,
    Layer,
    damped,
    neighbours,
    pair_reach,
    rounded,
)
from quantize.settings import Granularity, WeightRange

RIDGE = 1e-2
"""Share of the mean variance that holds a refit to the float weight."""

LARGEST_INPUTS_PER_POSITION = 16
"""A layer is refitted where it has fewer inputs than this for each position of half of the images;
with more, the other half would take next to nothing of the step (a last dense layer has one
position per image)."""


FOUR_BIT_NARROWINGS = (1.0, 0.9, 0.8, 0.72, 0.64, 0.56, 0.5)
"""Factors on the widest scale of a weight in 4 bits, from which each channel takes the one of the
least error."""


@dataclass(frozen=True)
class LayerSettings:
    """How a layer is rounded.

    Attributes:
        granularity: one scale per channel of a convolution weight, or one per weight.
        weight_range: whether pairs of weights must not saturate 16-bit sums.
        damping: share of the mean variance that is added to the moments before they are inverted.
        sweeps: largest number of coordinate descent sweeps.
        narrowings: factors on the widest scale to choose from, by the error of each channel.
        refit: whether the float weight is first fitted to the quantized inputs.
        bits: bits of a weight's integers.
    """

    granularity: Granularity
    weight_range: WeightRange
    damping: float = 0.005
    sweeps: int = 3
    narrowings: tuple[float, ...] = (1.0,)
    refit: bool = False
    bits: int = 8

    @property
    def limit(self) -> int:
        """Largest magnitude of an integer: symmetric, so that the zero point is 0."""
        return int(2 ** (self.bits - 1)) - 1

    def in_four_bits(self) -> LayerSettings:
        """The same for a weight in 4 bits.

        15 steps are so wide that the best scale cuts the largest weights off, and 16-bit sums have
        room for all of them.
        """
        full = WeightRange.FULL
        return replace(self, weight_range=full, narrowings=FOUR_BIT_NARROWINGS, bits=4)


@dataclass(frozen=True)
class Solved:
    """A layer in integers.

    Attributes:
        weight: int8, or int4 in arrays of int8.
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

    With the float weight W and bias b, inputs z in the float and x in the quantized network,
    scales s and integers Q:

        T = W + step towards the float outputs             where ``settings.refit``
        s, Q = argmin (T - sQ) cov(x) (T - sQ)^T           second-order rounding; sQ may be W
        bias = b + W mean(z) - s Q mean(x)

    The bias takes up the mean error of the outputs, as empirical bias correction does (Nagel et
    al. 2019, arXiv:1906.04721, section 4.2).

    Args:
        op: weighted operator.
        graph: canonical, equalized.
        source: parameters of the operator's input.
        halves: moments of two disjoint halves of the images.
        settings: how the layer is rounded.
    """
    rows = Rows.of(op, graph)
    float_weight = rows.to_rows(graph.weight(op))  # [channels, inputs]
    both = halves[0].joined(halves[1])
    layers = layers_of(rows, float_weight, halves, both, settings)
    target = np.empty_like(float_weight)  # [channels, inputs]
    for group, layer in layers:
        target[group] = layer.weight
    grid = OnGrid.of(op, float_weight, layers[0][1].neighbours, settings)
    # Scales [channels] and integers [channels, inputs].
    scale, integers = best_rounding(op, target, layers, settings, grid)

    # The bias takes up the mean error.
    mean, float_mean = both.means
    rounded_weight = integers * scale[:, None]
    error = mean_outputs(rows, float_weight, float_mean) - mean_outputs(rows, rounded_weight, mean)
    bias = (graph.bias(op).astype(np.float64) + error).astype(np.float32)

    # Scales at which the bias fits int32.
    params = weight_params_of(op, scale, settings)
    wide = widened_for_bias(params, bias, source)
    if wide != params:  # only dead channels: their integers are zeros anyway, or as good as
        ratio = np.asarray(params.scale) / np.asarray(wide.scale)
        integers = np.rint(integers * np.broadcast_to(ratio, (len(integers),))[:, None])
        params = wide
    of_bias = bias_params(source, params)
    return Solved(
        IntegerConstant(params, rows.from_rows(integers).astype(np.int8)),
        IntegerConstant(of_bias, quantize_bias(bias, of_bias, op.name)),
    )


def layers_of(
    rows: Rows,
    float_weight: np.ndarray,
    halves: tuple[Moments, Moments],
    both: Moments,
    settings: LayerSettings,
) -> list[tuple[slice, Layer]]:
    """Rows to round: a layer for each group of rows that read the same inputs."""
    pairs = _saturating_pairs(rows, settings)
    refit = settings.refit and halves[0].count * LARGEST_INPUTS_PER_POSITION > float_weight.shape[1]
    layers = []
    for group, inputs in rows.row_groups():
        weight = float_weight[group]
        if refit:
            weight = _refit(weight, [_of_group(half, inputs, group) for half in halves])
        covariance = _covariance(both, inputs, group)
        layers.append((group, Layer(weight, covariance, pairs, settings.limit)))
    return layers


def _of_group(
    half: Moments, inputs: np.ndarray | None, group: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of a group's inputs, and the pull ``[rows, inputs]`` of its rows."""
    pull = half.pull[group]
    return _covariance(half, inputs, group), pull if inputs is None else pull[:, inputs]


def _covariance(moments: Moments, inputs: np.ndarray | None, group: slice) -> np.ndarray:
    """Covariance of a group's inputs, ``[inputs, inputs]``, for depthwise one for each row."""
    covariance = moments.covariance
    if inputs is not None:
        return np.asarray(covariance[np.ix_(inputs, inputs)])
    return covariance[group] if covariance.ndim == 3 else covariance


def mean_outputs(rows: Rows, weight: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Each channel's output for the mean input, before the bias: float64 ``[channels]``."""
    if mean.ndim == 2:  # depthwise: [channels, inputs]
        return np.asarray((weight * mean).sum(axis=1))
    result = np.empty(len(weight))
    for group, inputs in rows.row_groups():
        result[group] = weight[group] @ (mean if inputs is None else mean[inputs])
    return result


def _saturating_pairs(rows: Rows, settings: LayerSettings) -> np.ndarray | None:
    """Pairs of inputs whose 16-bit sums may saturate.

    Depthwise kernels add in 32 bits, and ONNX Runtime computes transposed convolutions in float.
    """
    safe = settings.weight_range is WeightRange.SATURATION_SAFE
    if not safe or rows.op.kind in (OpKind.DEPTHWISE_CONV, OpKind.TRANSPOSE_CONV):
        return None
    return neighbours(rows.shape)


def _refit(
    weight: np.ndarray, covariances_pulls: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Weight that gives the float outputs from the quantized inputs, as far as they tell.

    Least squares, held to the float weight by a small ridge. Each half of the images judges, row by
    row, how much of the step D that the other half fitted is worth taking: a share a gains

        2 a (p D^T) - a^2 (D C D^T)        C: covariance, p: pull of the half that judges

    which is largest at ``a = p D^T / D C D^T``, here from the sums of both halves and within 0
    and 1.

    Args:
        weight: W, float64 ``[rows, inputs]``.
        covariances_pulls: C ``[(rows), inputs, inputs]`` and p ``[rows, inputs]`` of each half.
    """
    steps = list(in_parallel(_step, covariances_pulls))
    judged = zip(steps, covariances_pulls[::-1], strict=True)
    linear, quadratic = np.sum(list(in_parallel(_gain_terms, judged)), 0)  # [rows] each
    share = np.clip(linear / np.maximum(quadratic, np.finfo(np.float64).tiny), 0.0, 1.0)
    return np.asarray(weight + share[:, None] * (steps[0] + steps[1]) / 2)


def _step(covariance_pull: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Least squares step ``D = p C^-1`` of one half of the images, ``[rows, inputs]``."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    covariance, pull = covariance_pull
    if covariance.ndim == 3:
        solution = np.linalg.solve(damped(covariance, RIDGE), pull[:, :, None])  # [rows, inputs, 1]
        return np.asarray(solution[:, :, 0])
    for ridge in (RIDGE, 10 * RIDGE):  # rounding has left some moments indefinite
        try:
            factor = cho_factor(damped(covariance, ridge), check_finite=False)
        except LinAlgError:
            continue
        return np.asarray(cho_solve(factor, pull.T, check_finite=False).T)
    return np.zeros_like(pull)


def _gain_terms(judged: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """For each row ``p D^T`` and ``D C D^T`` of a step on the other half: ``[2, rows]``."""
    step, (covariance, pull) = judged
    form = "ri,rij->rj" if covariance.ndim == 3 else "ri,ij->rj"
    product = np.einsum(form, step, covariance, optimize=True)  # D C: [rows, inputs]
    return np.stack([(pull * step).sum(axis=1), (product * step).sum(axis=1)])


@dataclass(frozen=True)
class OnGrid:
    """A float weight of whole numbers, as one that comes from a quantized file.

    Attributes:
        scale: float64 ``[channels]``, each exactly a float32.
        integers: the weight in these scales, within the limit, ``[channels, inputs]``.
    """

    scale: np.ndarray = field(repr=False)
    integers: np.ndarray = field(repr=False)

    @classmethod
    def of(
        cls, op: Op, weight: np.ndarray, pairs: np.ndarray | None, settings: LayerSettings
    ) -> OnGrid | None:
        """The integers of a weight; None where it has none.

        Where they leave room up to the limit, a whole part of their step is the scale.

        Args:
            op: weighted operator.
            weight: ``[channels, inputs]``.
            pairs: pairs of inputs that must not saturate, as in ``Layer``.
            settings: how the layer is rounded.
        """
        if settings.bits != 8:
            return None
        if _per_channel(op, settings):
            steps = row_steps(weight)
        else:
            step = common_step(weight)
            steps = None if step is None else np.full(len(weight), step)
        if steps is None:
            return None
        reach = np.abs(weight).max(axis=1)
        if pairs is not None:
            reach = np.maximum(reach, pair_reach(weight, pairs) * settings.limit / PAIR_LIMIT)
        widest = weight_reach(reach, per_channel=_per_channel(op, settings)) / settings.limit
        parts = np.maximum(np.floor(steps / widest * (1 + TOLERANCE)), 1.0)
        scale = np.where(steps > 0, steps / parts, widest).astype(np.float32).astype(np.float64)
        integers = np.clip(np.rint(weight / scale[:, None]), -settings.limit, settings.limit)
        return cls(scale, integers)


def best_rounding(
    op: Op,
    target: np.ndarray,
    layers: list[tuple[slice, Layer]],
    settings: LayerSettings,
    grid: OnGrid | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scales ``[channels]`` and integers ``[channels, inputs]`` of the least error.

    With one scale per channel, each channel takes the candidate of its own least error; with one
    scale per weight, all take that of the least sum.

    Args:
        op: weighted operator.
        target: float weight ``[channels, inputs]``.
        layers: the same, in groups.
        settings: how the layer is rounded.
        grid: integers that the float weight consists of, whose scale is then one to choose from.
    """
    candidates = _candidates(op, target, layers, settings)
    if grid is not None:
        candidates.append(grid.scale)
    scales = np.stack(candidates)  # [candidates, channels]
    errors = np.empty(scales.shape)
    trials: list[tuple[slice, _Trials]] = []
    for group, layer in layers:
        kept = None if grid is None else grid.integers[group]
        of_group = _try_scales(layer, scales[:, group], settings, kept)
        errors[:, group] = of_group.errors
        trials.append((group, of_group))
    if not _per_channel(op, settings):
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = errors.argmin(axis=0)  # [channels], numbers of candidates
    integers = np.empty_like(target)
    for group, of_group in trials:
        integers[group] = of_group.integers_of(best[group])
    return scales[best, np.arange(len(target))], integers


@dataclass(frozen=True)
class _Trials:
    """A layer's rows rounded at candidate scales; a trial is one row at one scale.

    Attributes:
        integers: ``[trials, inputs]``.
        numbers: the trial of each candidate and row, int64 ``[candidates, rows]``; candidates that
            give a row the same scale share a trial.
        errors: error of each candidate and row, float64 ``[candidates, rows]``; 0 for a row
            with a single trial.
    """

    integers: np.ndarray
    numbers: np.ndarray
    errors: np.ndarray

    def integers_of(self, candidates: np.ndarray) -> np.ndarray:
        """Integers ``[rows, inputs]`` of one candidate for each row."""
        return np.asarray(self.integers[self.numbers[candidates, np.arange(len(candidates))]])

    def with_last(self, integers: np.ndarray, errors: np.ndarray) -> _Trials:
        """Trials with other integers ``[rows, inputs]`` of the last candidate.

        Args:
            integers: taken in the rows where they have the lesser error.
            errors: error of each row with them, ``[rows]``.
        """
        better = errors < self.errors[-1]
        numbers, least = self.numbers.copy(), self.errors.copy()
        numbers[-1] = np.where(better, len(self.integers) + np.arange(len(better)), numbers[-1])
        least[-1] = np.where(better, errors, least[-1])
        return _Trials(np.concatenate([self.integers, integers]), numbers, least)


def _try_scales(
    layer: Layer, scales: np.ndarray, settings: LayerSettings, kept: np.ndarray | None
) -> _Trials:
    """Round each row at each of its different scales, ``[candidates, rows]``, once.

    Args:
        layer: rows to round.
        scales: ``[candidates, rows]``.
        settings: how the layer is rounded.
        kept: integers to begin with at the last scale as well, ``[rows, inputs]``.
    """
    # The first candidate that gives the row the same scale: [candidates, rows].
    first = (scales[None] == scales[:, None]).argmax(axis=1)
    is_first = first == np.arange(len(scales))[:, None]

    # One trial for each first candidate of a row.
    trial_rows = np.nonzero(is_first)[1]  # [trials]
    trial_scales = scales[is_first]  # [trials]
    trials = layer.take(trial_rows)
    integers = rounded(trials, trial_scales, damping=settings.damping, sweeps=settings.sweeps)

    # Other candidates refer to the trial of the first one.
    numbers = np.zeros(scales.shape, np.int64)
    numbers[is_first] = np.arange(len(trial_rows))
    numbers = np.take_along_axis(numbers, first, 0)

    # Errors where a row has a choice.
    errors = np.zeros(len(trial_rows))
    has_choice = (is_first.sum(axis=0) > 1) | (kept is not None)
    judged = np.flatnonzero(has_choice[trial_rows])
    rounded_weight = integers[judged] * trial_scales[judged, None]
    errors[judged] = trials.take(judged).error(rounded_weight)
    found = _Trials(integers, numbers, errors[numbers])
    if kept is None:
        return found
    # A sweep also brings pairs of them into their bounds.
    descended = rounded(
        layer, scales[-1], damping=settings.damping, sweeps=max(settings.sweeps, 1), start=kept
    )
    return found.with_last(descended, layer.error(descended * scales[-1][:, None]))


def _per_channel(op: Op, settings: LayerSettings) -> bool:
    """Whether each channel has a scale; dense layers have one, as the TFLite specification says."""
    return settings.granularity is Granularity.PER_CHANNEL and op.kind != OpKind.DENSE


def _candidates(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> list[np.ndarray]:
    """Scales to try, float64 ``[channels]``, each exactly a float32."""
    reach = weight_reach(np.abs(target).max(axis=1), per_channel=_per_channel(op, settings))
    factors = [np.full_like(reach, factor) for factor in settings.narrowings]
    pairs = layers[0][1].neighbours
    if pairs is not None:
        # The scale at which no pair saturates by itself, and one halfway to it.
        safe = np.maximum(pair_reach(target, pairs) / reach, 1.0)
        if not _per_channel(op, settings):
            safe = np.full_like(safe, safe.max())
        factors += [safe**0.5, safe]
    widest = [reach * factor / settings.limit for factor in factors]
    return [scale.astype(np.float32).astype(np.float64) for scale in widest]


def weight_params_of(op: Op, scale: np.ndarray, settings: LayerSettings) -> QuantParams:
    """Parameters of a weight from its scales ``[channels]``; one where the layer has one."""
    dtype = IntType.INT8 if settings.bits == 8 else IntType.INT4
    if _per_channel(op, settings):
        return QuantParams(tuple(scale.tolist()), (0,) * len(scale), dtype, op.channel_axis)
    return QuantParams((float(scale[0]),), (0,), dtype)
