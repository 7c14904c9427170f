"""One operator of the canonical graph in LiteRT, where TensorFlow has no kernel for it here.

Any operator that the converter writes can be computed so, image by image and without gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import UnsupportedError
from network.graph import Graph, Op
from network.run_litert import network_of

if TYPE_CHECKING:
    import tensorflow as tf


def fits_kernels(graph: Graph, op: Op) -> bool:
    """Whether an operator can run on a whole batch.

    All its activations count images first, and weights, sizes and places are stored.
    """
    if any(
        name and position not in op.data_positions and not graph.is_constant(name)
        for position, name in enumerate(op.inputs)
    ):
        return False
    names = [n for n in (*op.inputs, *op.outputs) if n and not graph.is_constant(n)]
    return all(graph.tensors[name].batched for name in names)


def run_in_litert(op: Op, graph: Graph, inputs: Sequence[Any]) -> list[tf.Tensor]:
    """Compute one operator in LiteRT; arguments and results are those of ``run_op``.

    An activation without a batch axis in the graph, ``[...]``, is ``[batch, ...]`` here.

    Raises:
        UnsupportedError: an operator that LiteRT does not run; names it.
    """
    import tensorflow as tf

    given = dict(zip(op.inputs, inputs, strict=True))
    held = {n: v for n, v in given.items() if n and not graph.is_constant(n)}
    step = network_of(graph, [op], value=lambda name: np.asarray(given[name]))
    types = [graph.tensors[name].dtype for name in op.outputs]

    def compute(*arrays: np.ndarray) -> list[np.ndarray]:
        values = dict(zip(step.sources, map(np.asarray, arrays), strict=True))
        try:
            return step.run(values)
        except (RuntimeError, ValueError) as error:
            raise not_run(op, error) from error

    sources = [held[name] for name in step.sources]
    if tf.executing_eagerly():
        return [tf.constant(result) for result in compute(*map(np.asarray, sources))]
    results = tf.numpy_function(compute, sources, [tf.as_dtype(name) for name in types])
    for result, name in zip(results, op.outputs, strict=True):
        tensor = graph.tensors[name]
        result.set_shape((None, *(tensor.shape[1:] if tensor.batched else tensor.shape)))
    return list(results)


def not_run(op: Op, error: Exception) -> UnsupportedError:
    """Error for an operator that LiteRT does not run."""
    return UnsupportedError(
        "every operator of a network is one that LiteRT runs",
        received=f"{op.kind}, which gives {op.name} ({str(error).strip().splitlines()[0]})",
        remedy="replace that layer",
    )
