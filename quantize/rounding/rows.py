"""The weight of an operator as rows that meet windows of its input, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind


@dataclass(frozen=True)
class Rows:
    """A weight as rows of inputs, and back.

    Attributes:
        op: weighted operator.
        shape: of its weight.
        groups: of a grouped convolution; 1 otherwise.
    """

    op: Op
    shape: tuple[int, ...]
    groups: int = 1

    @classmethod
    def of(cls, op: Op, graph: Graph) -> Rows:
        """The layout of an operator of a graph."""
        shape = graph.weight(op).shape
        if op.kind != OpKind.CONV:
            return cls(op, shape)
        return cls(op, shape, graph.tensors[op.inputs[0]].shape[-1] // shape[-1])

    def to_rows(self, weight: np.ndarray) -> np.ndarray:
        """``[channels, inputs]``, float64."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:
            return np.asarray(weight.reshape(-1, weight.shape[-1]).T, np.float64)
        return np.asarray(weight.reshape(weight.shape[0], -1), np.float64)

    def from_rows(self, rows: np.ndarray) -> np.ndarray:
        """The weight's own shape and order of axes."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:
            return rows.T.reshape(self.shape)
        return rows.reshape(self.shape)

    def parts(self) -> Iterator[tuple[slice, np.ndarray | None]]:
        """Rows that share inputs, with the numbers of these among the operator's windows.

        None stands for all of them, in their order.
        """
        if self.groups == 1:
            yield slice(None), None
            return
        out, height, width, each = self.shape
        index = np.arange(height * width * each * self.groups).reshape(height, width, -1)
        for group in range(self.groups):
            rows = slice(group * out // self.groups, (group + 1) * out // self.groups)
            yield rows, index[:, :, group * each : (group + 1) * each].reshape(-1)

    def whole(self, weight: np.ndarray) -> np.ndarray:
        """Rows over all inputs of the windows: zeros where another group's inputs are."""
        rows = self.to_rows(weight)
        if self.groups == 1 or self.op.kind == OpKind.DEPTHWISE_CONV:
            return rows
        result = np.zeros((len(rows), rows.shape[1] * self.groups))
        for part, index in self.parts():
            assert index is not None
            result[part, index] = rows[part]
        return result
