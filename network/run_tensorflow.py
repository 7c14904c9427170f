"""Run the canonical float graph on batches, operator by operator, with TensorFlow on all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import UnsupportedError
from foundation.tables import joined
from network.affine import QuantParams
from network.graph import Graph, Op
from network.run_operator import fits_kernels, run_in_litert
from network.tensorflow_kernels.common import Kernel

if TYPE_CHECKING:
    import tensorflow as tf

KERNELS: Mapping[str, Kernel] = joined(f"{__package__}.tensorflow_kernels", "KERNELS")
"""Kernel of each kind of operator, from the files of the package."""


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


def forward(
    graph: Graph,
    image: Any,
    replaced: Replacement | None = None,
    stored: Mapping[str, Any] | None = None,
) -> tuple[tf.Tensor, ...]:
    """Run the graph on a batch, eagerly or while TensorFlow traces.

    Args:
        graph: canonical.
        image: float32 tensor ``[batch, height, width, 3]``.
        replaced: called with each activation; its result replaces the activation. None keeps all.
        stored: tensors in the place of weights and biases of the graph, by name.

    Returns:
        Outputs in the graph's order, float32 ``[batch, ...]`` each.
    """
    values: dict[str, Any] = {
        **(stored or {}),
        graph.input: image if replaced is None else replaced(graph.input, image),
    }
    for op, spent in schedule(graph):
        results = run_op(op, graph, constants(graph, op, values))
        for name, value in zip(op.outputs, results, strict=True):
            values[name] = value if replaced is None else replaced(name, value)
        for name in spent:
            del values[name]
    return tuple(values[name] for name in graph.outputs)


def run(graph: Graph, images: np.ndarray, replaced: Replacement | None = None) -> np.ndarray:
    """First output of ``run_outputs``: float32 ``[batch, height, width, 3] -> [batch, ...]``."""
    return run_outputs(graph, images, replaced)[0]


def run_outputs(
    graph: Graph, images: np.ndarray, replaced: Replacement | None = None
) -> tuple[np.ndarray, ...]:
    """``forward`` on arrays: float32 ``[batch, height, width, 3]`` to ``[batch, ...]`` each."""
    import tensorflow as tf

    return tuple(np.asarray(value) for value in forward(graph, tf.constant(images), replaced))


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
    """Operators in order, each with the activations but outputs that no later one reads."""
    last: dict[str, Op] = {}
    for op in graph.ops:
        for name in (*op.inputs, *op.outputs):
            if name and not graph.is_constant(name):
                last[name] = op
    for name in graph.outputs:
        last.pop(name, None)
    for op in graph.ops:
        yield op, tuple(name for name, reader in last.items() if reader is op)
