"""Steps: the operators of an int8 file that compute, in one form for TFLite and ONNX.

Activations are int8 here, also where the file has uint8, which is the same number plus 128.
Weights are stored without their zero points, ``[outputs, height, width, inputs]`` (depthwise: one
input) or ``[outputs, inputs]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from network.affine import IntType, QuantParams
from network.graph import Op
from network.operators import OpKind
from network.oracle.kernels.scales import DEQUANTIZE, QUANTIZE
from network.oracle.model import IntegerModel, IntegerTensor
from network.oracle.reader import read_integers
from network.tflite.naming import short_name


class StepKind(StrEnum):
    """Kind of a step; steps are matched within a kind."""

    INPUT = "input"
    CONVOLUTION = "convolution"
    PRODUCT = "matrix product"
    SUM = "sum"
    MULTIPLICATION = "multiplication"
    MEAN = "mean"
    POOL = "max pool"
    DIFFERENCE = "difference"
    EXTREMUM = "maximum or minimum"
    ACTIVATION = "activation"
    CONCATENATION = "concatenation"
    RESIZE = "resize"
    NORMALIZATION = "normalization"


@dataclass(frozen=True)
class Step:
    """An operator that computes.

    Attributes:
        kind: what the operator computes.
        name: short name of the result.
        tensor: name of the tensor with the result's integers in the file; empty if it has none.
        result: parameters of the result as int8; None where the file leaves it in float.
        weight: int64 without zero point, axes as above; None without an integer weight.
        weight_params: parameters of the weight, with the axis in the order above.
        bias: integers ``[outputs]``; None without an integer bias.
        bias_params: parameters of the bias.
    """

    kind: StepKind
    name: str
    tensor: str
    result: QuantParams | None
    weight: np.ndarray | None = field(default=None, repr=False)
    weight_params: QuantParams | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    bias_params: QuantParams | None = field(default=None, repr=False)


STEP_KINDS: dict[str, StepKind] = {
    # Convolutions and matrix products
    OpKind.CONV: StepKind.CONVOLUTION,
    OpKind.DEPTHWISE_CONV: StepKind.CONVOLUTION,
    OpKind.DENSE: StepKind.PRODUCT,
    OpKind.TRANSPOSE_CONV: StepKind.CONVOLUTION,
    OpKind.BATCH_MATMUL: StepKind.PRODUCT,
    # Elementwise, of several operands
    OpKind.ADD: StepKind.SUM,
    OpKind.SUB: StepKind.DIFFERENCE,
    OpKind.MUL: StepKind.MULTIPLICATION,
    OpKind.MAXIMUM: StepKind.EXTREMUM,
    OpKind.MINIMUM: StepKind.EXTREMUM,
    OpKind.SQUARED_DIFFERENCE: StepKind.ACTIVATION,
    # Reductions and pools
    OpKind.MEAN: StepKind.MEAN,
    OpKind.AVERAGE_POOL: StepKind.MEAN,
    OpKind.MAX_POOL: StepKind.POOL,
    OpKind.RESIZE_BILINEAR: StepKind.RESIZE,
    OpKind.RESIZE_NEAREST: StepKind.RESIZE,
    OpKind.L2_NORMALIZATION: StepKind.NORMALIZATION,
    # Shapes, orders of axes, parts
    OpKind.CONCATENATION: StepKind.CONCATENATION,
    OpKind.PACK: StepKind.CONCATENATION,
    # Activation functions
    OpKind.RELU: StepKind.ACTIVATION,
    OpKind.RELU6: StepKind.ACTIVATION,
    OpKind.RELU_N1_TO_1: StepKind.ACTIVATION,
    OpKind.RELU_0_TO_1: StepKind.ACTIVATION,
    OpKind.LEAKY_RELU: StepKind.ACTIVATION,
    OpKind.PRELU: StepKind.ACTIVATION,
    OpKind.GELU: StepKind.ACTIVATION,
    OpKind.TANH: StepKind.ACTIVATION,
    OpKind.EXP: StepKind.ACTIVATION,
    OpKind.LOG: StepKind.ACTIVATION,
    OpKind.ABS: StepKind.ACTIVATION,
    OpKind.SQRT: StepKind.ACTIVATION,
    OpKind.RSQRT: StepKind.ACTIVATION,
    OpKind.LOGISTIC: StepKind.ACTIVATION,
    OpKind.HARD_SWISH: StepKind.ACTIVATION,
}


def tflite_steps(path: Path) -> tuple[Step, ...]:
    """Steps of a .tflite file in order, the input first; raises the errors of read_integers.

    Operators in float32 are no steps.
    """
    model = read_integers(path)
    floats = frozenset(op.name for op in model.in_float)
    integers = (op for op in model.ops if op.kind in STEP_KINDS and op.name not in floats)
    return (_input_step(model), *(_step(model, op) for op in integers))


def output_params(model: IntegerModel, output: str) -> QuantParams | None:
    """Scale and zero point of an output; of the tensor before a DEQUANTIZE at the end."""
    producers = {name: op for op in model.ops for name in op.outputs}
    last = producers.get(output)
    if last is not None and last.kind == DEQUANTIZE:
        return model.tensors[last.inputs[0]].params
    return model.tensors[output].params


def as_int8(params: QuantParams | None) -> QuantParams | None:
    """Parameters of an 8-bit activation as int8; others unchanged."""
    return params.as_type(IntType.INT8) if params and params.dtype is IntType.UINT8 else params


def _input_step(model: IntegerModel) -> Step:
    name = model.input
    first = next((op for op in model.ops if op.inputs and op.inputs[0] == name), None)
    if first is not None and first.kind == QUANTIZE:
        name = first.outputs[0]
    return Step(StepKind.INPUT, "image", name, as_int8(model.tensors[name].params))


def _step(model: IntegerModel, op: Op) -> Step:
    result = model.tensors[op.outputs[0]]
    weight = bias = None
    if op.is_weighted:
        weight = model.tensors[op.inputs[1]]
        bias = model.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] else None
    integers, params = _weight(op, weight)
    return Step(
        STEP_KINDS[op.kind],
        # A name without a path is that of a layer, which may end in a number.
        short_name(result.name) if "/" in result.name else result.name,
        result.name,
        as_int8(result.params),
        integers,
        params,
        None if bias is None or bias.value is None else bias.value.astype(np.int64),
        None if bias is None else bias.params,
    )


def _weight(op: Op, weight: IntegerTensor | None) -> tuple[np.ndarray | None, QuantParams | None]:
    if weight is None or weight.value is None or weight.params is None:
        return None, None
    integers = weight.value.astype(np.int64)
    if op.kind == OpKind.DEPTHWISE_CONV:
        integers = integers.transpose(3, 1, 2, 0)
    return centred(integers, weight.params, 0)


def centred(integers: np.ndarray, params: QuantParams, axis: int) -> tuple[np.ndarray, QuantParams]:
    """Integers minus their zero points, and parameters with zero point 0.

    Args:
        integers: integers of a weight.
        params: parameters with one scale, or one for each index of ``axis``.
        axis: axis of the output channels.
    """
    shape = [1] * integers.ndim
    shape[axis] = len(params.zero_point)
    zeros = (0,) * len(params.scale)
    centred_params = QuantParams(
        params.scale, zeros, IntType.INT8, axis if params.per_axis else None
    )
    return integers - np.asarray(params.zero_point, np.int64).reshape(shape), centred_params
