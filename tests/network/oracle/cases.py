"""Random cases for the tests of kernels: scales, zero points, values and whole convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from network.affine import IntType, QuantParams, bias_params
from tests.network.oracle.files import Slot, constant

FUSED = st.sampled_from([0, 1, 2, 3])
PADDING = st.sampled_from([0, 1])
SEED = st.integers(0, 2**32 - 1)
SCALE = st.floats(2.0**-10, 0.5, width=32)

some = settings(max_examples=15, derandomize=True, deadline=None, database=None)


Case = tuple[list[Slot], list[Slot], dict[str, Any], np.ndarray]
"""Inputs, outputs and options of an operator, and the values of its activation."""


@st.composite
def params(draw: st.DrawFn, dtype: IntType = IntType.INT8) -> QuantParams:
    return QuantParams((draw(SCALE),), (draw(st.integers(*dtype.limits)),), dtype)


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "int8") -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


@st.composite
def convolutions(draw: st.DrawFn, *, depthwise: bool) -> Case:
    rng = np.random.default_rng(draw(SEED))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 2)),) * 2 if depthwise else (
        draw(st.integers(1, 2)), draw(st.integers(1, 2)))  # fmt: skip
    dilation = draw(st.integers(1, 2)) if stride == (1, 1) else 1
    size = (draw(st.integers(6, 9)), draw(st.integers(6, 9)))
    channels, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    multiplier = draw(st.integers(1, 3))
    groups = 1 if depthwise else draw(st.integers(1, 3))
    outputs = channels * multiplier if depthwise else outputs * groups
    axis = draw(st.sampled_from([None, 3 if depthwise else 0]))
    count = 1 if axis is None else outputs
    scales = tuple(rng.uniform(0.002, 0.02, count))
    weight_params = QuantParams(scales, (0,) * count, axis=axis if count > 1 else None)
    shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
    channels *= groups  # the weights of a group count its own input channels
    weight = rng.integers(-127, 128, shape).astype(np.int8)
    source, result = draw(params()), draw(params())
    bias = rng.integers(-5000, 5000, outputs).astype(np.int32)
    options = {
        "padding": draw(PADDING),
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation,
        "dilationWFactor": dilation,
        "fusedActivationFunction": draw(FUSED),
    }
    extents = [(k - 1) * dilation + 1 for k in kernel]
    out = [
        -(-s // t) if options["padding"] == 0 else (s - e) // t + 1
        for s, t, e in zip(size, stride, extents, strict=True)
    ]
    if depthwise:
        options["depthMultiplier"] = multiplier
    inputs = [Slot((1, *size, channels), params=source), constant(weight, weight_params)]
    inputs.append(constant(bias, bias_params(source, weight_params)))
    outputs_ = [Slot((1, *out, outputs), params=result)]
    return inputs, outputs_, options, values(rng, (1, *size, channels))
