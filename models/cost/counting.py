"""Cost of a network: params, multiply-adds and peak activation memory, layer by layer.

Costs are counted over the built graph, so that one function serves every family, width and size,
and the user's own models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.cost.graph import LayerGraph, Shape
from models.cost.keras_graph import graph_of
from models.cost.memory import peak_memory

if TYPE_CHECKING:
    import keras

    from models.spec import ModelSpec


@dataclass(frozen=True)
class LayerCost:
    """Cost of one operator of the exported network, for one image.

    Attributes:
        name: name of the Keras layer; the batch norm and ReLU after it are counted with it.
        kind: class of that layer.
        shape: shape of its output, without the batch.
        params: number of weights, those of its batch norm included.
        macs: multiply-adds.
        live: elements that are live while it runs, in the order of least peak memory.
        step: position in that order, from 0.
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
        layers: costs of the exported network's operators, in the order of the graph.
        params: number of weights of the Keras model.
        norm_params: number of weights of batch norms: scale, offset, mean and variance per channel.
        macs: multiply-adds of convolutions and dense layers.
        peak: peak activation memory in elements, the paper's M(G).
        exact: whether ``peak`` is the minimum over all execution orders; False for graphs that are
            too wide to search.
    """

    layers: tuple[LayerCost, ...]
    params: int
    norm_params: int
    macs: int
    peak: int
    exact: bool

    @property
    def folded_params(self) -> int:
        """Number of weights of the exported file, which has one offset per batch norm channel."""
        return self.params - self.norm_params * 3 // 4

    def to_dict(self, element_bytes: int = 1) -> dict[str, Any]:
        """Plain values for JSON, with memory in bytes."""
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

    Multiply-adds are counted for convolutions (including depthwise, grouped, separable and
    transposed ones) and dense layers, from the shapes of kernels and outputs. Biases, norms,
    poolings and activations count as zero, as in the papers of these networks.

    Raises:
        UnsupportedError: a model without a graph, with a free size besides the batch, or with a
            layer whose multiply-adds are not known.
    """
    return graph_cost(graph_of(model))


def graph_cost(graph: LayerGraph) -> Cost:
    """Count a graph whose operators are those of an exported file."""
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
    """Cost of a registered network in its deployed form.

    Raises:
        InvalidInputError: a width or size that the network cannot have.
    """
    model = spec.build(spec)
    return cost_of(model if spec.deployed is None else spec.deployed(model))
