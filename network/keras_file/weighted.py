"""Keras layers with weights as TensorFlow's nodes.

Source: keras/src/backend/tensorflow/nn.py and keras/src/layers of Keras 3.
"""

from __future__ import annotations

import numpy as np

from network.exact_norms import inverse_root
from network.keras_file.activations import activated
from network.keras_file.arguments import function_name, pair, positions, require
from network.keras_file.config import LayerEntry
from network.keras_file.nodes import Layer, UnknownPartError, Value
from network.keras_file.rows import Row, one

_WINDOW = frozenset({"kernel_size", "strides", "padding", "data_format", "dilation_rate"})
_ENDS = frozenset({"activation", "use_bias"})


def _convolution(
    layer: Layer, entry: LayerEntry, inputs: list[Value], weights: list[np.ndarray]
) -> Value:
    x, config = one(inputs, 4), entry.config
    kernel, *biases = weights
    groups, filters = int(config["groups"]), int(config["filters"])
    if x.shape[3] % groups or filters % groups:
        raise UnknownPartError(f"{groups} groups")
    _require_shape(kernel, (*pair(config["kernel_size"]), x.shape[3] // groups, filters))
    name = "convolution"
    if groups == 1:
        read = layer.variable(name, kernel)
    else:  # a function that XLA may compile, whose weight TensorFlow names by a number
        name, read = "StatefulPartitionedCall", layer.constant("0", kernel)
    shape = _window_shape(entry, x, filters)
    x = layer.node(name, "Conv2D", [x, read], shape, **_window(entry), grouped=groups > 1)
    return _finished(layer, entry, x, biases)


def _depthwise(
    layer: Layer, entry: LayerEntry, inputs: list[Value], weights: list[np.ndarray]
) -> Value:
    x, config = one(inputs, 4), entry.config
    kernel, *biases = weights
    multiplier = int(config["depth_multiplier"])
    _require_shape(kernel, (*pair(config["kernel_size"]), x.shape[3], multiplier))
    shape = _window_shape(entry, x, x.shape[3] * multiplier)
    dilated = pair(config["dilation_rate"]) != (1, 1)
    if dilated:  # by a space of more images, which the converter undoes
        x = _moved(layer, "SpaceToBatchND", "paddings", x, x.shape)
    read = layer.variable("depthwise", kernel)
    x = layer.node("depthwise", "DepthwiseConv2dNative", [x, read], shape, **_window(entry))
    if dilated:
        x = _moved(layer, "BatchToSpaceND", "crops", x, shape)
    return _finished(layer, entry, x, biases)


def _moved(layer: Layer, kind: str, ends: str, x: Value, shape: tuple[int, ...]) -> Value:
    """A move between space and batch, whose constants nothing reads here."""
    name = f"depthwise/{kind}"
    constants = [
        layer.constant(f"{name}/{role}", np.zeros(2, np.int32)) for role in ("block_shape", ends)
    ]
    return layer.node(name, kind, [x, *constants], shape)


def _dense(
    layer: Layer, entry: LayerEntry, inputs: list[Value], weights: list[np.ndarray]
) -> Value:
    x, config = one(inputs, 2), entry.config
    kernel, *biases = weights
    units = int(config["units"])
    _require_shape(kernel, (x.shape[1], units))
    read = layer.variable("Cast", kernel)
    x = layer.node("MatMul", "MatMul", [x, read], (1, units))
    if len(biases) != bool(config["use_bias"]):
        raise UnknownPartError("the number of weights")
    if biases:
        _require_shape(biases[0], (units,))
        x = layer.node("BiasAdd", "BiasAdd", [x, layer.variable("BiasAdd", biases[0])])
    return activated(layer, function_name(config["activation"]), x)


def _batch_norm(
    layer: Layer, entry: LayerEntry, inputs: list[Value], weights: list[np.ndarray]
) -> Value:
    """``x scale + (beta - mean scale)`` with ``scale = gamma / sqrt(variance + epsilon)``.

    Numbers are those of ``network.exact_norms``. Where the axis is counted from the front, Keras
    reshapes the weights to the rank of the input.
    """
    x, config = inputs[0], entry.config
    require(config, synchronized=False, renorm=False)
    if config["axis"] not in (-1, len(x.shape) - 1):
        raise UnknownPartError("a batch norm over another axis than the channels")
    channels = x.shape[-1]
    shape = (channels,) if config["axis"] == -1 else (*(1 for _ in x.shape[1:]), channels)

    def read(name: str, weight: np.ndarray, number: str) -> Value:
        """A weight, in the shape that meets the input."""
        stored = layer.variable(name, weight)
        if weight.shape == shape:
            return stored
        of_shape = layer.constant(f"Reshape{number}/shape", np.array(shape, np.int32))
        return layer.node(f"Reshape{number}", "Reshape", [stored, of_shape], shape)

    stored = list(weights)
    gamma = stored.pop(0) if config["scale"] else None
    beta = stored.pop(0) if config["center"] else None
    mean, variance = stored
    for weight in weights:
        _require_shape(weight, (channels,))
    root = inverse_root(variance + np.float32(config["epsilon"]))
    scale = layer.constant("batchnorm/Rsqrt", root.reshape(shape))
    layer.variable("Cast_1", variance)
    if beta is None or gamma is None:
        raise UnknownPartError("a batch norm without scale or center")
    scale = layer.node("batchnorm/mul", "Mul", [scale, read("Cast_2", gamma, "_3")])
    x = layer.node("batchnorm/mul_1", "Mul", [x, scale])
    moved = layer.node("batchnorm/mul_2", "Mul", [read("Cast", mean, ""), scale])
    offset = layer.node("batchnorm/sub", "Sub", [read("Cast_3", beta, "_2"), moved])
    return layer.node("batchnorm/add_1", "AddV2", [x, offset])


def _window_shape(entry: LayerEntry, x: Value, channels: int) -> tuple[int, ...]:
    config = entry.config
    sides = zip(
        x.shape[1:3],
        pair(config["kernel_size"]),
        pair(config["strides"]),
        pair(config["dilation_rate"]),
        strict=True,
    )
    padding = config["padding"]
    return (1, *(positions(n, k, stride, padding, d) for n, k, stride, d in sides), channels)


def _window(entry: LayerEntry) -> dict[str, object]:
    config = entry.config
    strides, dilation = pair(config["strides"]), pair(config["dilation_rate"])
    if dilation != (1, 1) and strides != (1, 1):
        raise UnknownPartError("strides and dilation")
    return {"strides": strides, "padding": config["padding"], "dilation": dilation}


def _finished(layer: Layer, entry: LayerEntry, x: Value, biases: list[np.ndarray]) -> Value:
    """A convolution with its bias and its activation."""
    config = entry.config
    if len(biases) != bool(config["use_bias"]):
        raise UnknownPartError("the number of weights")
    if biases:
        channels = x.shape[3]
        _require_shape(biases[0], (channels,))
        read = layer.variable("Reshape", biases[0])
        shape = layer.constant("Reshape/shape", np.array([1, 1, 1, channels], np.int32))
        bias = layer.node("Reshape", "Reshape", [read, shape], (1, 1, 1, channels))
        bias = layer.node("Squeeze", "Squeeze", [bias], (channels,))
        x = layer.node("BiasAdd", "BiasAdd", [x, bias])
    return activated(layer, function_name(config["activation"]), x)


def _require_shape(weight: np.ndarray, shape: tuple[int, ...]) -> None:
    if weight.shape != shape:
        raise UnknownPartError(f"a weight of the shape {weight.shape}")


ROWS = {
    "keras.layers.Conv2D": Row(_convolution, _WINDOW | _ENDS | {"filters", "groups"}),
    "keras.layers.DepthwiseConv2D": Row(_depthwise, _WINDOW | _ENDS | {"depth_multiplier"}),
    "keras.layers.Dense": Row(_dense, _ENDS | {"units"}),
    "keras.layers.BatchNormalization": Row(
        _batch_norm,
        frozenset({"axis", "momentum", "epsilon", "center", "scale", "synchronized"})
        | {"renorm", "renorm_clipping", "renorm_momentum"},
    ),
}
