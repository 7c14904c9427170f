"""The axis of the batch, which a file of a batch of one may leave out or use for something else.

Everything behind the canonical graph takes the first axis for the batch: images run one by one, and
files with a free batch are written. A tensor of another first axis gets one in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from foundation.errors import UnsupportedError
from network.graph import Graph, Op, Tensor
from network.idioms import TILE
from network.operators import OpKind

_MOVES = (OpKind.RESHAPE, OpKind.EXPAND_DIMS, OpKind.SQUEEZE)
"""Operators that only name other axes."""

_RIGHT_ALIGNED = (OpKind.BATCH_MATMUL, OpKind.SOFTMAX, "LOG_SOFTMAX", OpKind.L2_NORMALIZATION)
"""Operators that count their axes from the last one."""


def with_batch_axis(graph: Graph) -> Graph:
    """Graph whose activations all have the batch as their first axis.

    Args:
        graph: as read from a file with a batch of one.

    Returns:
        The graph; where an activation had another first axis, operators on it have shifted axes,
        and reshapes lead to it and back.

    Raises:
        UnsupportedError: an operator on images of which the network makes several out of one.
    """
    if all(_has_batch(graph, name) for name in graph.activations):
        return graph
    return _Lifting(graph).graph()


def _has_batch(graph: Graph, name: str) -> bool:
    """Whether the first axis is that of the batch; a number of all examples together has none."""
    return graph.tensors[name].shape[:1] in ((1,), ())


@dataclass
class _Lifting:
    """A graph while its operators get the axis.

    Attributes:
        source: graph as read.
        tensors: tensors so far.
        ops: operators so far.
        lifted: name with the additional axis of each activation that has it.
    """

    source: Graph
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    lifted: dict[str, str] = field(default_factory=dict)

    def graph(self) -> Graph:
        self.tensors = dict(self.source.tensors)
        for op in self.source.ops:
            self._add(op)
        return replace(self.source, ops=tuple(self.ops), tensors=self.tensors).pruned(self.ops)

    def _add(self, op: Op) -> None:
        reads = [n for n in op.inputs if n and not self.source.is_constant(n)]
        results = [name for name in op.outputs if not _has_batch(self.source, name)]
        if not results and not any(name in self.lifted for name in reads):
            self.ops.append(op)
        elif op.kind in _MOVES:
            self._move(op)
        elif op.kind == OpKind.DENSE:
            self._dense(op)
        else:
            self._shifted(op)

    def _move(self, op: Op) -> None:
        """A reshape between activations with the axis or without it."""
        source = self.lifted.get(op.inputs[0], op.inputs[0])
        self._reshape(source, self._named(op.name), self._shape(op.name))

    def _named(self, name: str) -> str:
        """Enter an activation without a batch as one that has the axis."""
        if not _has_batch(self.source, name):
            self.lifted[name] = name
        return name

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.source.tensors[name].shape
        return shape if _has_batch(self.source, name) else (1, *shape)

    def _reshape(self, source: str, result: str, shape: tuple[int, ...]) -> None:
        stored = f"{result}.axes"
        self.tensors[stored] = Tensor(stored, (len(shape),), np.array(shape, np.int32))
        self.tensors[result] = Tensor(result, shape, dtype=self.tensors[source].dtype)
        self.ops.append(Op(OpKind.RESHAPE, (source, stored), (result,), {}, "ReshapeOptions"))

    def _dense(self, op: Op) -> None:
        """A matrix product keeps all axes but the last one."""
        name = self.lifted.get(op.inputs[0], op.inputs[0])
        shape, weight = self.tensors[name].shape, self.source.tensors[op.inputs[1]].shape
        if shape[-1] != weight[-1]:
            rows = (1, int(np.prod(shape)) // weight[-1], weight[-1])
            self._reshape(name, f"{op.name}.rows", rows)
            name, shape = f"{op.name}.rows", rows
        options = {**op.options, "keepNumDims": True}
        natural, wanted = (*shape[:-1], weight[0]), self._shape(op.name)
        product = self._named(op.name) if natural == wanted else f"{op.name}.product"
        self.tensors[product] = Tensor(product, natural)
        self.ops.append(
            replace(op, inputs=(name, *op.inputs[1:]), outputs=(product,), options=options)
        )
        if product != op.name:
            self._reshape(product, self._named(op.name), wanted)

    def _shifted(self, op: Op) -> None:
        """An operator with every axis one further back."""
        shift = _SHIFTS.get(op.kind)
        if op.traits.broadcasts or op.kind in _RIGHT_ALIGNED or _is_unary(op):
            shift = _same
        if shift is None:
            raise UnsupportedError(
                "convolutions, pools and sizes read one image of each example",
                received=f"{op.kind} {op.name}, of which the network makes several out of one",
                remedy="build the network so that it reads one image an example",
            )
        if op.kind == OpKind.STRIDED_SLICE and self._takes_one(op):
            self._one(op)
            return
        inputs = [self._with_axis(name) for name in op.inputs]
        if op.kind in (OpKind.CONCATENATION, OpKind.PACK):
            inputs = [self._constant_with_axis(name) for name in inputs]
        changed = shift(self, replace(op, inputs=tuple(inputs)))
        outputs = [self._named(n) if not _has_batch(self.source, n) else f"{n}.one" for n in
                   op.outputs]  # fmt: skip
        for name, result in zip(op.outputs, outputs, strict=True):
            tensor = self.source.tensors[name]
            self.tensors[result] = replace(tensor, name=result, shape=(1, *tensor.shape))
        self.ops.append(replace(changed, outputs=tuple(outputs)))
        for name, result in zip(op.outputs, outputs, strict=True):
            if name != result:
                self._reshape(result, name, self.source.tensors[name].shape)

    def _takes_one(self, op: Op) -> bool:
        """Whether a slice is all of one index of the first axis, as of one image of a video."""
        shape = self.source.tensors[op.inputs[0]].shape
        size = prod(self.source.tensors[op.name].shape)
        steps = self.value(op, 3)
        return (
            int(op.options.get("shrinkAxisMask", 0)) == 1
            and not op.options.get("ellipsisMask")
            and not op.options.get("newAxisMask")
            and size == prod(shape[1:])
            and bool((steps > 0).all())
        )

    def _one(self, op: Op) -> None:
        """One index of a long axis, in an operator of few axes: LiteRT slices five at most."""
        name, shape = self._with_axis(op.inputs[0]), self.source.tensors[op.inputs[0]].shape
        rows, part = f"{op.name}.rows", f"{op.name}.row"
        size = prod(shape[1:])
        self._reshape(name, rows, (1, shape[0], size))
        index = int(np.ravel(self.value(op, 1))[0]) % shape[0]
        begin = np.array([0, 0 if int(op.options["beginMask"]) & 1 else index, 0], np.int32)
        self.tensors[part] = replace(self.tensors[rows], name=part, shape=(1, 1, size))
        ends = {f"{part}.begin": begin, f"{part}.size": np.array([-1, 1, -1], np.int32)}
        self.tensors |= {n: Tensor(n, value.shape, value) for n, value in ends.items()}
        self.ops.append(Op(OpKind.SLICE, (rows, *ends), (part,), {}, "SliceOptions"))
        self._reshape(part, self._named(op.name), self._shape(op.name))

    def _with_axis(self, name: str) -> str:
        if not name or self.source.is_constant(name) or name in self.lifted:
            return self.lifted.get(name, name)
        result = f"{name}.one"
        if result not in self.tensors:
            self._reshape(name, result, (1, *self.source.tensors[name].shape))
        return result

    def _constant_with_axis(self, name: str) -> str:
        if not self.source.tensors.get(name) or not self.source.is_constant(name):
            return name
        result, value = f"{name}.one", self.source.value(name)[None]
        self.tensors[result] = Tensor(result, value.shape, value)
        return result

    def constant(self, op: Op, position: int, value: np.ndarray) -> Op:
        """Operator that reads another stored value at a position."""
        name = f"{op.outputs[0]}.lifted{position}"
        self.tensors[name] = Tensor(name, value.shape, value)
        inputs = list(op.inputs)
        inputs[position] = name
        return replace(op, inputs=tuple(inputs))

    def value(self, op: Op, position: int) -> np.ndarray:
        """Stored value at a position."""
        return self.source.value(op.inputs[position])


def _is_unary(op: Op) -> bool:
    """Whether an operator computes each number from one number."""
    return len(op.inputs) == 1 and op.kind in _ELEMENTWISE


_ELEMENTWISE = frozenset({
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG",
    "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN",
    "SIN", "SQRT", "SQUARE", "TANH",
})  # fmt: skip

Shift = Callable[[_Lifting, Op], Op]
"""Operator with the lifted inputs -> the same with shifted axes."""


def _same(_: _Lifting, op: Op) -> Op:
    return op


def _up(axis: int) -> int:
    """Number of an axis, counted from the first or from the last, with one more in front."""
    return axis + 1 if axis >= 0 else axis


def _option(*keys: str) -> Shift:
    def shift(_: _Lifting, op: Op) -> Op:
        return replace(op, options={**op.options, **{k: _up(int(op.options[k])) for k in keys}})

    return shift


def _stored(position: int) -> Shift:
    """Shift of axes that an operand names."""

    def shift(lifting: _Lifting, op: Op) -> Op:
        axes = lifting.value(op, position)
        return lifting.constant(
            op, position, np.where(axes >= 0, axes + 1, axes).astype(axes.dtype)
        )

    return shift


def _in_front(**numbers: int) -> Shift:
    """Shift of operands that have an entry for each axis: that of the batch in front of them."""

    def shift(lifting: _Lifting, op: Op) -> Op:
        for key, number in numbers.items():
            position = int(key.removeprefix("at"))
            value = lifting.value(op, position)
            row = np.full((1, *value.shape[1:]), number, value.dtype)
            op = lifting.constant(op, position, np.concatenate([row, value]))
        return op

    return shift


def _permutation(lifting: _Lifting, op: Op) -> Op:
    order = lifting.value(op, 1)
    rank = len(order)
    moved = np.concatenate([[0], np.asarray(order) % rank + 1]).astype(order.dtype)
    return lifting.constant(op, 1, moved)


def _strides(lifting: _Lifting, op: Op) -> Op:
    op = _in_front(at1=0, at2=1, at3=1)(lifting, op)
    masks = {
        f"{name}Mask": int(op.options.get(f"{name}Mask", 0)) << 1
        for name in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")
    }
    options: Mapping[str, Any] = {
        **op.options, **masks, "beginMask": masks["beginMask"] | 1, "endMask": masks["endMask"] | 1,
    }  # fmt: skip
    return replace(op, options=options)


def _gathered(lifting: _Lifting, op: Op) -> Op:
    if int(op.options.get("batchDims") or 0):
        indices = lifting.value(op, 1)
        op = lifting.constant(op, 1, indices[None])
        op = replace(op, options={**op.options, "batchDims": int(op.options["batchDims"]) + 1})
    return _option("axis")(lifting, op)


_SHIFTS: Mapping[str, Shift] = {
    OpKind.TRANSPOSE: _permutation,
    OpKind.MEAN: _stored(1),
    "SUM": _stored(1),
    OpKind.REDUCE_MAX: _stored(1),
    OpKind.REDUCE_MIN: _stored(1),
    "REDUCE_PROD": _stored(1),
    OpKind.REVERSE: _stored(1),
    OpKind.CONCATENATION: _option("axis"),
    OpKind.PACK: _option("axis"),
    OpKind.UNPACK: _option("axis"),
    OpKind.GATHER: _gathered,
    OpKind.SPLIT: _stored(0),
    OpKind.SPLIT_V: _stored(2),
    OpKind.SLICE: _in_front(at1=0, at2=-1),
    OpKind.STRIDED_SLICE: _strides,
    OpKind.PAD: _in_front(at1=0),
    OpKind.PADV2: _in_front(at1=0),
    OpKind.MIRROR_PAD: _in_front(at1=0),
    TILE: _in_front(at1=1),
    OpKind.BROADCAST_TO: _in_front(at1=1),
}
"""Shift of each kind that counts its axes from the first one."""
