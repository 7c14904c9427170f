"""The weight of an operator as a matrix of rows, each of which meets windows of the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind

SMALLEST_WEIGHT = 1024
"""Fewest numbers of a weight in int8 beside float activations, as in TensorFlow's converter: of
smaller ones, scales take what the integers save."""


def is_stored_small(graph: Graph, op: Op) -> bool:
    """Whether the weight of an operator is in int8 where activations are float numbers."""
    return op.is_weighted and graph.weight(op).size >= SMALLEST_WEIGHT


@dataclass(frozen=True)
class Rows:
    """Layout of a weight as rows ``[channels, inputs]``, and the way back.

    Attributes:
        op: weighted operator.
        shape: shape of its weight.
        groups: number of groups of a grouped convolution; 1 for any other operator.
    """

    op: Op
    shape: tuple[int, ...]
    groups: int = 1

    @classmethod
    def of(cls, op: Op, graph: Graph) -> Rows:
        """Layout of an operator's weight in a graph."""
        shape = graph.weight(op).shape
        if op.kind != OpKind.CONV:
            return cls(op, shape)
        return cls(op, shape, graph.tensors[op.inputs[0]].shape[-1] // shape[-1])

    def to_rows(self, weight: np.ndarray) -> np.ndarray:
        """The weight as rows, float64 ``[channels, inputs]``."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:  # [1, height, width, channels]
            return np.asarray(weight.reshape(-1, weight.shape[-1]).T, np.float64)
        return np.asarray(weight.reshape(weight.shape[0], -1), np.float64)

    def from_rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows ``[channels, inputs]`` in the weight's own shape and order of axes."""
        if self.op.kind == OpKind.DEPTHWISE_CONV:
            return rows.T.reshape(self.shape)
        return rows.reshape(self.shape)

    def row_groups(self) -> Iterator[tuple[slice, np.ndarray | None]]:
        """Rows that read the same inputs, with the numbers of these among the window's inputs.

        None stands for all of the window's inputs, in their order.
        """
        if self.groups == 1:
            yield slice(None), None
            return
        out, height, width, in_channels = self.shape
        shape = (height, width, in_channels * self.groups)
        numbers = np.arange(np.prod(shape)).reshape(shape)
        for group in range(self.groups):
            rows = slice(group * out // self.groups, (group + 1) * out // self.groups)
            channels = slice(group * in_channels, (group + 1) * in_channels)
            yield rows, numbers[:, :, channels].reshape(-1)

    def full_rows(self, weight: np.ndarray) -> np.ndarray:
        """Rows over all inputs of the windows: zeros for the inputs of other groups."""
        rows = self.to_rows(weight)
        if self.groups == 1 or self.op.kind == OpKind.DEPTHWISE_CONV:
            return rows
        result = np.zeros((len(rows), rows.shape[1] * self.groups))  # [channels, all inputs]
        for group_rows, inputs in self.row_groups():
            assert inputs is not None
            result[group_rows, inputs] = rows[group_rows]
        return result
