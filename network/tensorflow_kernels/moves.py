"""Operators that move numbers to other places, axes and sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel, of_whole_batch


def _reshaped(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.reshape(inputs[0], (-1, *graph.tensors[op.name].shape[1:]))


def _pack(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.stack(of_whole_batch(inputs), axis=int(op.options["axis"]))


def _unpack(op: Op, _: Graph, inputs: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    return list(tf.unstack(inputs[0], len(op.outputs), int(op.options["axis"])))


def _sliced(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    value, begin, size = inputs
    return tf.slice(value, begin, np.concatenate([[-1], np.ravel(size)[1:]]))


def _split_unevenly(_: Op, __: Graph, inputs: Sequence[Any]) -> list[Any]:
    import tensorflow as tf

    return list(tf.split(inputs[0], np.ravel(inputs[1]), int(np.ravel(inputs[2])[0])))


def _gather(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    value, indices = inputs
    axis, leading = int(op.options.get("axis", 0)), int(op.options.get("batchDims") or 0)
    if leading:  # stored for a batch of one
        indices = np.repeat(indices, int(value.shape[0]), axis=0)
    return tf.gather(value, indices, axis=axis, batch_dims=leading)


def _broadcast(op: Op, graph: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    value, shape = inputs[0], graph.tensors[op.name].shape
    return tf.broadcast_to(value, (max(int(value.shape[0]), shape[0]), *shape[1:]))


def _of_inputs(compute: Callable[..., Any]) -> Kernel:
    def kernel(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return compute(tf, op, *inputs)

    return kernel


KERNELS: dict[str, Kernel] = {
    OpKind.EXPAND_DIMS: _reshaped,
    OpKind.SQUEEZE: _reshaped,
    OpKind.PACK: _pack,
    OpKind.UNPACK: _unpack,
    OpKind.SLICE: _sliced,
    OpKind.SPLIT_V: _split_unevenly,
    OpKind.GATHER: _gather,
    OpKind.BROADCAST_TO: _broadcast,
    OpKind.REVERSE: _of_inputs(lambda tf, _, value, axes: tf.reverse(value, axes)),
    OpKind.MIRROR_PAD: _of_inputs(
        lambda tf, op, value, widths: tf.pad(
            value, widths, "SYMMETRIC" if op.options.get("mode") else "REFLECT"
        )
    ),
    OpKind.PADV2: _of_inputs(
        lambda tf, _, value, widths, number: tf.pad(
            value, widths, constant_values=float(np.ravel(number)[0])
        )
    ),
    OpKind.DEPTH_TO_SPACE: _of_inputs(
        lambda tf, op, value: tf.nn.depth_to_space(value, int(op.options["blockSize"]))
    ),
    OpKind.SPACE_TO_DEPTH: _of_inputs(
        lambda tf, op, value: tf.nn.space_to_depth(value, int(op.options["blockSize"]))
    ),
}
