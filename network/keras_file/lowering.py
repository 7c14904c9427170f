"""The layers of a network as TensorFlow's nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from network.graph import INPUT_NAME
from network.keras_file import plain, weighted
from network.keras_file.arguments import check_arguments
from network.keras_file.config import LayerEntry, NetworkConfig
from network.keras_file.nodes import Layer, Node, Sketch, UnknownPartError, Value

_ROWS = weighted.ROWS | plain.ROWS


def lowered(
    network: NetworkConfig, weights: Mapping[str, Sequence[np.ndarray]]
) -> tuple[dict[str, Node], tuple[Value, ...]]:
    """TensorFlow's nodes of a network, and its outputs.

    Args:
        network: layers in the order in which they run.
        weights: float32 weights by layer, in Keras's order.

    Raises:
        UnknownPartError: a layer, or an argument, that is not read here.
    """
    sketch = Sketch(f"{network.name}_1/")
    shape = _input_shape(network.input)
    image = sketch.add(Node(INPUT_NAME, "Placeholder", (), shape))
    results: dict[tuple[str, int], Value] = {(network.input.name, 0): image}
    for entry in network.layers:
        row = _ROWS.get(entry.kind)
        if row is None or (entry.numbers and not row.numbers):
            raise UnknownPartError(entry.kind)
        check_arguments(entry.config, row.reads)
        inputs = [results[source] for source in entry.inputs]
        layer = sketch.within(entry.name) if row.scoped else Layer(sketch, sketch.scope)
        made = row.lower(layer, entry, inputs, list(weights.get(entry.name, ())))
        values = made if isinstance(made, tuple) else (made,)
        results |= {(entry.name, number): value for number, value in enumerate(values)}
    return sketch.nodes, tuple(results[output] for output in network.outputs)


def _input_shape(entry: LayerEntry) -> tuple[int, ...]:
    check_arguments(
        entry.config, frozenset({"batch_shape", "sparse", "ragged", "optional", "batch_size"})
    )
    if any(entry.config.get(key) for key in ("sparse", "ragged", "optional")):
        raise UnknownPartError("a sparse or optional input")
    batch, *sides = entry.config["batch_shape"]
    if batch not in (None, 1) or not all(isinstance(n, int) and n > 0 for n in sides):
        raise UnknownPartError("an input of a free size")
    return (1, *sides)
