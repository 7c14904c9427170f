"""One weighted operator: from its float weight to integers, scales and a bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from network.affine import QuantParams, bias_params, quantize_bias, widened_for_bias
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.moments import Moments
from quantize.rounding.rows import Rows
from quantize.rounding.scales import OnGrid, best_rounding, weight_params_of
from quantize.rounding.second_order import Layer, damped, neighbours
from quantize.settings import WeightRange

RIDGE = 1e-2
"""Share of the mean variance that holds a refit to the float weight."""

LARGEST_INPUTS_PER_POSITION = 16
"""A layer is refitted where it has fewer inputs than this for each position of half of the images;
with more, the other half would take next to nothing of the step (a last dense layer has one
position per image)."""


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
