"""What is known of a class of layers: the nodes that it becomes, and the arguments it may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from network.keras_file.config import LayerEntry
from network.keras_file.nodes import Layer, UnknownPartError, Value

Lowering = Callable[[Layer, LayerEntry, list[Value], list[np.ndarray]], Value | tuple[Value, ...]]


@dataclass(frozen=True)
class Row:
    """A class of layers.

    Attributes:
        lower: (place of the nodes, layer, results that it reads, weights) -> its result or results;
            raises UnknownPartError for a form that is not known.
        reads: names of the arguments that ``lower`` looks at, or that change nothing.
        scoped: whether Keras enters a scope of the layer's name; operations have none.
        numbers: whether it may be called with numbers beside results.
    """

    lower: Lowering
    reads: frozenset[str] = frozenset()
    scoped: bool = True
    numbers: bool = False


def one(inputs: list[Value], rank: int) -> Value:
    """The only input of a layer.

    Raises:
        UnknownPartError: several inputs, or one of another rank.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != rank:
        raise UnknownPartError("the inputs of a layer")
    return inputs[0]
