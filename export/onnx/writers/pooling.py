"""Pools: means and maxima of windows."""

from __future__ import annotations

from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import (
    window,
)
from network.graph import Op
from network.operators import OpKind


def _pool(op_type: str) -> Writer:
    def write(rendering: Rendering, op: Op) -> None:
        kernel = (int(op.options["filterHeight"]), int(op.options["filterWidth"]))
        image = rendering.read(op, 0, channels_first=True)
        value = rendering.add(
            op_type, [image], f"{op.name}.f", op.name, **window(op, kernel, rendering)
        )
        rendering.set_result(op, value, channels_first=True)

    return write


WRITERS: dict[str, Writer] = {
    OpKind.AVERAGE_POOL: _pool("AveragePool"),
    OpKind.MAX_POOL: _pool("MaxPool"),
}
