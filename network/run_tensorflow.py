"""Run the canonical float graph on batches, operator by operator, with TensorFlow on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import UnsupportedError
from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import Fused, OpKind
from network.run_operator import fits_kernels, run_in_litert

if TYPE_CHECKING:
    import tensorflow as tf

_PADDING = ("SAME", "VALID")
"""``Padding`` of the schema, with the semantics of TensorFlow."""


def run_op(op: Op, graph: Graph, inputs: Sequence[Any]) -> list[tf.Tensor]:
    """Compute one operator: with a kernel of TensorFlow, or in LiteRT where there is none here.

    Args:
        op: operator of ``graph``.
        graph: graph of the operator; only its shapes (of a batch of one) are used.
        inputs: a value for each of ``op.inputs``, None for an absent one; activations
            ``[batch, ...]``, weights in the schema's order of axes.

    Returns:
        A tensor for each of ``op.outputs``, ``[batch, ...]``.

    Raises:
        UnsupportedError: an operator that LiteRT does not run either; names it.
    """
    kernel = KERNELS.get(op.kind)
    if kernel is None or not fits_kernels(graph, op):
        return run_in_litert(op, graph, inputs)
    results = kernel(op, graph, inputs)
    return results if isinstance(results, list) else [results]


def no_integer_form(op: Op) -> UnsupportedError:
    """Error for an operator that the engine has no int8 arithmetic for."""
    return UnsupportedError(
        "an operator without an integer form is one of those that stay in float32",
        received=f"{op.kind}, which gives {op.name}",
        remedy="name it in --keep-float, or use a float16 or dynamic recipe",
    )


def constants(graph: Graph, op: Op, values: Mapping[str, Any]) -> list[Any]:
    """Inputs of an operator: activations from ``values``, stored ones from the graph."""
    return [
        None if not name else values[name] if name in values else graph.value(name)
        for name in op.inputs
    ]


Replacement = Callable[[str, Any], Any]
"""Called with each activation's name and value, the input first; its result replaces the value."""


def forward(graph: Graph, image: Any, replaced: Replacement | None = None) -> tf.Tensor:
    """Run the graph on a batch, eagerly or while TensorFlow traces.

    Args:
        graph: canonical.
        image: float32 tensor ``[batch, height, width, 3]``.
        replaced: called with each activation; its result replaces the activation. None keeps all.

    Returns:
        Scores, float32 ``[batch, classes]``.
    """
    values: dict[str, Any] = {
        graph.input: image if replaced is None else replaced(graph.input, image)
    }
    for op, spent in schedule(graph):
        results = run_op(op, graph, constants(graph, op, values))
        for name, value in zip(op.outputs, results, strict=True):
            values[name] = value if replaced is None else replaced(name, value)
        for name in spent:
            del values[name]
    return values[graph.output]


def run(graph: Graph, images: np.ndarray, replaced: Replacement | None = None) -> np.ndarray:
    """``forward`` on arrays: float32 ``[batch, height, width, 3] -> [batch, classes]``."""
    import tensorflow as tf

    return np.asarray(forward(graph, tf.constant(images), replaced))


def quantized(value: Any, params: QuantParams) -> tf.Tensor:
    """Activations in integers, on all cores: one scale, ties to even.

    This is the one quantization in TensorFlow; in NumPy it is ``QuantParams.quantize``.
    """
    import tensorflow as tf

    low, high = params.dtype.limits
    steps = tf.round(tf.multiply(value, np.float32(1 / params.scale[0]))) + params.zero_point[0]
    return tf.cast(tf.clip_by_value(steps, low, high), params.dtype.value)


def dequantized(integers: Any, params: QuantParams) -> tf.Tensor:
    """Float32 numbers that integers of one scale stand for, on all cores.

    This is the one dequantization in TensorFlow; in NumPy it is ``QuantParams.dequantize``.
    """
    import tensorflow as tf

    return (tf.cast(integers, tf.float32) - params.zero_point[0]) * np.float32(params.scale[0])


def schedule(graph: Graph) -> Iterator[tuple[Op, tuple[str, ...]]]:
    """Operators in order, each with the activations that no later operator reads."""
    last: dict[str, Op] = {}
    for op in graph.ops:
        for name in (*op.inputs, *op.outputs):
            if name and not graph.is_constant(name):
                last[name] = op
    last.pop(graph.output, None)
    for op in graph.ops:
        yield op, tuple(name for name, reader in last.items() if reader is op)


def fused(activation: Fused, value: Any) -> Any:
    """Apply the activation that is fused into an operator."""
    import tensorflow as tf

    low, high = activation.limits
    if activation is Fused.NONE:
        return value
    if (low, high) == (0, 6):
        return tf.nn.relu6(value)  # in one pass over the values
    return tf.nn.relu(value) if high == np.inf else tf.clip_by_value(value, low, high)


def laid(op: Op, weight: Any, channels: int = 0) -> Any:
    """Weight of a convolution as a tensor in TensorFlow's order of axes.

    ``channels`` is the number of input channels of a depthwise convolution.
    """
    import tensorflow as tf

    if op.kind == OpKind.DEPTHWISE_CONV:
        order = np.reshape(weight, (*weight.shape[1:3], channels, -1))  # 1HW(CM) -> HWCM
    else:
        order = np.transpose(weight, (1, 2, 3, 0))  # OHWI -> HWIO
    return tf.convert_to_tensor(np.ascontiguousarray(order))


def _strides(op: Op) -> list[int]:
    return [1, int(op.options["strideH"]), int(op.options["strideW"]), 1]


def _dilations(op: Op) -> list[int]:
    return [int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"])]


def _conv(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    result = tf.nn.conv2d(
        image,
        laid(op, weight),
        _strides(op),
        _PADDING[int(op.options["padding"])],
        dilations=[1, *_dilations(op), 1],
    )
    return fused(op.fused, tf.nn.bias_add(result, bias))


def _depthwise(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    result = tf.nn.depthwise_conv2d(
        image,
        laid(op, weight, image.shape[-1]),
        _strides(op),
        _PADDING[int(op.options["padding"])],
        dilations=_dilations(op),
    )
    return fused(op.fused, tf.nn.bias_add(result, bias))


def _dense(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    image, weight, bias = inputs
    rows = image if op.options.get("keepNumDims") else tf.reshape(image, (-1, weight.shape[1]))
    return fused(op.fused, tf.matmul(rows, weight, transpose_b=True) + bias)


def _binary(operation: str) -> Callable[[Op, Graph, Sequence[Any]], Any]:
    def compute(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return fused(op.fused, getattr(tf, operation)(inputs[0], inputs[1]))

    return compute


def _mean(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    axes = [int(axis) for axis in np.ravel(inputs[1])]
    return tf.reduce_mean(inputs[0], axes, keepdims=bool(op.options.get("keepDims")))


def _pool(operation: str) -> Callable[[Op, Graph, Sequence[Any]], Any]:
    def compute(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        window = [int(op.options["filterHeight"]), int(op.options["filterWidth"])]
        padding = _PADDING[int(op.options["padding"])]
        pool = getattr(tf.nn, operation)
        return fused(op.fused, pool(inputs[0], window, _strides(op)[1:3], padding))

    return compute


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

    return fused(op.fused, tf.concat(list(inputs), int(op.options["axis"])))


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


def _unary(operation: str) -> Callable[[Op, Graph, Sequence[Any]], Any]:
    def compute(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return getattr(tf.nn, operation)(inputs[0])

    return compute


def _hard_swish(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return inputs[0] * tf.nn.relu6(inputs[0] + 3.0) / 6.0


def _softmax(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(inputs[0] * float(op.options.get("beta", 1.0)))


KERNELS: dict[str, Callable[[Op, Graph, Sequence[Any]], Any]] = {
    OpKind.CONV: _conv,
    OpKind.DEPTHWISE_CONV: _depthwise,
    OpKind.DENSE: _dense,
    OpKind.ADD: _binary("add"),
    OpKind.SUB: _binary("subtract"),
    OpKind.MUL: _binary("multiply"),
    OpKind.MEAN: _mean,
    OpKind.AVERAGE_POOL: _pool("avg_pool2d"),
    OpKind.MAX_POOL: _pool("max_pool2d"),
    OpKind.PAD: _pad,
    OpKind.RESHAPE: _reshape,
    OpKind.TRANSPOSE: _transpose,
    OpKind.CONCATENATION: _concatenation,
    OpKind.SPLIT: _split,
    OpKind.STRIDED_SLICE: _strided_slice,
    OpKind.RELU: _unary("relu"),
    OpKind.RELU6: _unary("relu6"),
    OpKind.LOGISTIC: _unary("sigmoid"),
    OpKind.HARD_SWISH: _hard_swish,
    OpKind.SOFTMAX: _softmax,
}
