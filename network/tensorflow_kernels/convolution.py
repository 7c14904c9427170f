"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import PADDING, Kernel, fused, strides


def laid(op: Op, weight: Any, channels: int = 0) -> Any:
    """Weight of a convolution as a tensor in TensorFlow's order of axes.

    ``channels`` is the number of input channels of a depthwise convolution. The weight is an array,
    or a tensor while TensorFlow traces.
    """
    import tensorflow as tf

    if tf.is_tensor(weight):
        if op.kind == OpKind.DEPTHWISE_CONV:
            return tf.reshape(weight, (*weight.shape[1:3], channels, -1))
        return tf.transpose(weight, (1, 2, 3, 0))
    if op.kind == OpKind.DEPTHWISE_CONV:
        order = np.reshape(weight, (*weight.shape[1:3], channels, -1))  # 1HW(CM) -> HWCM
    else:
        order = np.transpose(weight, (1, 2, 3, 0))  # OHWI -> HWIO
    return tf.convert_to_tensor(np.ascontiguousarray(order))


def _dilations(op: Op) -> list[int]:
    return [int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"])]


def _conv(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    result = tf.nn.conv2d(
        image,
        laid(op, weight),
        strides(op),
        PADDING[int(op.options["padding"])],
        dilations=[1, *_dilations(op), 1],
    )
    return fused(op.fused, tf.nn.bias_add(result, bias))


def _depthwise(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    result = tf.nn.depthwise_conv2d(
        image,
        laid(op, weight, image.shape[-1]),
        strides(op),
        PADDING[int(op.options["padding"])],
        dilations=_dilations(op),
    )
    return fused(op.fused, tf.nn.bias_add(result, bias))


def _dense(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    rows = image if op.options.get("keepNumDims") else tf.reshape(image, (-1, weight.shape[1]))
    return fused(op.fused, tf.matmul(rows, weight, transpose_b=True) + bias)


def _transposed(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias, _ = inputs
    result = tf.nn.conv2d_transpose(
        image,
        np.ascontiguousarray(np.transpose(weight, (1, 2, 0, 3))),  # OHWI -> HWOI
        (int(image.shape[0]), *graph.tensors[op.name].shape[1:]),
        [int(op.options["strideH"]), int(op.options["strideW"])],
        PADDING[int(op.options["padding"])],
    )
    return fused(op.fused, tf.nn.bias_add(result, bias))


KERNELS: dict[str, Kernel] = {
    OpKind.CONV: _conv,
    OpKind.DEPTHWISE_CONV: _depthwise,
    OpKind.DENSE: _dense,
    OpKind.TRANSPOSE_CONV: _transposed,
}
