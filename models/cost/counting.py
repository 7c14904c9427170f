"""What a network costs: params, multiply-adds and peak activation memory, layer by layer.

All of it is counted over the built graph, so one count serves every family, every width and size,
and a user's own model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.cost.graph import Shape
from models.cost.keras_graph import graph_of
from models.cost.memory import peak_memory

if TYPE_CHECKING:
    import keras

    from models.spec import ModelSpec


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operator of the exported network, for one image.

    Attributes:
        name: of the Keras layer; batch norm and ReLU after it are in it.
        kind: class of that layer.
        shape: of its output, without the batch.
        params: weights, those of its batch norm included.
        macs: multiply-adds.
        live: elements that are live while it runs, in the order of least peak.
        step: its place in that order, from 0.
    """

    name: str
    kind: str
    shape: Shape
    params: int
    macs: int
    live: int
    step: int


@dataclass(frozen=True)
class Cost:
    """Cost of a network for one image.

    Attributes:
        layers: operators of the exported network in the graph's order.
        params: all weights of the Keras model.
        norm_params: the part that is batch norms: scale, offset, mean and variance a channel.
        macs: multiply-adds of convolutions and dense layers.
        peak: elements that are live at once, at least (the paper's M(G)).
        exact: whether ``peak`` is the minimum over all orders, see ``models.cost.memory``.
    """

    layers: tuple[LayerCost, ...]
    params: int
    norm_params: int
    macs: int
    peak: int
    exact: bool

    @property
    def folded_params(self) -> int:
        """Weights of the exported file: of each batch norm, only an offset a channel is left."""
        return self.params - self.norm_params * 3 // 4

    def to_dict(self, element_bytes: int = 1) -> dict[str, Any]:
        """Plain values for JSON, memory in bytes."""
        return {
            "params": self.params,
            "batch_norm_params": self.norm_params,
            "macs": self.macs,
            "peak_bytes": self.peak * element_bytes,
            "element_bytes": element_bytes,
            "peak_is_least": self.exact,
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "shape": list(layer.shape),
                    "params": layer.params,
                    "macs": layer.macs,
                    "live_bytes": layer.live * element_bytes,
                    "step": layer.step,
                }
                for layer in self.layers
            ],
        }


def cost_of(model: keras.Model) -> Cost:
    """Count a functional or sequential Keras model.

    Multiply-adds are those of convolutions (also depthwise, grouped, separable and transposed
    ones) and dense layers, from the shapes of kernels and outputs; a bias, a norm, a pooling and
    an activation count nothing, as in the papers of these networks.

    Raises:
        UnsupportedError: see ``models.cost.keras_graph.graph_of``.
    """
    graph = graph_of(model)
    peak = peak_memory(graph)
    steps = {position: step for step, position in enumerate(peak.order)}
    layers = tuple(
        LayerCost(
            operator.name,
            operator.kind,
            graph.tensors[operator.outputs[0]],
            operator.params,
            operator.macs,
            live,
            steps[position],
        )
        for position, (operator, live) in enumerate(zip(graph.operators, peak.live, strict=True))
    )
    return Cost(
        layers,
        params=sum(operator.params for operator in graph.operators),
        norm_params=sum(operator.norm_params for operator in graph.operators),
        macs=sum(operator.macs for operator in graph.operators),
        peak=peak.elements,
        exact=peak.exact,
    )


def spec_cost(spec: ModelSpec) -> Cost:
    """Cost of a registered network in the form that is deployed.

    Raises:
        InvalidInputError: a width or size that the network cannot have.
    """
    model = spec.build(spec)
    return cost_of(model if spec.deployed is None else spec.deployed(model))
