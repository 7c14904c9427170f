"""The nodes that Keras layers become in TensorFlow, by the names that TensorFlow gives them.

Names matter: the converter orders operators by the names of nodes (``order``), and tensors of the
canonical graph are named after them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class UnknownPartError(Exception):
    """A layer, an argument or a form of network that is not read here; Keras reads it."""


@dataclass(frozen=True, eq=False)
class Node:
    """One node of TensorFlow's graph.

    Attributes:
        name: full name, such as ``network_1/layer_1/convolution``.
        kind: TensorFlow's operator, such as ``Conv2D``; ``Const`` for a stored value.
        inputs: names of the nodes that it reads; ``name:1`` for the second result of one.
        shape: shape of the first result for a batch of one.
        value: stored value of a constant.
        attributes: attributes of the operator, by names that ``legalizing`` reads.
        results: number of results, which all have the same shape.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    value: np.ndarray | None = field(default=None, repr=False)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    results: int = 1


@dataclass(frozen=True)
class Value:
    """Result of a layer.

    Attributes:
        node: name of the node, ``name:1`` for the second result of one.
        shape: shape for a batch of one.
    """

    node: str
    shape: tuple[int, ...]


@dataclass
class Sketch:
    """TensorFlow's graph of a network, while layers are added.

    Attributes:
        scope: name that stands before those of nodes, with a slash at its end.
        nodes: nodes by name.
        used: how often a name was asked for, in small letters.
    """

    scope: str
    nodes: dict[str, Node] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        """A name that was not given before, as ``tf.Graph.unique_name`` chooses it."""
        key = name.lower()
        count = self.used.get(key, 0)
        self.used[key] = count + 1
        if not count:
            return name
        base = key
        while key in self.used:
            key = f"{base}_{count}"
            count += 1
        self.used[key] = 1
        return f"{name}_{count - 1}"

    def within(self, layer: str) -> Layer:
        """Place of a layer's nodes. Keras enters a scope of this name twice."""
        self.unique(layer)
        return Layer(self, f"{self.scope}{self.unique(layer)}/")

    def add(self, node: Node) -> Value:
        """Add a node.

        Raises:
            UnknownPartError: there is a node of the name, which TensorFlow would number.
        """
        if node.name in self.nodes:
            raise UnknownPartError(f"two nodes {node.name}")
        self.nodes[node.name] = node
        return Value(node.name, node.shape)


@dataclass(frozen=True)
class Layer:
    """Place of the nodes of one layer.

    Attributes:
        sketch: graph of the network.
        prefix: what stands before the names of the nodes.
    """

    sketch: Sketch
    prefix: str

    def node(
        self,
        name: str,
        kind: str,
        inputs: Sequence[Value],
        shape: tuple[int, ...] | None = None,
        **attributes: Any,
    ) -> Value:
        """Add a node; its shape is that of the first input unless it is stated."""
        shape = inputs[0].shape if shape is None else shape
        names = tuple(value.node for value in inputs)
        return self.sketch.add(
            Node(f"{self.prefix}{name}", kind, names, shape, attributes=attributes)
        )

    def constant(self, name: str, value: np.ndarray) -> Value:
        """Add a stored value that the layer's arguments state."""
        return self.sketch.add(Node(f"{self.prefix}{name}", "Const", (), value.shape, value))

    def variable(self, name: str, value: np.ndarray) -> Value:
        """Add a weight: a constant, and the node that reads it."""
        stored = self.constant(f"{name}/ReadVariableOp/resource", value)
        return self.node(f"{name}/ReadVariableOp", "Identity", [stored])
