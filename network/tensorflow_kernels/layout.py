"""Operators that move numbers: shapes, orders of axes, parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel, fused, of_whole_batch


def _pad(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.pad(inputs[0], inputs[1])


def _reshape(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.reshape(inputs[0], (-1, *graph.tensors[op.name].shape[1:]))


def _transpose(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.transpose(inputs[0], inputs[1])


def _concatenation(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return fused(op.fused, tf.concat(of_whole_batch(inputs), int(op.options["axis"])))


def _split(op: Op, _: Graph, inputs: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    return list(tf.split(inputs[1], len(op.outputs), int(np.ravel(inputs[0])[0])))


def _strided_slice(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, begin, end, strides = inputs
    begin, end = np.array(begin), np.array(end)
    if graph.tensors[op.name].shape[0] == 1:  # all of a batch of one is all of any batch
        begin[0], end[0] = 0, image.shape[0]
    masks = {
        f"{name}_mask": int(op.options.get(f"{key}Mask", 0))
        for name, key in (
            ("begin", "begin"),
            ("end", "end"),
            ("ellipsis", "ellipsis"),
            ("new_axis", "newAxis"),
            ("shrink_axis", "shrinkAxis"),
        )
    }
    return tf.strided_slice(image, begin, end, strides, **masks)


KERNELS: dict[str, Kernel] = {
    OpKind.PAD: _pad,
    OpKind.RESHAPE: _reshape,
    OpKind.TRANSPOSE: _transpose,
    OpKind.CONCATENATION: _concatenation,
    OpKind.SPLIT: _split,
    OpKind.STRIDED_SLICE: _strided_slice,
}
