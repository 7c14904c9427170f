"""Images in other sizes, and vectors divided by their length."""

from __future__ import annotations

import numpy as np

from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import axis_in_file
from network.graph import Op
from network.operators import OpKind


def resize(mode: str) -> Writer:
    """Writer of RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR; both clamp at the border, as ONNX."""

    def write(rendering: Rendering, op: Op) -> None:
        grid = "asymmetric"
        if op.options.get("alignCorners"):
            grid = "align_corners"
        elif op.options.get("halfPixelCenters"):
            grid = "half_pixel"
        attributes = {"mode": mode, "coordinate_transformation_mode": grid}
        if mode == "nearest":  # TensorFlow Lite: floor(x * s), or round where it aligns or shifts
            attributes["nearest_mode"] = "floor" if grid == "asymmetric" else "round_prefer_ceil"
        image = rendering.read(op, 0, channels_first=True)
        _, height, width, channels = rendering.result_shape(op)
        batch = _batch(rendering, op, image)
        sizes = rendering.constant(
            f"{op.name}.sizes", np.array([channels, height, width], np.int64)
        )
        sizes = rendering.add("Concat", [batch, sizes], f"{op.name}.whole", axis=0)
        value = rendering.add(
            "Resize", [image, "", "", sizes], f"{op.name}.f", op.name, **attributes
        )
        rendering.set_result(op, value, channels_first=True)

    return write


def _batch(rendering: Rendering, op: Op, image: str) -> str:
    """Name of the batch size of a tensor, int64 ``[1]``."""
    ends = [rendering.constant(f"batch.{n}", np.array([n], np.int64)) for n in (0, 1)]
    shape = rendering.add("Shape", [image], f"{op.name}.sizes.in")
    return rendering.add("Slice", [shape, *ends], f"{op.name}.batch")


def _normalize(rendering: Rendering, op: Op) -> None:
    channels_first = op.inputs[0] in rendering.channels_first
    rank = len(rendering.result_shape(op))
    axis = axis_in_file(-1, rank, channels_first=channels_first)
    value = rendering.read(op, 0)
    value = rendering.add("LpNormalization", [value], f"{op.name}.f", op.name, axis=axis, p=2)
    rendering.set_result(op, value, channels_first=channels_first)


WRITERS: dict[str, Writer] = {
    OpKind.L2_NORMALIZATION: _normalize,
    OpKind.RESIZE_BILINEAR: resize("linear"),
    OpKind.RESIZE_NEAREST: resize("nearest"),
}
