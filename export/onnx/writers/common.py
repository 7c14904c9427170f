"""Functions that the writers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.onnx.rendering import TO_NCHW, Rendering, Writer
from network.graph import Op

PADDED = "padded"
"""Option of a convolution that pads its input: zeros at the top, left, bottom and right."""


def window(op: Op, kernel: tuple[int, int], rendering: Rendering) -> dict[str, Any]:
    """Kernel, strides, padding and dilations of a convolution or pooling.

    SAME pads ``(out - 1) * stride + (kernel - 1) * dilation + 1 - in`` zeros along an axis;
    of an odd number TensorFlow puts the larger half at the end.
    """
    options = op.options
    strides = [int(options["strideH"]), int(options["strideW"])]
    dilations = [int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))]
    pads = list(options.get(PADDED, (0, 0, 0, 0)))
    sizes = rendering.operand_shape(op, 0)[1:3]
    padded_sizes = [sizes[axis] + pads[axis] + pads[axis + 2] for axis in (0, 1)]
    result_sizes = rendering.result_shape(op)[1:3]
    if int(options["padding"]) == 0:
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            zeros = max((result_sizes[axis] - 1) * strides[axis] + reach - padded_sizes[axis], 0)
            pads[axis] += zeros // 2
            pads[axis + 2] += zeros - zeros // 2
    window: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides, "pads": pads}
    if dilations != [1, 1]:
        window["dilations"] = dilations
    return window


def runs_channels_first(rendering: Rendering, op: Op) -> bool:
    """Whether an operator on several activations runs channels first: all must have four axes."""
    activations = [n for n in op.inputs if not rendering.source.is_constant(n)]
    all_images = all(len(rendering.source.tensors[name].shape) == 4 for name in activations)
    return all_images and any(name in rendering.channels_first for name in activations)


def of_whole_batch(rendering: Rendering, op: Op, position: int, value: str) -> str:
    """A stored operand, whose batch is one, repeated for each example that another operand has."""
    if not rendering.source.is_constant(op.inputs[position]):
        return value
    other = next((n for n in op.inputs if not rendering.source.is_constant(n)), "")
    ends = [rendering.constant(f"batch.{n}", np.array([n], np.int64)) for n in (0, 1)]
    name = f"{op.name}.{position}"
    sizes = rendering.add("Shape", [rendering.float_names[other]], f"{name}.sizes")
    batch = rendering.add("Slice", [sizes, *ends], f"{name}.batch")
    rest = np.array([1] * (len(rendering.operand_shape(op, position)) - 1), np.int64)
    shape = rendering.constant(f"{name}.rest", rest)
    shape = rendering.add("Concat", [batch, shape], f"{name}.shape", axis=0)
    spread = rendering.add("Expand", [value, shape], f"{name}.spread")
    return rendering.requantize(op.name, spread, f"{spread}.dq")


def elementwise(op_type: str) -> Writer:
    """Writer of an elementwise operator of two operands."""

    def write(rendering: Rendering, op: Op) -> None:
        channels_first = runs_channels_first(rendering, op)
        inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
        value = rendering.add(op_type, inputs, f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=channels_first)

    return write


def unary(op_type: str) -> Writer:
    """Writer of an elementwise operator of one operand."""

    def write(rendering: Rendering, op: Op) -> None:
        value = rendering.add(op_type, [rendering.read(op, 0)], f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def attributed(op_type: str, **keys: str) -> Writer:
    """Writer of an elementwise operator with numbers: ONNX's name of each, and the schema's."""

    def write(rendering: Rendering, op: Op) -> None:
        numbers = {name: float(op.options[key]) for name, key in keys.items()}
        value = rendering.add(op_type, [rendering.read(op, 0)], f"{op.name}.f", op.name, **numbers)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def clip(low: float, high: float) -> Writer:
    """Writer of a Clip to two numbers."""

    def write(rendering: Rendering, op: Op) -> None:
        ends = [rendering.constant(f"clip.{n:g}", np.array(n, np.float32)) for n in (low, high)]
        value = rendering.add("Clip", [rendering.read(op, 0), *ends], f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def axis_of(rendering: Rendering, op: Op, axis: int, *, channels_first: bool) -> int:
    """Index in the file of an axis of an operator's result."""
    return axis_in_file(axis, len(rendering.result_shape(op)), channels_first=channels_first)


def axis_in_file(axis: int, rank: int, *, channels_first: bool) -> int:
    """Index in the file of an axis of the canonical graph."""
    axis %= rank
    return TO_NCHW.index(axis) if channels_first and rank == 4 else axis
