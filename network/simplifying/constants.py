"""Computations on constants and shapes, done once: files with a free batch hold them as operators.

Source of the definitions: tensorflow/lite/schema/schema.fbs and the operators' documentation
(https://ai.google.dev/edge/litert/models/ops_compatibility).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import OpKind

MOST_ELEMENTS = 1 << 24
"""Largest number of elements of a computed constant; shapes have a few, kernels millions."""


def with_constants_computed(graph: Graph) -> Graph:
    """Graph whose operators on constants, and on shapes, are constants.

    The shape of an activation is that of a batch of one.

    Raises:
        ValueError, LookupError: operators with parameters that have no result.
    """
    tensors, remaining = dict(graph.tensors), list[Op]()
    for op in (_with_stored_shape(op, tensors) for op in graph.ops):
        value = None if op.name in graph.outputs else _value(op, tensors)
        if value is None:
            remaining.append(op)
            continue
        if value.size > MOST_ELEMENTS:
            raise ValueError(f"a constant {op.name} of {value.size:,} elements")
        tensors[op.name] = Tensor(op.name, value.shape, value)
    if tuple(remaining) == graph.ops:
        return graph
    return replace(graph, tensors=tensors).pruned(remaining)


def _with_stored_shape(op: Op, tensors: dict[str, Tensor]) -> Op:
    """A reshape whose shape is in its options alone, as of files of before 2019, with a constant.

    Others are left as they are.
    """
    if op.kind != OpKind.RESHAPE or len(op.inputs) != 1:
        return op
    stored = f"{op.name}.shape"
    shape = np.array(tensors[op.name].shape, np.int32)
    tensors[stored] = Tensor(stored, shape.shape, shape)
    return replace(op, inputs=(op.inputs[0], stored))


def _value(op: Op, tensors: dict[str, Tensor]) -> np.ndarray | None:
    """Result of an operator that depends on no activation; None for any other operator."""
    if op.kind == "SHAPE":
        return np.array(tensors[op.inputs[0]].shape, np.int32)
    compute = _COMPUTED.get(op.kind)
    values = [tensors[name].value if name else None for name in op.inputs]
    if compute is None or any(v is None for v in values) or len(op.outputs) != 1:
        return None
    if op.options.get("fusedActivationFunction", 0):
        return None
    stated = int(np.prod(tensors[op.name].shape, dtype=np.int64))
    if stated > MOST_ELEMENTS:  # of a FILL or BROADCAST_TO, before memory is asked for
        raise ValueError(f"a constant {op.name} of {stated:,} elements")
    return np.asarray(compute(op, [v for v in values if v is not None]))


def _axis(op: Op) -> int:
    return int(op.options.get("axis", 0))


def _ints(value: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in np.ravel(value))


def _strided_slice(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    data, begin, end, strides = values
    masks = [int(op.options.get(name, 0)) for name in ("beginMask", "endMask", "shrinkAxisMask")]
    if op.options.get("ellipsisMask") or op.options.get("newAxisMask"):
        raise ValueError(f"a slice of constants with new axes, {op.name}")
    key: list[Any] = []
    for axis, (low, high, step) in enumerate(
        zip(_ints(begin), _ints(end), _ints(strides), strict=True)
    ):
        if masks[2] >> axis & 1:
            key.append(low)
        else:
            key.append(
                slice(
                    None if masks[0] >> axis & 1 else low,
                    None if masks[1] >> axis & 1 else high,
                    step,
                )
            )
    return np.asarray(data[tuple(key)])


def _slice(_: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    data, begin, sizes = values
    ends = [None if n < 0 else b + n for b, n in zip(_ints(begin), _ints(sizes), strict=True)]
    return np.asarray(data[tuple(slice(b, e) for b, e in zip(_ints(begin), ends, strict=True))])


def _cast(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    kinds = {0: np.float32, 2: np.int32, 4: np.int64, 6: np.bool_}
    return values[0].astype(kinds[int(op.options.get("outDataType", 2))])


def _squeeze(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    axes = op.options.get("squeezeDims")
    return np.squeeze(values[0], tuple(axes) if axes is not None and len(axes) else None)


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[[Op, Sequence[np.ndarray]], Any]:
    return lambda _, values: operation(values[0], values[1])


def _reduced(operation: Callable[..., Any]) -> Callable[[Op, Sequence[np.ndarray]], Any]:
    def compute(op: Op, values: Sequence[np.ndarray]) -> Any:
        axes = tuple(_ints(values[1]))
        reduced = operation(values[0], axis=axes, keepdims=bool(op.options.get("keepDims")))
        return np.asarray(reduced).astype(values[0].dtype)

    return compute


def _gather(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return np.take(values[0], values[1], axis=_axis(op))


_COMPUTED: dict[str, Callable[[Op, Sequence[np.ndarray]], Any]] = {
    "ADD": _binary(np.add),
    "BROADCAST_TO": lambda _, values: np.broadcast_to(values[0], _ints(values[1])).copy(),
    "CAST": _cast,
    "CONCATENATION": lambda op, values: np.concatenate(list(values), _axis(op)),
    "EXPAND_DIMS": lambda _, values: np.expand_dims(values[0], _ints(values[1])),
    "FILL": lambda _, values: np.full(_ints(values[0]), values[1]),
    "FLOOR_DIV": _binary(np.floor_divide),
    "GATHER": _gather,
    "MAXIMUM": _binary(np.maximum),
    "MINIMUM": _binary(np.minimum),
    "MUL": _binary(np.multiply),
    "PACK": lambda op, values: np.stack(list(values), _axis(op)),
    "REDUCE_PROD": _reduced(np.prod),
    "RESHAPE": lambda _, values: np.reshape(values[0], _ints(values[1])),
    "RSQRT": lambda _, values: np.float32(1) / np.sqrt(values[0]),
    "SLICE": _slice,
    "SQRT": lambda _, values: np.sqrt(values[0]),
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary(np.subtract),
    "SUM": _reduced(np.sum),
    "TRANSPOSE": lambda _, values: np.ascontiguousarray(np.transpose(values[0], _ints(values[1]))),
}
"""Operators that are computed on constants, by TFLite's names, each of one result."""
