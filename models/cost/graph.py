"""Operators and the tensors between them, as an exported file has them.

A ``LayerGraph`` is a plain value and knows no SDK. ``models.cost.keras_graph`` makes it of a Keras
model, ``models.cost.counting`` counts over it and ``models.cost.memory`` orders it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import prod

Shape = tuple[int, ...]


class Role(Enum):
    """What a converter may do with an operator."""

    KERNEL = auto()
    """Convolution or dense layer: takes the batch norm and the rectifier after it."""
    ELEMENTWISE = auto()
    """Addition, multiplication or pooling: takes the rectifier after it."""
    NORM = auto()
    RECTIFIER = auto()
    """ReLU or ReLU6: the activations that .tflite operators carry along."""
    OTHER = auto()


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: of the Keras layer that it comes from.
        kind: class of that layer; ``Activation`` for one that a layer applies and no file fuses.
        role: what may be fused with it.
        inputs: indices into ``LayerGraph.tensors``; weights are no tensors here.
        outputs: likewise.
        macs: multiply-adds for one image.
        kernel: shape of its kernel; empty where there is none.
        params: weights, batch norm statistics included.
        norm_params: the part of ``params`` that belongs to batch norms.
        layers: Keras layers in it, in order: with batch norm and rectifier once they are fused.
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
        operators: each after those whose outputs it takes.
        tensors: shapes for one image, the batch left out.
        inputs: indices of the tensors that are given.
        outputs: indices of the tensors that are asked for.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Shape, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def elements(self, tensor: int) -> int:
        """Number of elements of a tensor."""
        return prod(self.tensors[tensor])

    def consumers(self) -> dict[int, tuple[int, ...]]:
        """Positions of the operators that take each tensor, in order."""
        found: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(self.tensors)), ())
        for position, operator in enumerate(self.operators):
            for tensor in dict.fromkeys(operator.inputs):
                found[tensor] += (position,)
        return found

    def producers(self) -> dict[int, int]:
        """Position of the operator that makes each tensor; given ones have none."""
        return {t: p for p, operator in enumerate(self.operators) for t in operator.outputs}


def fused(graph: LayerGraph) -> LayerGraph:
    """Batch norms and rectifiers taken into the operator before them, as converters do.

    An operator is taken in where it is the only one to read that tensor, and the tensor is no
    output of the graph.
    """
    consumers = graph.consumers()
    kept: list[Operator] = []
    maker: dict[int, int] = {}
    for operator in graph.operators:
        source = maker.get(operator.inputs[0]) if operator.inputs else None
        alone = source is not None and len(consumers[operator.inputs[0]]) == 1
        if (
            source is not None
            and alone
            and operator.inputs[0] not in graph.outputs
            and _takes_in(kept[source].role, operator.role)
        ):
            kept[source] = _joined(kept[source], operator)
        else:
            source = len(kept)
            kept.append(operator)
        maker.update(dict.fromkeys(operator.outputs, source))
    return replace(graph, operators=tuple(kept))


def _takes_in(first: Role, second: Role) -> bool:
    if second is Role.NORM:
        return first is Role.KERNEL
    return second is Role.RECTIFIER and first in (Role.KERNEL, Role.ELEMENTWISE, Role.NORM)


def _joined(first: Operator, second: Operator) -> Operator:
    return replace(
        first,
        # What follows a rectifier cannot go in front of it.
        role=Role.OTHER if second.role is Role.RECTIFIER else first.role,
        outputs=second.outputs,
        params=first.params + second.params,
        norm_params=first.norm_params + second.norm_params,
        layers=(*first.layers, *second.layers),
    )
