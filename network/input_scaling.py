"""Normalization inside a network: what it does to the image before the first layer with weights.

A network with a ``Rescaling`` or ``Normalization`` layer takes pixels as they are. If the contract
normalizes them as well, every image becomes nearly one constant, and no later step can tell. The
frozen function is read, not the canonical graph: the converter folds factors into convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from network.graph import Graph, Op
from network.operators import Fused, OpKind

_MOVES = frozenset(
    {
        "Cast",
        "Identity",
        "MirrorPad",
        "Pad",
        "PadV2",
        "ResizeBilinear",
        "ResizeNearestNeighbor",
        "ReverseV2",
        "StridedSlice",
    }
)
"""Operators that leave values as they are, or between those of neighbours."""

_FACTORS, _SUMMANDS = ("Mul", "RealDiv"), ("Add", "AddV2", "BiasAdd", "Sub")

_LEAST_USED, _WELL_USED = 1 / 16, 1 / 2
"""Width of the range of an image against its magnitude: [-1, 1] has 2, a constant 0."""


@dataclass(frozen=True, eq=False)
class InputScaling:
    """``scale * x + shift`` of a network's input ``x``, channel by channel.

    Attributes:
        scale: float64 ``[channels]``.
        shift: float64 ``[channels]``.
        op: name of the last operator that scales; empty without one.
    """

    scale: np.ndarray
    shift: np.ndarray
    op: str

    def used(self, low: np.ndarray, high: np.ndarray) -> float:
        """Width of the range that inputs from ``low`` to ``high`` reach, against its magnitude."""
        ends = np.stack([self.scale * low + self.shift, self.scale * high + self.shift])
        return float(np.max(np.ptp(ends, axis=0) / np.maximum(np.abs(ends).max(axis=0), 1.0)))


def input_scaling(function: Any) -> InputScaling:
    """The additions and multiplications by constants at the start of a network.

    Args:
        function: a TensorFlow function of ``[1, ..., channels]``, from ``frozen``.
    """
    value = function.inputs[0]
    channels = int(value.shape[-1])
    scale, shift, name = np.ones(channels), np.zeros(channels), ""
    while len(readers := [op for op in value.consumers() if op.type != "Shape"]) == 1:
        (op,) = readers
        if op.type not in _MOVES:
            step = _affine(function, op, value)
            if step is None:
                break
            scale, shift = scale * step[0], shift * step[0] + step[1]
            name = op.name
        elif op.inputs[0] is not value:
            break
        value = op.outputs[0]
    return InputScaling(scale, shift, name)


def graph_scaling(graph: Graph) -> InputScaling:
    """The additions and multiplications by constants at the start of a graph.

    Args:
        graph: as TensorFlow's converter makes it, before any rewrite.
    """
    name, last = graph.input, ""
    channels = graph.tensors[name].shape[-1]
    scale, shift = np.ones(channels), np.zeros(channels)
    while (op := graph.sole_reader(name)) is not None:
        if op.kind != OpKind.PAD:
            step = _graph_step(graph, op, name)
            if step is None:
                break
            scale, shift, last = scale * step[0], shift * step[0] + step[1], f"{op.name}/"
        name = op.name
        if op.fused is not Fused.NONE:
            break
    return InputScaling(scale, shift, last)


def _graph_step(graph: Graph, op: Op, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and summand of one operator of a graph; None if it is no such operator."""
    if op.kind not in (OpKind.ADD, OpKind.MUL, OpKind.SUB):
        return None
    first = op.inputs[0] == name
    other = op.inputs[1] if first else op.inputs[0]
    channels = graph.tensors[name].shape[-1]
    if not graph.is_constant(other) or graph.value(other).size not in (1, channels):
        return None
    constant = np.broadcast_to(graph.value(other).astype(np.float64).reshape(-1), channels)
    ones, zeros = np.ones(channels), np.zeros(channels)
    if op.kind == OpKind.MUL:
        return constant, zeros
    if op.kind == OpKind.SUB:
        return (ones, -constant) if first else (-ones, constant)
    return ones, constant


def other_shape(
    wanted: tuple[int, ...], count: int, found: tuple[int | None, ...]
) -> InvalidInputError:
    """Error for a network whose input is not that of its contract.

    Args:
        wanted: shape that the contract says, without the batch.
        count: number of inputs of the network.
        found: shape of the first one.
    """
    return InvalidInputError(
        f"the model has one input [batch, {', '.join(map(str, wanted))}], as its contract says",
        received=f"{count} inputs, the first of shape {list(found)}",
        remedy="correct the preprocessing contract, or the model",
    )


def refuse_two_normalizations(function: Any, contract: Preprocessing) -> None:
    """Refuse a contract that normalizes pixels for a network that does so itself.

    Args:
        function: from ``frozen``.
        contract: of its input.

    Raises:
        InvalidInputError: an image becomes nearly a constant under the contract, and does not
            where the network takes pixels as they are.
    """
    if not contract.plain:  # others are numbers without a range that is known beforehand
        refuse_two_scalings(input_scaling(function), contract)


def refuse_two_scalings(scaling: InputScaling, contract: Preprocessing) -> None:
    """``refuse_two_normalizations`` for a network whose first operators are known.

    Args:
        scaling: of the network.
        contract: of its input.

    Raises:
        InvalidInputError: as ``refuse_two_normalizations``.
    """
    if contract.plain:
        return
    mean, std = np.array(contract.mean), np.array(contract.std)
    stated = scaling.used((0 - mean) / std, (255 - mean) / std)
    pixels = scaling.used(np.zeros(len(mean)), np.full(len(mean), 255.0))
    if scaling.op and stated < _LEAST_USED and pixels >= _WELL_USED:
        layer = next((part for part in reversed(scaling.op.split("/")[:-1])), scaling.op)
        raise InvalidInputError(
            "pixels are normalized once, by the contract or by a layer of the model",
            received=f"mean {contract.mean[0]:g} and std {contract.std[0]:g} in front of {layer}, "
            "which takes pixels 0..255",
            remedy="give --mean 0 --std 1, or mean = 0 and std = 1 in the contract",
        )


def _affine(function: Any, op: Any, value: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and summand of one operator; None if it is no such operator."""
    if op.type not in (*_FACTORS, *_SUMMANDS) or len(op.inputs) != 2:
        return None
    first = op.inputs[0] is value
    other = op.inputs[1] if first else op.inputs[0]
    if other is value or _depends(other, function.inputs[0]):
        return None
    constant = _constant(function, other)
    channels = int(value.shape[-1])
    if constant.size not in (1, channels):
        return None
    constant = np.broadcast_to(constant.reshape(-1), channels)
    ones, zeros = np.ones(channels), np.zeros(channels)
    if op.type == "Mul":
        return constant, zeros
    if op.type == "RealDiv":
        return (1 / constant, zeros) if first and constant.all() else None
    if op.type == "Sub":
        return (ones, -constant) if first else (-ones, constant)
    return ones, constant


def _constant(function: Any, tensor: Any) -> np.ndarray:
    """Value of a tensor that depends on no input, float64.

    Constants of a SavedModel wait for its input, so that they cannot be run without one.
    """
    import tensorflow as tf

    stored = tf.get_static_value(tensor)
    return np.asarray(function.prune([], tensor)() if stored is None else stored, np.float64)


def _depends(tensor: Any, source: Any) -> bool:
    """Whether a tensor is computed from another."""
    waiting, seen = [tensor.op], set()
    while waiting:
        op = waiting.pop()
        if op is source.op:
            return True
        if op.name not in seen:
            seen.add(op.name)
            waiting.extend(inner.op for inner in op.inputs)
    return False
