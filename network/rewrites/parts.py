"""What a rule replaces an operator with, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import OpKind

_TABLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    OpKind.ADD: ("AddOptions", {"fusedActivationFunction": 0, "potScaleInt16": True}),
    OpKind.SUB: ("SubOptions", {"fusedActivationFunction": 0, "potScaleInt16": True}),
    OpKind.MUL: ("MulOptions", {"fusedActivationFunction": 0}),
    OpKind.MAXIMUM: ("MaximumMinimumOptions", {}),
    OpKind.MINIMUM: ("MaximumMinimumOptions", {}),
    OpKind.EXP: ("ExpOptions", {}),
    OpKind.ABS: ("AbsOptions", {}),
    OpKind.LEAKY_RELU: ("LeakyReluOptions", {}),
}
"""Name and values of the options table of each kind that has one."""


@dataclass
class Parts:
    """Operators in the place of one.

    Attributes:
        graph: graph of the operator; what was replaced before it is in ``tensors`` and ``made``.
        op: operator to replace.
        tensors: tensors of the graph and of all new operators.
        made: new operators so far, by the names of their results.
        ops: operators that replace this one, in order.
    """

    graph: Graph
    op: Op
    tensors: dict[str, Tensor]
    made: dict[str, Op]
    ops: list[Op] = field(default_factory=list)

    def constant(self, role: str, value: Any) -> str:
        """Store a float32 constant, and return its name."""
        name = f"{self.op.name}_{role}"
        array = np.asarray(value, np.float32)
        self.tensors[name] = Tensor(name, array.shape, array)
        return name

    def add(self, kind: str, role: str, *inputs: str, **options: Any) -> str:
        """Add an elementwise operator, and return the name of its result.

        Args:
            kind: an ``OpKind``.
            role: part of the name; empty for the last operator, which gives the replaced result.
            inputs: names of its operands.
            options: fields of its options table that differ from the usual ones.
        """
        name = f"{self.op.name}_{role}" if role else self.op.name
        shape = np.broadcast_shapes(*(self.tensors[n].shape for n in inputs))
        self.tensors[name] = Tensor(name, shape)
        table, values = _TABLES.get(kind, ("", {}))
        self.ops.append(Op(kind, inputs, (name,), {**values, **options}, table))
        self.made[name] = self.ops[-1]
        return name

    @property
    def fused(self) -> dict[str, int]:
        """Fused activation of the replaced operator, for the last one of the new ones."""
        return {"fusedActivationFunction": int(self.op.options.get("fusedActivationFunction", 0))}

    def producer(self, name: str, *kinds: str) -> Op | None:
        """Operator that computes a tensor; None for one of another kind or with an activation."""
        op = self.made.get(name) or self.graph.producers.get(name)
        if op is None or op.kind not in kinds or op.options.get("fusedActivationFunction"):
            return None
        return op

    def scalar(self, name: str) -> float | None:
        """Value of a constant of one element; None for any other tensor."""
        value = self.tensors[name].value if name else None
        if value is None or value.size != 1 or value.dtype != np.float32:
            return None
        return float(value.reshape(-1)[0])

    def with_scalar(self, op: Op | None) -> tuple[str, float] | None:
        """The other operand of an operator of two, and its constant of one element."""
        if op is None or len(op.inputs) != 2:
            return None
        for name, other in (op.inputs, op.inputs[::-1]):
            number = self.scalar(other)
            if number is not None and self.tensors[name].value is None:
                return name, number
        return None


Rule = Callable[[Parts], bool]
"""Adds the operators that replace one; false, and adds none, where that one stays."""
