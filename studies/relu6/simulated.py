"""Networks with rounded weights and activations, run in float arithmetic.

Sums are not rounded, so the answers are those of an int8 file except for the rounding of single
sums; ``studies.relu6.files`` measures the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from network.affine import weight_params
from network.graph import Graph, Op
from network.operators import OpKind
from network.run_tensorflow import forward, run
from quantize.ranges.observers import RangeObserver, RangeState
from quantize.settings import Granularity
from studies.relu6.grid import Grid

BATCH = 250
SAMPLE = 2**17
"""Largest number of values that one batch of an activation adds to its histogram."""

WEIGHT_BITS = 8


def batches(images: np.ndarray, size: int = BATCH) -> Iterator[np.ndarray]:
    """Images, float32 ``[n, h, w, 3]``, in batches of at most ``size``."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def scores(
    graph: Graph, images: np.ndarray, rounded: Callable[[str, Any], Any] | None
) -> np.ndarray:
    """Scores of any number of images: ``[n, h, w, 3] -> [n, classes]``."""
    return np.concatenate([run(graph, batch, rounded) for batch in batches(images)])


def weight_axis(op: Op, granularity: Granularity) -> int | None:
    """Axis of a weight's scales; dense layers have one scale in every .tflite file."""
    if granularity is Granularity.PER_TENSOR or op.kind == OpKind.DENSE:
        return None
    return op.channel_axis


def with_rounded_weights(graph: Graph, granularity: Granularity) -> Graph:
    """Graph with weights rounded to 8 bits, and unchanged biases."""
    values = {}
    for op in graph.weighted:
        weight = graph.weight(op)
        params = weight_params(weight, axis=weight_axis(op, granularity), bits=WEIGHT_BITS)
        values[op.inputs[1]] = params.round_trip(weight)
    return graph.with_values(values)


class Simulator:
    """A network to run with many sets of weights and grids, several times as fast as by ``scores``.

    TensorFlow traces it once for each choice of activations.

    Args:
        graph: graph whose operators all others have that are run.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._stored = tuple(n for op in graph.weighted for n in op.inputs[1:] if n)
        self._traced: dict[tuple[str, ...], Callable[[Any, Any, Any], Any]] = {}

    def scores(self, graph: Graph, images: np.ndarray, grids: Mapping[str, Grid]) -> np.ndarray:
        """``scores`` with ``rounding(grids)``: ``[n, h, w, 3] -> [n, classes]``.

        Args:
            graph: the operators of this network, with weights that are rounded already.
            images: float32 ``[n, h, w, 3]``.
            grids: grids of the activations.
        """
        import tensorflow as tf

        names = tuple(grids)
        if names not in self._traced:
            self._traced[names] = self._trace(names)
        rows = [[1 / grid.scale, grid.first, grid.last, grid.scale] for grid in grids.values()]
        table = tf.constant(np.asarray(rows, np.float32))
        stored = {name: tf.constant(graph.value(name)) for name in self._stored}
        step = self._traced[names]
        parts = [np.asarray(step(tf.constant(part), table, stored)) for part in batches(images)]
        return np.concatenate(parts)

    def _trace(self, names: tuple[str, ...]) -> Callable[[Any, Any, Any], Any]:
        import tensorflow as tf

        places = {name: place for place, name in enumerate(names)}

        def step(images: Any, table: Any, stored: Any) -> Any:
            def rounded(name: str, value: Any) -> Any:
                if name not in places:
                    return value
                inverse, first, last, scale = tf.unstack(table[places[name]])
                return tf.clip_by_value(tf.round(value * inverse), first, last) * scale

            return forward(self._graph, images, rounded, stored)[0]

        shape = self._graph.tensors[self._graph.input].shape[1:]
        return tf.function(  # type: ignore[no-any-return]
            step,
            autograph=False,  # no branch or loop depends on a tensor
            input_signature=[
                tf.TensorSpec((None, *shape), tf.float32),
                tf.TensorSpec((len(names), 4), tf.float32),
                {
                    name: tf.TensorSpec(self._graph.value(name).shape, tf.float32)
                    for name in self._stored
                },
            ],
        )


def rounding(grids: Mapping[str, Grid]) -> Callable[[str, Any], Any]:
    """Function that rounds activations to their grids, for ``network.run_tensorflow.forward``."""

    def rounded(name: str, value: Any) -> Any:
        grid = grids.get(name)
        return value if grid is None else grid.rounded(value)

    return rounded


def in_half_precision(_: str, value: Any) -> Any:
    """An activation rounded to float16: ties to even, infinity beyond 65,504."""
    import tensorflow as tf

    return tf.cast(tf.cast(value, tf.float16), tf.float32)


def with_half_weights(graph: Graph) -> Graph:
    """Graph whose weights and biases are float16 numbers."""
    names = {name for op in graph.weighted for name in op.inputs[1:] if name}
    return graph.with_values(
        {name: graph.value(name).astype(np.float16).astype(np.float32) for name in names}
    )


def observed(graph: Graph, images: np.ndarray) -> dict[str, RangeState]:
    """Histogram and range of every activation, observed batch by batch.

    Args:
        graph: canonical.
        images: float32 ``[n, h, w, 3]``.
    """
    observers = {name: RangeObserver(name, sample=SAMPLE) for name in graph.activations}

    def record(name: str, value: Any) -> Any:
        observers[name].update(np.asarray(value))
        return value

    for batch in batches(images):
        run(graph, batch, record)
    return {name: observer.state for name, observer in observers.items()}
