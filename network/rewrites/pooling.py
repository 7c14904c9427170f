"""Means over small windows, whose rounding in LiteRT leaves the mean of a map shifted.

AVERAGE_POOL_2D keeps the scale of its input, and rounds ties of the stored integers away from zero,
which is not the zero point: every fourth sum of four is a tie, and the map moves by up to an eighth
of a step, at all pixels in one direction. Source: AveragePool of
tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from network.graph import Op
from network.operators import OpKind
from network.rewrites.parts import Parts, Rule

_VALID = 1
_MOST = 16
"""Numbers in a window; in larger ones ties are too rare to shift a map."""


def _weighted_mean(parts: Parts) -> bool:
    """A depthwise convolution with equal weights, which has a scale of its own and hardly a tie.

    Only windows of an even number of pixels, all of them inside the map.
    """
    op = parts.op
    _, rows, columns, channels = parts.tensors[op.inputs[0]].shape
    height, width = (int(op.options[key]) for key in ("filterHeight", "filterWidth"))
    steps = {key: int(op.options[key]) for key in ("strideW", "strideH")}
    count = height * width
    if count % 2 or count > _MOST:
        return False
    inside = (1 + (rows - height) // steps["strideH"], 1 + (columns - width) // steps["strideW"])
    if rows < height or columns < width or parts.tensors[op.name].shape[1:3] != inside:
        return False
    weight = parts.constant("weight", np.full((1, height, width, channels), 1 / count))
    bias = parts.constant("bias", np.zeros(channels))
    options = {
        **parts.fused, **steps, "padding": _VALID, "depthMultiplier": 1,
        "dilationWFactor": 1, "dilationHFactor": 1,
    }  # fmt: skip
    inputs = (op.inputs[0], weight, bias)
    parts.ops.append(
        Op(OpKind.DEPTHWISE_CONV, inputs, op.outputs, options, "DepthwiseConv2DOptions")
    )
    parts.made[op.name] = parts.ops[-1]
    return True


RULES: Mapping[str, Sequence[Rule]] = {OpKind.AVERAGE_POOL: (_weighted_mean,)}
