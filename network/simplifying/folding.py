"""Batch norms and activations that stand alone, folded into the operator before them.

A convolution or matrix product is linear, so that for a scale s and an offset t of each channel

    (w * x + b) s + t  =  (w s) * x + (b s + t)

TensorFlow's converter does this; files of other tools have the products and sums as operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import Fused, OpKind

_FUSABLE = {"RELU": Fused.RELU, "RELU6": Fused.RELU6, "RELU_N1_TO_1": Fused.RELU_N1_TO_1}
_TAKES_ACTIVATION = frozenset(
    {
        OpKind.CONV,
        OpKind.DEPTHWISE_CONV,
        OpKind.DENSE,
        OpKind.ADD,
        OpKind.SUB,
        OpKind.MUL,
        OpKind.AVERAGE_POOL,
        OpKind.MAX_POOL,
    }
)
"""Operators with a fused activation in their options."""


def folded(graph: Graph) -> Graph:
    """Graph whose products and sums by channel, and activations, are in the operator before."""
    return _Folding(graph).done()


@dataclass
class _Folding:
    """A graph while operators are folded.

    Attributes:
        graph: before.
        tensors: tensors so far.
        ops: operators so far by the name of their result, in order.
    """

    graph: Graph
    tensors: dict[str, Tensor] = field(init=False)
    ops: dict[str, Op] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.tensors)

    def done(self) -> Graph:
        """Graph after every operator was looked at once, in order."""
        for op in self.graph.ops:
            before = self._before(op)
            joined = None if before is None else self._joined(before, op)
            if before is not None and joined is not None:
                del self.ops[before.name]
            self.ops[op.name] = joined or op
        if len(self.ops) == len(self.graph.ops):
            return self.graph
        return replace(self.graph, tensors=self.tensors).pruned(self.ops.values())

    def _before(self, op: Op) -> Op | None:
        """Operator whose only reader is this one, by its only activation; None without one."""
        read = [name for name in op.inputs if name and self.tensors[name].value is None]
        if len(read) != 1 or len(op.outputs) != 1:
            return None
        before = self.ops.get(read[0])
        alone = len(self.graph.readers[read[0]]) == 1 and read[0] not in self.graph.outputs
        fits = before is not None and len(before.outputs) == 1 and before.fused is Fused.NONE
        same = self.tensors[read[0]].shape == self.tensors[op.name].shape
        return before if alone and fits and same else None

    def _joined(self, before: Op, op: Op) -> Op | None:
        """``before`` with ``op`` in it, under the name of the latter; None if that cannot be."""
        if op.kind in _FUSABLE and before.kind in _TAKES_ACTIVATION:
            code = list(Fused).index(_FUSABLE[op.kind])
            return _renamed(before, op, self.tensors, code)
        change = _CHANGES.get(op.kind)
        if not before.is_weighted or change is None or len(op.inputs) != 2:
            return None
        if any(not n or self.tensors[n].value is None for n in before.inputs[1:]):
            return None
        first = op.inputs[0] == before.name
        value = self.tensors[op.inputs[1] if first else op.inputs[0]].value
        weight, bias = (self.tensors[name].value for name in before.inputs[1:3])
        assert value is not None
        assert weight is not None
        assert bias is not None
        channels = weight.shape[before.channel_axis]
        if value.dtype != np.float32 or not (
            value.size == 1 or (value.size == channels and value.shape[-1] == channels)
        ):
            return None
        scale, offset = change(value.reshape(-1), first)
        if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            return None
        along = [1] * weight.ndim
        along[before.channel_axis] = -1
        scale = np.broadcast_to(scale, channels).astype(np.float32)
        joined = _renamed(
            before, op, self.tensors, int(op.options.get("fusedActivationFunction", 0))
        )
        self._store(joined.inputs[1], weight * scale.reshape(along))
        self._store(joined.inputs[2], bias * scale + offset)
        return joined

    def _store(self, name: str, value: np.ndarray) -> None:
        self.tensors[name] = Tensor(name, value.shape, value.astype(np.float32))


def _renamed(before: Op, op: Op, tensors: dict[str, Tensor], activation: int) -> Op:
    """``before`` that gives the result of ``op``, its constants under the new name."""
    inputs = list(before.inputs)
    if before.is_weighted:
        for position, role in ((1, "weight"), (2, "bias")):
            if position < len(inputs) and inputs[position] == f"{before.name}.{role}":
                inputs[position] = f"{op.name}.{role}"
                old = tensors[before.inputs[position]]
                tensors[inputs[position]] = replace(old, name=inputs[position])
    options = {**before.options, "fusedActivationFunction": activation}
    return replace(before, inputs=tuple(inputs), outputs=op.outputs, options=options)


def _product(value: np.ndarray, _: bool) -> tuple[np.ndarray, np.ndarray]:
    return value, np.zeros(1, np.float32)


def _quotient(value: np.ndarray, first: bool) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (1 / value if first else np.full(1, np.nan)), np.zeros(1, np.float32)


def _sum(value: np.ndarray, _: bool) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(1, np.float32), value


def _difference(value: np.ndarray, first: bool) -> tuple[np.ndarray, np.ndarray]:
    one = np.ones(1, np.float32)
    return (one, -value) if first else (-one, value)


_CHANGES: dict[str, Callable[[np.ndarray, bool], tuple[np.ndarray, np.ndarray]]] = {
    "ADD": _sum,
    "DIV": _quotient,
    "MUL": _product,
    "SUB": _difference,
}
"""Scale and offset of each channel, from the constant and whether it is the second operand."""
