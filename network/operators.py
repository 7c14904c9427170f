"""Operators with an integer form here: one frozen row each, which every other table follows.

A row describes the operator, whatever computes it. Kernels and writers register by kind: float
kernels in ``network.tensorflow_kernels``, TFLite versions here (``export.tflite.render`` writes
every kind in the same way), ONNX writers in ``export.onnx.writers``, integer kernels in
``network.oracle.kernels``, steps that are compared in ``evaluation.parity.integer_steps``. A
test walks kind by kind and names each cell that is empty.

Source: tensorflow/lite/schema/schema.fbs; LiteRT 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec); versions from
tensorflow/lite/tools/versioning/op_version.cc.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class OpKind(StrEnum):
    """Operators that have an integer form here, by TFLite's builtin names."""

    # Convolutions and matrix products
    CONV = "CONV_2D"
    DEPTHWISE_CONV = "DEPTHWISE_CONV_2D"
    DENSE = "FULLY_CONNECTED"
    TRANSPOSE_CONV = "TRANSPOSE_CONV"
    BATCH_MATMUL = "BATCH_MATMUL"
    # Elementwise, of several operands
    ADD = "ADD"
    SUB = "SUB"
    MUL = "MUL"
    MAXIMUM = "MAXIMUM"
    MINIMUM = "MINIMUM"
    SQUARED_DIFFERENCE = "SQUARED_DIFFERENCE"
    # Reductions and pools
    MEAN = "MEAN"
    REDUCE_MAX = "REDUCE_MAX"
    REDUCE_MIN = "REDUCE_MIN"
    AVERAGE_POOL = "AVERAGE_POOL_2D"
    MAX_POOL = "MAX_POOL_2D"
    RESIZE_BILINEAR = "RESIZE_BILINEAR"
    RESIZE_NEAREST = "RESIZE_NEAREST_NEIGHBOR"
    L2_NORMALIZATION = "L2_NORMALIZATION"
    # Shapes, orders of axes, parts
    PAD = "PAD"
    RESHAPE = "RESHAPE"
    TRANSPOSE = "TRANSPOSE"
    CONCATENATION = "CONCATENATION"
    SPLIT = "SPLIT"
    STRIDED_SLICE = "STRIDED_SLICE"
    SLICE = "SLICE"
    SPLIT_V = "SPLIT_V"
    PACK = "PACK"
    UNPACK = "UNPACK"
    GATHER = "GATHER"
    EXPAND_DIMS = "EXPAND_DIMS"
    SQUEEZE = "SQUEEZE"
    BROADCAST_TO = "BROADCAST_TO"
    MIRROR_PAD = "MIRROR_PAD"
    PADV2 = "PADV2"
    REVERSE = "REVERSE_V2"
    DEPTH_TO_SPACE = "DEPTH_TO_SPACE"
    SPACE_TO_DEPTH = "SPACE_TO_DEPTH"
    # Activation functions
    RELU = "RELU"
    RELU6 = "RELU6"
    RELU_N1_TO_1 = "RELU_N1_TO_1"
    RELU_0_TO_1 = "RELU_0_TO_1"
    LEAKY_RELU = "LEAKY_RELU"
    PRELU = "PRELU"
    GELU = "GELU"
    TANH = "TANH"
    EXP = "EXP"
    LOG = "LOG"
    ABS = "ABS"
    SQRT = "SQRT"
    RSQRT = "RSQRT"
    LOGISTIC = "LOGISTIC"
    HARD_SWISH = "HARD_SWISH"
    SOFTMAX = "SOFTMAX"


class Fused(StrEnum):
    """Activation fused into an operator; order and values are those of the schema."""

    NONE = "NONE"
    RELU = "RELU"
    RELU_N1_TO_1 = "RELU_N1_TO_1"
    RELU6 = "RELU6"

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value of a result."""
        return _LIMITS[self]


_LIMITS = {
    Fused.NONE: (-math.inf, math.inf),
    Fused.RELU: (0.0, math.inf),
    Fused.RELU_N1_TO_1: (-1.0, 1.0),
    Fused.RELU6: (0.0, 6.0),
}


class ResultScale(StrEnum):
    """Origin of a result's scale and zero point."""

    OWN = "own"
    """The range of the result."""
    INPUT = "input"
    """The operator's input and results have one scale and zero point."""
    SHARED = "shared"
    """All inputs and the result have one scale and zero point."""
    FIXED = "fixed"
    """The specification fixes them (``OperatorTraits.fixed``)."""


@dataclass(frozen=True)
class OperatorTraits:
    """Properties of a kind of operator.

    Attributes:
        kind: an ``OpKind``, or the converter's name of another operator.
        int8_version: version of TFLite's operator on int8; None for a kind without an integer form
            here.
        int16_version: version of TFLite's operator on int16 activations; None where LiteRT has no
            such kernel, or where the oracle does not know its bits.
        channel_axis: axis of the weight that counts the output channels; None for an operator
            without a weight. A weighted operator reads an activation, a constant weight and an
            optional bias, in this order.
        data: positions of the inputs that are activations; None for all of them.
        result: origin of a result's scale and zero point.
        fixed: scale and zero point on int8 where the specification fixes them.
        moves: whether every number of a result is a number of an input, so that no rounding is
            added.
        keeps_channels: whether each channel of a result depends only on the same channel of the
            inputs.
        broadcasts: whether it has two operands, of which one may be smaller.
        limits: smallest and largest value of a result, without the fused activation.
        file_order: position, among the inputs here, of each input of the operator in a file; empty
            where the order is the same.

    Raises:
        ValueError: fixed parameters without ``ResultScale.FIXED``, or the other way round.
    """

    kind: str
    int8_version: int | None = 2
    int16_version: int | None = 3
    channel_axis: int | None = None
    data: tuple[int, ...] | None = (0,)
    result: ResultScale = ResultScale.OWN
    fixed: tuple[float, int] | None = None
    moves: bool = False
    keeps_channels: bool = False
    broadcasts: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)
    file_order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.fixed is not None) is not (self.result is ResultScale.FIXED):
            raise ValueError(f"{self.kind}: fixed parameters go with a fixed result")

    @property
    def weighted(self) -> bool:
        """Whether the second input is a constant weight."""
        return self.channel_axis is not None

    def in_file_order(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Inputs of an operator in the order of a .tflite file."""
        return tuple(inputs[place] for place in self.file_order) if self.file_order else inputs

    def from_file_order(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Inputs of an operator in a file, in the order here; empty for an absent one."""
        if not self.file_order:
            return inputs
        places = {place: number for number, place in enumerate(self.file_order)}
        whole = (*inputs, *[""] * (len(places) - len(inputs)))
        return tuple(whole[places[position]] for position in range(len(places)))

    @property
    def tied(self) -> bool:
        """Whether inputs and results have one scale and zero point."""
        return self.result in (ResultScale.INPUT, ResultScale.SHARED)


_PROBABILITY = (1 / 256, -128)
_POSITIVE = (0.0, math.inf)
_UNIT_LENGTH = (1 / 128, 0)
_ROWS = (
    # Convolutions and matrix products
    OperatorTraits(OpKind.CONV, 3, 4, channel_axis=0),
    OperatorTraits(OpKind.DEPTHWISE_CONV, 3, 5, channel_axis=3, keeps_channels=True),
    OperatorTraits(OpKind.DENSE, 4, 7, channel_axis=0),
    # In a file: sizes, weight, image, bias.
    OperatorTraits(OpKind.TRANSPOSE_CONV, 3, 3, channel_axis=0, file_order=(3, 1, 0, 2)),
    OperatorTraits(OpKind.BATCH_MATMUL, 2, 3, data=None),
    # Elementwise, of several operands
    OperatorTraits(OpKind.ADD, data=None, keeps_channels=True, broadcasts=True),
    OperatorTraits(OpKind.SUB, 2, 5, data=None, keeps_channels=True, broadcasts=True),
    OperatorTraits(OpKind.MUL, 2, 4, data=None, keeps_channels=True, broadcasts=True),
    OperatorTraits(
        OpKind.MAXIMUM,
        2,
        4,
        data=None,
        result=ResultScale.SHARED,
        moves=True,
        keeps_channels=True,
        broadcasts=True,
    ),
    OperatorTraits(
        OpKind.MINIMUM,
        2,
        4,
        data=None,
        result=ResultScale.SHARED,
        moves=True,
        keeps_channels=True,
        broadcasts=True,
    ),
    OperatorTraits(
        OpKind.SQUARED_DIFFERENCE,
        2,
        None,
        data=None,
        keeps_channels=True,
        broadcasts=True,
        limits=_POSITIVE,
    ),
    # Reductions and pools
    OperatorTraits(OpKind.MEAN, keeps_channels=True),
    OperatorTraits(OpKind.REDUCE_MAX, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.REDUCE_MIN, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.AVERAGE_POOL, result=ResultScale.INPUT, keeps_channels=True),
    OperatorTraits(OpKind.MAX_POOL, result=ResultScale.INPUT, moves=True, keeps_channels=True),
    OperatorTraits(OpKind.RESIZE_BILINEAR, 2, 4, result=ResultScale.INPUT),
    OperatorTraits(OpKind.RESIZE_NEAREST, 2, 4, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.L2_NORMALIZATION, 2, None, result=ResultScale.FIXED, fixed=_UNIT_LENGTH),
    # Shapes, orders of axes, parts
    OperatorTraits(OpKind.PAD, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.RESHAPE, 1, 1, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.TRANSPOSE, 2, 5, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.CONCATENATION, data=None, result=ResultScale.SHARED, moves=True),
    OperatorTraits(OpKind.SPLIT, 2, 4, data=(1,), result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.STRIDED_SLICE, 2, 1, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.SLICE, 2, 4, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.SPLIT_V, 2, 2, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.PACK, data=None, result=ResultScale.SHARED, moves=True),
    OperatorTraits(OpKind.UNPACK, 2, 4, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.GATHER, 2, 4, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.EXPAND_DIMS, 1, 1, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.SQUEEZE, 1, 1, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.BROADCAST_TO, 3, 3, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.MIRROR_PAD, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.PADV2, data=(0, 2), result=ResultScale.SHARED, moves=True),
    OperatorTraits(OpKind.REVERSE, 3, 3, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.DEPTH_TO_SPACE, 1, None, result=ResultScale.INPUT, moves=True),
    OperatorTraits(OpKind.SPACE_TO_DEPTH, 2, None, result=ResultScale.INPUT, moves=True),
    # Activation functions
    OperatorTraits(OpKind.RELU, 2, None, keeps_channels=True, limits=_POSITIVE),
    OperatorTraits(OpKind.RELU6, 2, None, keeps_channels=True, limits=(0.0, 6.0)),
    OperatorTraits(OpKind.RELU_N1_TO_1, 1, None, keeps_channels=True, limits=(-1.0, 1.0)),
    OperatorTraits(OpKind.RELU_0_TO_1, 1, None, keeps_channels=True, limits=(0.0, 1.0)),
    OperatorTraits(OpKind.LEAKY_RELU, 2, 2, keeps_channels=True),
    OperatorTraits(OpKind.PRELU, 1, None, data=None, keeps_channels=True, broadcasts=True),
    OperatorTraits(OpKind.GELU, 2, None, keeps_channels=True),
    OperatorTraits(
        OpKind.TANH, 2, None, result=ResultScale.FIXED, fixed=(1 / 128, 0), keeps_channels=True
    ),
    OperatorTraits(OpKind.EXP, 2, None, keeps_channels=True, limits=_POSITIVE),
    OperatorTraits(OpKind.LOG, 2, None, keeps_channels=True),
    OperatorTraits(OpKind.ABS, 2, None, keeps_channels=True, limits=_POSITIVE),
    OperatorTraits(OpKind.SQRT, 2, None, keeps_channels=True, limits=_POSITIVE),
    OperatorTraits(OpKind.RSQRT, 2, None, keeps_channels=True, limits=_POSITIVE),
    OperatorTraits(
        OpKind.LOGISTIC, 2, None, result=ResultScale.FIXED, fixed=_PROBABILITY, keeps_channels=True
    ),
    OperatorTraits(OpKind.HARD_SWISH, 1, None, keeps_channels=True),
    OperatorTraits(OpKind.SOFTMAX, 2, None, result=ResultScale.FIXED, fixed=_PROBABILITY),
)

TRAITS: Mapping[str, OperatorTraits] = {row.kind: row for row in _ROWS}
"""Row of each kind."""


def traits_of(kind: str) -> OperatorTraits:
    """Row of a kind; for a kind that is not registered, a row without integer forms."""
    return TRAITS.get(kind) or OperatorTraits(kind, None, None)
