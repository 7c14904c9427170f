"""The gain of the last layers, set back to 1.

A layer that is fitted to noisy inputs gives outputs that are too small: least squares shrinks them
by the share of the noise (attenuation: Fuller 1987, Measurement Error Models, section 1.1). Inside
of a network the next layer takes that up; behind the last one nothing does, and all scores stand
nearer to their means than those of the float network. A class whose mean is low, as every class of
a segmenter is beside the ground, then loses decisions.

The gain of the outputs on the images of the plan is

    g = sum over channels of cov(float, quantized) / sum over channels of var(float)

in which the noise of the quantized outputs cancels. The scales of the weights are divided by it,
the integers stay, and the bias gives each channel the mean of the float network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from network.affine import QuantParams, bias_params, quantize_bias, widened_for_bias
from network.graph import Graph, Op
from network.operators import Fused
from network.run_litert import network_of, rounded_network
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.ranges.float_pass import CalibrationImages, checked, in_small_batches

LEAST_GAIN = 0.9
"""Smaller gains are no shrinkage by noise, but ranges that are cut: scales would not mend them. Nor
are gains above its inverse taken."""


def last_layers(graph: Graph) -> frozenset[str]:
    """Names of the weighted operators that no other one follows, and that cut nothing off.

    Outputs of a single channel are left out: a number's least squared error is what its user wants,
    and no other channel decides with it.
    """
    followed: set[str] = set()  # activations that a weighted operator computes something from
    for op in reversed(graph.ops):
        if op.is_weighted or followed.intersection(op.outputs):
            followed.update(op.inputs)
    return frozenset(
        op.name
        for op in graph.weighted
        if op.name not in followed
        and op.fused == Fused.NONE
        and graph.tensors[op.name].shape[-1] > 1
        and graph.sole_reader(op.inputs[1]) is op
        and graph.sole_reader(op.inputs[2]) is op
    )


def output_sums(exact: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Count and sums of f, q, f f and f q for each channel; those of disjoint images add up.

    Args:
        exact: outputs f of the float network, float32 ``[batch, ..., channels]``.
        found: outputs q of the quantized network, float32.

    Returns:
        float64 ``[5, channels]``.
    """
    f = exact.reshape(-1, exact.shape[-1]).astype(np.float64)
    q = found.reshape(-1, found.shape[-1]).astype(np.float64)
    count = np.full(f.shape[1], len(f), np.float64)
    return np.stack([count, f.sum(0), q.sum(0), (f * f).sum(0), (f * q).sum(0)])


def unshrunk(
    op: Op,
    source: QuantParams,
    constants: tuple[IntegerConstant, IntegerConstant],
    sums: np.ndarray,
) -> tuple[IntegerConstant, IntegerConstant]:
    """Weight and bias of a layer whose outputs have the gain 1 and the means of the float network.

    Args:
        op: weighted operator without a fused activation.
        source: parameters of its input.
        constants: weight and bias.
        sums: ``output_sums`` of the images, added up.

    Returns:
        Both with other scales and another bias; as they are where the images tell nothing.
    """
    weight, bias = constants
    count, float_mean, mean = sums[0], sums[1] / sums[0], sums[2] / sums[0]
    variance = float((sums[3] / count - float_mean**2).sum())
    covariance = float((sums[4] / count - float_mean * mean).sum())
    if variance <= 0 or not LEAST_GAIN <= covariance / variance <= 1 / LEAST_GAIN:
        return constants
    gain = covariance / variance
    params = replace(weight.params, scale=tuple(scale / gain for scale in weight.params.scale))
    value = (float_mean - (mean - bias.to_float()) / gain).astype(np.float32)
    if widened_for_bias(params, value, source) != params:
        return constants
    of_bias = bias_params(source, params)
    return (
        IntegerConstant(params, weight.integers),
        IntegerConstant(of_bias, quantize_bias(value, of_bias, op.name)),
    )


def centred(
    graph: Graph,
    params: Mapping[str, QuantParams],
    constants: Mapping[str, IntegerConstant],
    images: CalibrationImages,
) -> dict[str, IntegerConstant]:
    """Weights and biases of the last layers, whose gain and means all calibration images set.

    Args:
        graph: canonical, equalized.
        params: parameters of activations, by name.
        constants: integers of weights and biases, by name; last layers without stay in float.
        images: every calibration image.

    Raises:
        InvalidInputError: images of another shape, or with NaN.
    """
    names = last_layers(graph)
    last = [op for op in graph.weighted if op.name in names and op.inputs[1] in constants]
    if not last:
        return {}
    exact = replace(graph, outputs=tuple(op.name for op in last))
    values = {name: constant.to_float() for name, constant in constants.items()}
    networks = (
        network_of(exact, exact.ops, results=exact.outputs),
        rounded_network(exact.with_values(values), params),
    )

    def sums_of(batch: np.ndarray) -> list[np.ndarray]:
        wanted, found = (network.run({graph.input: batch}) for network in networks)
        return [output_sums(*pair) for pair in zip(wanted, found, strict=True)]

    read = checked(images.batches(), graph.tensors[graph.input].shape[1:])
    small = (part for batch in read for part in in_small_batches(batch))
    sums = [np.zeros((5, graph.tensors[op.name].shape[-1])) for op in last]
    for of_batch in in_parallel(sums_of, small):
        for total, part in zip(sums, of_batch, strict=True):
            total += part
    result: dict[str, IntegerConstant] = {}
    for op, total in zip(last, sums, strict=True):
        both = op.inputs[1:3]
        before = (constants[both[0]], constants[both[1]])
        after = unshrunk(op, params[op.inputs[0]], before, total)
        result.update(zip(both, after, strict=True))
    return result
