"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import axis_in_file
from network.graph import Op
from network.operators import OpKind

_SPATIAL = [1, 2]


def _reduction(op_type: str, pooling: str = "") -> Writer:
    def write(rendering: Rendering, op: Op) -> None:
        rank = len(rendering.operand_shape(op, 0))
        axes = sorted(int(axis) % rank for axis in np.ravel(rendering.value(op, 1)))
        keep = bool(op.options.get("keepDims"))
        # The remaining axes must be in the same order in either layout.
        either_layout = rank == 4 and (keep or axes in (_SPATIAL, [3], [1, 2, 3]))
        if pooling and rank == 4 and axes == _SPATIAL:
            value = rendering.add(
                pooling, [rendering.read(op, 0, channels_first=True)], f"{op.name}.f", op.name
            )
            if not keep:
                value = rendering.requantize(op.name, value, f"{op.name}.pool")
                value = rendering.add("Flatten", [value], f"{op.name}.flat")
            rendering.set_result(op, value, channels_first=keep)
            return
        channels_first = either_layout and op.inputs[0] in rendering.channels_first
        value = rendering.read(op, 0, channels_first=channels_first)
        file_axes = sorted(axis_in_file(axis, rank, channels_first=channels_first) for axis in axes)
        attributes: dict[str, Any] = {"keepdims": int(keep)}
        inputs = [value]
        if op_type == "ReduceSum":
            inputs.append(rendering.constant(f"{op.name}.axes", np.array(file_axes, np.int64)))
        else:
            attributes["axes"] = file_axes
        value = rendering.add(op_type, inputs, f"{op.name}.f", op.name, **attributes)
        rendering.set_result(op, value, channels_first=channels_first)

    return write


WRITERS: dict[str, Writer] = {
    OpKind.MEAN: _reduction("ReduceMean", "GlobalAveragePool"),
    OpKind.REDUCE_MAX: _reduction("ReduceMax", "GlobalMaxPool"),
    OpKind.REDUCE_MIN: _reduction("ReduceMin"),
}

FLOAT_WRITERS: dict[str, Writer] = {
    "REDUCE_PROD": _reduction("ReduceProd"),
    "SUM": _reduction("ReduceSum"),
}
