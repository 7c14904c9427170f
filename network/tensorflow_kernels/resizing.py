"""Images in other sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel


def _resize(operation: str) -> Kernel:
    def compute(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return getattr(tf.raw_ops, operation)(
            images=inputs[0],
            size=graph.tensors[op.name].shape[1:3],
            align_corners=bool(op.options.get("alignCorners")),
            half_pixel_centers=bool(op.options.get("halfPixelCenters")),
        )

    return compute


KERNELS: dict[str, Kernel] = {
    OpKind.RESIZE_BILINEAR: _resize("ResizeBilinear"),
    OpKind.RESIZE_NEAREST: _resize("ResizeNearestNeighbor"),
}
