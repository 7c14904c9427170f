"""Operators of a network with the sizes of their tensors, before anything has a place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from export.c.windows import Shape, Window, windows_of
from network.graph import Op
from network.operators import OpKind

ALIASES = (OpKind.RESHAPE, OpKind.EXPAND_DIMS, OpKind.SQUEEZE)
"""Operators whose result is the memory of their input."""


@dataclass(frozen=True)
class Layout:
    """Operators of a network and the sizes of their tensors.

    Attributes:
        ops: operators in an order in which they can run.
        shapes: shapes of all tensors by name, for a batch of one.
        constants: names of stored tensors.
        inputs: names of the inputs.
        outputs: names of the outputs.
        means: names of the results of means over all rows and columns.
        element_bytes: bytes of one number.
    """

    ops: tuple[Op, ...]
    shapes: Mapping[str, Shape] = field(repr=False)
    constants: frozenset[str] = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    means: frozenset[str] = frozenset()
    element_bytes: int = 1

    def buffers(self) -> dict[str, str]:
        """Name of the buffer that holds each activation; reshapes share that of their input."""
        names: dict[str, str] = {name: name for name in self.inputs}
        for op in self.ops:
            for name in op.outputs:
                source = op.inputs[0]
                names[name] = names[source] if op.kind in ALIASES and source in names else name
        return names

    def size(self, name: str) -> int:
        """Bytes of a tensor."""
        return math.prod(self.shapes[name]) * self.element_bytes

    def read_by(self, op: Op) -> tuple[str, ...]:
        """Activations that an operator reads, each once."""
        names = (self.from_file(n) for n in op.inputs)
        return tuple(dict.fromkeys(n for n in names if n))

    def from_file(self, name: str) -> str:
        """The name of an activation; empty for a constant or an absent input."""
        return "" if name in self.constants else name

    def height(self, op: Op) -> int:
        """Rows that an operator computes by rows: a mean takes one row of its source at a time."""
        return self.shapes[self.read_by(op)[0] if op.name in self.means else op.name][1]

    def windows(self, op: Op) -> tuple[Window, Window] | None:
        """Windows along rows and columns; None where the kernel needs whole tensors."""
        reads = self.read_by(op)
        shape = self.shapes[op.name]
        if op.name in self.means:
            _, height, width, _ = self.shapes[reads[0]]
            return Window(count=height), Window(count=width)
        if not reads or len(shape) != 4 or len(op.outputs) != 1 or shape[0] != 1:
            return None
        if op.kind in (OpKind.ADD, OpKind.SUB):
            whole = len(op.inputs) == 2 and all(self.shapes.get(n) == shape for n in op.inputs)
            whole = whole and not self.constants.intersection(op.inputs)
            return (Window(count=shape[1]), Window(count=shape[2])) if whole else None
        if len(reads) == 1 and self.elementwise(op):
            return Window(count=shape[1]), Window(count=shape[2])
        weight = self.shapes[op.inputs[1]] if op.is_weighted else None
        return windows_of(op, self.shapes[reads[0]], weight)

    def elementwise(self, op: Op) -> bool:
        """Whether each number of the result depends on one number of the only activation."""
        traits = op.traits
        if traits.weighted or traits.moves or traits.broadcasts or not traits.keeps_channels:
            return op.kind == "QUANTIZE"
        windowed = (OpKind.MEAN, OpKind.AVERAGE_POOL)
        return op.kind not in windowed and self.shapes[op.inputs[0]] == self.shapes[op.name]


def is_image_mean(axes: np.ndarray, shape: Shape) -> bool:
    """Whether axes are the rows and columns of one image ``[1, height, width, channels]``."""
    found = {int(axis) % len(shape) for axis in np.atleast_1d(axes)} if shape else set()
    return len(shape) == 4 and shape[0] == 1 and found == {1, 2}
