"""Graph of the layers of a Keras model: operators and tensors as an exported file has them.

A ``LayerGraph`` is a plain value, independent of any SDK. ``models.cost.keras_graph`` makes it
from a Keras model, ``models.cost.counting`` counts its costs and ``models.cost.memory`` orders its
operators. The canonical graph, which is quantized and exported, is ``network.graph.Graph``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import prod

Shape = tuple[int, ...]


class Role(Enum):
    """Role of an operator when a converter fuses operators."""

    KERNEL = auto()
    """Convolution or dense layer: the batch norm and the rectifier after it are fused into it."""
    ELEMENTWISE = auto()
    """Addition, multiplication or pooling: the rectifier after it is fused into it."""
    NORM = auto()
    RECTIFIER = auto()
    """ReLU or ReLU6: the activations that .tflite operators can apply to their output."""
    OTHER = auto()


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: name of the Keras layer it comes from.
        kind: class of that layer; ``Activation`` for an activation that a layer applies itself
            and that no exported file fuses.
        role: role of the operator in fusion.
        inputs: indices of its inputs in ``LayerGraph.tensors``, which has no weights.
        outputs: indices of its outputs in ``LayerGraph.tensors``.
        macs: multiply-adds for one image.
        kernel: shape of its kernel; empty without one.
        params: number of weights, batch norm statistics included.
        norm_params: number of those weights that belong to batch norms.
        layers: names of its Keras layers in order, including a fused batch norm and rectifier.
    """

    name: str
    kind: str
    role: Role
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int = 0
    kernel: Shape = ()
    params: int = 0
    norm_params: int = 0
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerGraph:
    """Operators in an order in which they can run.

    Attributes:
        operators: operators, each after the producers of its inputs.
        tensors: shapes of the tensors for one image, without the batch.
        inputs: indices of the graph's input tensors.
        outputs: indices of the graph's output tensors.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Shape, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def elements(self, tensor: int) -> int:
        """Number of elements of a tensor."""
        return prod(self.tensors[tensor])

    def consumers(self) -> dict[int, tuple[int, ...]]:
        """Positions of the operators that read each tensor, in order."""
        readers: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(self.tensors)), ())
        for position, operator in enumerate(self.operators):
            for tensor in dict.fromkeys(operator.inputs):
                readers[tensor] += (position,)
        return readers

    def producers(self) -> dict[int, int]:
        """Position of the operator that makes each tensor; graph inputs are not in it."""
        return {t: p for p, operator in enumerate(self.operators) for t in operator.outputs}


def fused(graph: LayerGraph) -> LayerGraph:
    """Graph with batch norms and rectifiers fused into the operator before them.

    As in converters, an operator is fused if it is the only reader of the tensor between the two
    and the tensor is not an output of the graph.
    """
    consumers = graph.consumers()
    operators: list[Operator] = []
    producer: dict[int, int] = {}  # tensor -> position in ``operators``
    for operator in graph.operators:
        source = producer.get(operator.inputs[0]) if operator.inputs else None
        if (
            source is not None
            and len(consumers[operator.inputs[0]]) == 1
            and operator.inputs[0] not in graph.outputs
            and _can_fuse(operators[source].role, operator.role)
        ):
            operators[source] = _joined(operators[source], operator)
        else:
            source = len(operators)
            operators.append(operator)
        producer.update(dict.fromkeys(operator.outputs, source))
    return replace(graph, operators=tuple(operators))


def _can_fuse(first: Role, second: Role) -> bool:
    if second is Role.NORM:
        return first is Role.KERNEL
    return second is Role.RECTIFIER and first in (Role.KERNEL, Role.ELEMENTWISE, Role.NORM)


def _joined(first: Operator, second: Operator) -> Operator:
    return replace(
        first,
        # An operator that follows a rectifier cannot be moved in front of it.
        role=Role.OTHER if second.role is Role.RECTIFIER else first.role,
        outputs=second.outputs,
        params=first.params + second.params,
        norm_params=first.norm_params + second.norm_params,
        layers=(*first.layers, *second.layers),
    )
