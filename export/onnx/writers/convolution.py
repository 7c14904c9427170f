"""Convolutions and matrix products."""

from __future__ import annotations

import numpy as np

from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import (
    window,
)
from network.graph import Op
from network.operators import OpKind


def _conv(rendering: Rendering, op: Op) -> None:
    weight = rendering.value(op, 1)
    kernel = (int(weight.shape[1]), int(weight.shape[2]))
    channels = rendering.operand_shape(op, 0)[-1]
    depthwise = op.kind == OpKind.DEPTHWISE_CONV
    # [1, h, w, o] or [o, h, w, i] -> [o, i, h, w]
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    inputs = [
        rendering.shielded(op, rendering.read(op, 0, channels_first=True)),
        rendering.stored(op.inputs[1], "weight", op, order),
        rendering.stored(op.inputs[2], "bias", op, None),
    ]
    groups = channels if depthwise else channels // weight.shape[-1]
    attributes = window(op, kernel, rendering)
    value = rendering.add("Conv", inputs, f"{op.name}.f", op.name, group=groups, **attributes)
    rendering.set_result(op, value, channels_first=True)


def _dense(rendering: Rendering, op: Op) -> None:
    source = rendering.read(op, 0, channels_first=False)
    if len(rendering.operand_shape(op, 0)) != 2:
        shape = rendering.constant(
            f"{op.name}.rows", np.array([-1, rendering.value(op, 1).shape[1]])
        )
        source = rendering.add("Reshape", [source, shape], f"{op.name}.in")
        source = rendering.requantize(op.inputs[0], source, f"{source}.dq")
    inputs = [
        rendering.shielded(op, source),
        rendering.stored(op.inputs[1], "weight", op, None),
        rendering.stored(op.inputs[2], "bias", op, None),
    ]
    value = rendering.add("Gemm", inputs, f"{op.name}.f", op.name, transB=1)
    if len(rendering.result_shape(op)) != 2:  # [rows, units] -> [b, h, w, units], say
        value = rendering.requantize(op.name, value, f"{op.name}.rows.dq")
        shape = rendering.constant(
            f"{op.name}.shape", np.array([-1, *rendering.result_shape(op)[1:]], np.int64)
        )
        value = rendering.add("Reshape", [value, shape], f"{op.name}.whole")
    rendering.set_result(op, value, channels_first=False)


def _float_dense(rendering: Rendering, op: Op) -> None:
    """Gemm on rows, Conv on the pixels of an image, MatMul on what else has more axes.

    A weight that the network computes is left to MatMul too.
    """
    rank = len(rendering.result_shape(op))
    stored = rendering.source.is_constant(op.inputs[1])
    if stored and rank == 2:
        _dense(rendering, op)
        return
    if stored and rank == 4 and len(rendering.operand_shape(op, 0)) == 4:
        matrix = rendering.value(op, 1)
        filters = rendering.constant(f"{op.name}.weight", matrix.reshape(*matrix.shape, 1, 1))
        inputs = [rendering.read(op, 0, channels_first=True), filters]
        inputs += [rendering.stored(op.inputs[2], "bias", op, None)] if op.inputs[2] else []
        value = rendering.add("Conv", inputs, f"{op.name}.f", op.name, kernel_shape=[1, 1])
        rendering.set_result(op, value, channels_first=True)
        return
    source = rendering.read(op, 0, channels_first=False)
    if rendering.source.is_constant(op.inputs[1]):
        weight = rendering.stored(op.inputs[1], "weight", op, (1, 0))
    else:
        weight = rendering.add(
            "Transpose", [rendering.read(op, 1)], f"{op.name}.weight", perm=[1, 0]
        )
    value = rendering.add("MatMul", [source, weight], f"{op.name}.product", op.name)
    if op.inputs[2]:
        bias = rendering.read(op, 2, channels_first=False)
        value = rendering.add("Add", [value, bias], f"{op.name}.f", f"{op.name}.bias")
    rendering.set_result(op, value, channels_first=False)


def _batch_product(rendering: Rendering, op: Op) -> None:
    sides = []
    for position, key in enumerate(("adjX", "adjY")):
        side = rendering.read(op, position, channels_first=False)
        if op.options.get(key):
            rank = len(rendering.operand_shape(op, position))
            order = [*range(rank - 2), rank - 1, rank - 2]
            side = rendering.add("Transpose", [side], f"{op.name}.{key}", perm=order)
            side = rendering.requantize(op.inputs[position], side, f"{side}.dq")
        sides.append(side)
    value = rendering.add("MatMul", sides, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=False)


def _transposed_conv(rendering: Rendering, op: Op) -> None:
    """TRANSPOSE_CONV: image, weight ``[out, h, w, in]``, bias; padding as TensorFlow counts it."""
    weight = rendering.value(op, 1)
    sizes, result_sizes = rendering.operand_shape(op, 0)[1:3], rendering.result_shape(op)[1:3]
    strides = [int(op.options["strideH"]), int(op.options["strideW"])]
    pads, extra = [0, 0, 0, 0], [0, 0]
    for axis in (0, 1):
        # There are (in - 1) * stride + kernel results; those beyond the stored size are cut off.
        results = (sizes[axis] - 1) * strides[axis] + weight.shape[1 + axis]
        if int(op.options["padding"]) == 0:
            count = -(-result_sizes[axis] // strides[axis])
            zeros = (count - 1) * strides[axis] + weight.shape[1 + axis] - result_sizes[axis]
            pads[axis] = max(zeros, 0) // 2
        surplus = results - result_sizes[axis] - pads[axis]
        pads[axis + 2], extra[axis] = max(surplus, 0), max(-surplus, 0)
    inputs = [
        rendering.shielded(op, rendering.read(op, 0, channels_first=True)),
        rendering.stored(op.inputs[1], "weight", op, (3, 0, 1, 2)),
        rendering.stored(op.inputs[2], "bias", op, None),
    ]
    value = rendering.add(
        "ConvTranspose",
        inputs,
        f"{op.name}.f",
        op.name,
        kernel_shape=list(weight.shape[1:3]),
        strides=strides,
        pads=pads,
        output_padding=extra,
    )
    rendering.set_result(op, value, channels_first=True)


WRITERS: dict[str, Writer] = {
    OpKind.CONV: _conv,
    OpKind.DEPTHWISE_CONV: _conv,
    OpKind.DENSE: _dense,
    OpKind.BATCH_MATMUL: _batch_product,
    OpKind.TRANSPOSE_CONV: _transposed_conv,
}


FLOAT_WRITERS: dict[str, Writer] = {
    OpKind.DENSE: _float_dense,
}
