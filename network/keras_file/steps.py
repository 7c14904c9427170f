"""TensorFlow's nodes as operators of TensorFlow Lite, before any is fused.

Source of names and options: tensorflow/lite/schema/schema.fbs; of the choices:
tensorflow/compiler/mlir/lite/transforms/legalize_tf.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from network.keras_file.nodes import Node, UnknownPartError
from network.operators import OpKind

_PADDINGS = {"same": 0, "valid": 1}


@dataclass
class Step:
    """An operator while others are fused into it.

    Attributes:
        kind: operator of the schema.
        name: name of the node that gives its result; that of the last one that was fused.
        data: names of activations and constants that it reads, in the order of the schema.
        shape: shape of each result for a batch of one.
        options: fields of the schema's options table.
        options_type: name of that table.
        weight: weight in the schema's order of axes; None for an operator without weights.
        bias: float32 ``[channels]`` beside a weight.
        version: least version of the operator that holds it.
        results: number of results.
        label: name of the node that its result is named after.
    """

    kind: OpKind
    name: str
    data: tuple[str, ...]
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    options_type: str = ""
    weight: np.ndarray | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    version: int = 1
    results: int = 1
    label: str = ""

    def __post_init__(self) -> None:
        self.label = self.name

    @property
    def given(self) -> tuple[str, ...]:
        """Names of its results."""
        return (self.name, *(f"{self.name}:{number}" for number in range(1, self.results)))

    @property
    def takes_activation(self) -> bool:
        """Whether an activation function can be fused into it."""
        free = self.options.get("fusedActivationFunction") == 0
        return free and self.kind != OpKind.CONCATENATION


def step_of(node: Node, values: Mapping[str, np.ndarray]) -> Step:
    """Operator of one node.

    Args:
        node: node that depends on the image.
        values: values of the others.

    Raises:
        UnknownPartError: no operator that is known here.
    """
    make = _MAKERS.get(node.kind)
    if make is None:
        raise UnknownPartError(f"the node {node.kind}")
    return make(node, values)


Maker = Callable[[Node, Mapping[str, np.ndarray]], Step]


def _window(node: Node) -> dict[str, Any]:
    height, width = node.attributes["strides"]
    return {"padding": _PADDINGS[node.attributes["padding"]], "strideW": width, "strideH": height}


def _dilation(node: Node) -> dict[str, Any]:
    height, width = node.attributes["dilation"]
    return {"dilationWFactor": width, "dilationHFactor": height}


def _convolution(node: Node, values: Mapping[str, np.ndarray]) -> Step:
    image, kernel = node.inputs
    options = {
        **_window(node),
        "fusedActivationFunction": 0,
        **_dilation(node),
        "quantizedBiasType": 0,
    }
    weight = np.ascontiguousarray(np.transpose(values[kernel], (3, 0, 1, 2)))  # HWIO -> OHWI
    bias = np.zeros(len(weight), np.float32)
    made = Step(
        OpKind.CONV, node.name, (image,), node.shape, options, "Conv2DOptions", weight, bias
    )
    made.version = 6 if node.attributes["grouped"] else 1
    return made


def _depthwise(node: Node, values: Mapping[str, np.ndarray]) -> Step:
    image, kernel = node.inputs
    height, width, channels, multiplier = values[kernel].shape
    options = {
        **_window(node),
        "depthMultiplier": multiplier,
        "fusedActivationFunction": 0,
        **_dilation(node),
    }
    weight = values[kernel].reshape(1, height, width, channels * multiplier)  # HWCM -> 1HW(CM)
    bias = np.zeros(channels * multiplier, np.float32)
    kind = OpKind.DEPTHWISE_CONV
    made = Step(
        kind, node.name, (image,), node.shape, options, "DepthwiseConv2DOptions", weight, bias
    )
    made.version = 1 if node.attributes["dilation"] == (1, 1) else 2
    return made


def _dense(node: Node, values: Mapping[str, np.ndarray]) -> Step:
    x, kernel = node.inputs
    options = {
        "fusedActivationFunction": 0,
        "weightsFormat": 0,
        "keepNumDims": False,
        "asymmetricQuantizeInputs": False,
        "quantizedBiasType": 0,
    }
    weight = np.ascontiguousarray(values[kernel].T)
    bias = np.zeros(len(weight), np.float32)
    kind = OpKind.DENSE
    return Step(kind, node.name, (x,), node.shape, options, "FullyConnectedOptions", weight, bias)


def _pooling(kind: OpKind) -> Maker:
    def make(node: Node, _: Mapping[str, np.ndarray]) -> Step:
        height, width = node.attributes["window"]
        options = {
            **_window(node),
            "filterWidth": width,
            "filterHeight": height,
            "fusedActivationFunction": 0,
        }
        return Step(kind, node.name, node.inputs, node.shape, options, "Pool2DOptions")

    return make


def _simple(kind: OpKind, options_type: str = "", **options: Any) -> Maker:
    """An operator whose inputs are those of the node."""
    return lambda node, _: Step(
        kind, node.name, node.inputs, node.shape, dict(options), options_type
    )


def _mean(node: Node, _: Mapping[str, np.ndarray]) -> Step:
    options = {"keepDims": node.attributes["keeps"]}
    return Step(OpKind.MEAN, node.name, node.inputs, node.shape, options, "ReducerOptions")


def _concatenation(node: Node, _: Mapping[str, np.ndarray]) -> Step:
    options = {"axis": node.attributes["axis"], "fusedActivationFunction": 0}
    kind = OpKind.CONCATENATION
    return Step(kind, node.name, node.inputs[:-1], node.shape, options, "ConcatenationOptions")


def _split(node: Node, _: Mapping[str, np.ndarray]) -> Step:
    options = {"numSplits": node.results}
    step = Step(OpKind.SPLIT, node.name, node.inputs, node.shape, options, "SplitOptions")
    step.results = node.results
    return step


def _resizing(node: Node, _: Mapping[str, np.ndarray]) -> Step:
    options = {"alignCorners": False, "halfPixelCenters": True}
    kind, table = OpKind.RESIZE_BILINEAR, "ResizeBilinearOptions"
    return Step(kind, node.name, node.inputs, node.shape, options, table, version=3)


_MAKERS: dict[str, Maker] = {
    "AddV2": _simple(OpKind.ADD, "AddOptions", fusedActivationFunction=0, potScaleInt16=True),
    "AvgPool": _pooling(OpKind.AVERAGE_POOL),
    "BiasAdd": _simple(OpKind.ADD, "AddOptions", fusedActivationFunction=0, potScaleInt16=True),
    "ConcatV2": _concatenation,
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _dense,
    "MaxPool": _pooling(OpKind.MAX_POOL),
    "Mean": _mean,
    "Mul": _simple(OpKind.MUL, "MulOptions", fusedActivationFunction=0),
    "Pad": _simple(OpKind.PAD, "PadOptions"),
    "Relu": _simple(OpKind.RELU),
    "Relu6": _simple(OpKind.RELU6),
    "Reshape": _simple(OpKind.RESHAPE),
    "ResizeBilinear": _resizing,
    "Sigmoid": _simple(OpKind.LOGISTIC),
    "Softmax": _simple(OpKind.SOFTMAX, "SoftmaxOptions", beta=1.0),
    "Split": _split,
    "Sub": _simple(OpKind.SUB, "SubOptions", fusedActivationFunction=0, potScaleInt16=True),
    "Transpose": _simple(OpKind.TRANSPOSE),
}
