"""Keras layers without weights as TensorFlow's nodes.

Source: keras/src/layers and keras/src/backend/tensorflow of Keras 3.
"""

from __future__ import annotations

import math

import numpy as np

from network.keras_file.activations import activated
from network.keras_file.arguments import function_name, pair, positions, require
from network.keras_file.config import LayerEntry
from network.keras_file.nodes import Layer, Node, UnknownPartError, Value
from network.keras_file.rows import Row, one

Weights = list[np.ndarray]


def _activation(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    return activated(layer, function_name(entry.config["activation"]), inputs[0])


def _relu(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    require(entry.config, negative_slope=0.0, threshold=0.0)
    limit = entry.config["max_value"]
    if limit not in (None, 6.0):
        raise UnknownPartError(f"max_value {limit}")
    return activated(layer, "relu" if limit is None else "relu6", inputs[0])


def _nothing(_: Layer, __: LayerEntry, inputs: list[Value], ___: Weights) -> Value:
    return inputs[0]


def _global_average(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    x, keeps = one(inputs, 4), bool(entry.config["keepdims"])
    axes = layer.constant("Mean/reduction_indices", np.array([1, 2], np.int32))
    shape = (1, 1, 1, x.shape[3]) if keeps else (1, x.shape[3])
    return layer.node("Mean", "Mean", [x, axes], shape, keeps=keeps)


def _pooling(name: str, kind: str) -> Row:
    def lower(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
        x, config = one(inputs, 4), entry.config
        window, strides = pair(config["pool_size"]), pair(config["strides"])
        sides = zip(x.shape[1:3], window, strides, strict=True)
        found = [positions(n, k, stride, config["padding"]) for n, k, stride in sides]
        shape = (1, *found, x.shape[3])
        settings = {"window": window, "strides": strides, "padding": config["padding"]}
        return layer.node(name, kind, [x], shape, **settings)

    return Row(lower, frozenset({"pool_size", "strides", "padding", "data_format"}))


def _merge(name: str, kind: str) -> Row:
    def lower(layer: Layer, _: LayerEntry, inputs: list[Value], __: Weights) -> Value:
        first, second = inputs if len(inputs) == 2 else (None, None)
        if first is None or second is None or len(first.shape) != len(second.shape):
            raise UnknownPartError(f"{len(inputs)} inputs")
        shape = tuple(map(int, np.broadcast_shapes(first.shape, second.shape)))
        return layer.node(name, kind, [first, second], shape)

    return Row(lower)


def _concatenate(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    rank, axis = len(inputs[0].shape), int(entry.config["axis"])
    if axis not in (-1, rank - 1) or len(inputs) < 2:
        raise UnknownPartError("an axis other than the channels")
    stored = layer.constant("concat/axis", np.array(axis, np.int32))
    shape = (*inputs[0].shape[:-1], sum(x.shape[-1] for x in inputs))
    return layer.node("concat", "ConcatV2", [*inputs, stored], shape, axis=axis)


def _reshape(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    size = math.prod(inputs[0].shape)
    wanted = [int(side) for side in entry.config["target_shape"]]
    if -1 in wanted:
        wanted[wanted.index(-1)] = size // -math.prod(wanted)
    if min(wanted) < 1 or math.prod(wanted) != size:
        raise UnknownPartError(f"the shape {wanted}")
    return reshaped(layer, inputs[0], (1, *wanted))


def _flatten(layer: Layer, _: LayerEntry, inputs: list[Value], __: Weights) -> Value:
    return reshaped(layer, inputs[0], (1, math.prod(inputs[0].shape)))


def reshaped(layer: Layer, x: Value, shape: tuple[int, ...]) -> Value:
    """The same numbers in another shape, with the batch of one in front."""
    stored = layer.constant("Reshape/shape", np.array(shape, np.int32))
    return layer.node("Reshape", "Reshape", [x, stored], shape)


def _permute(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    order = (0, *(int(axis) for axis in entry.config["dims"]))
    if sorted(order) != list(range(len(inputs[0].shape))):
        raise UnknownPartError(f"the order {order}")
    if order == tuple(sorted(order)) or 1 in inputs[0].shape[1:]:
        raise UnknownPartError("axes of one, or in their order")
    stored = layer.constant("transpose/perm", np.array(order, np.int32))
    shape = tuple(inputs[0].shape[axis] for axis in order)
    return layer.node("transpose", "Transpose", [inputs[0], stored], shape)


def _zero_padding(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    x = one(inputs, 4)
    (top, bottom), (left, right) = entry.config["padding"]
    whole = all(isinstance(size, int) for size in (top, bottom, left, right))
    sides = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    if not whole or sides.min() < 0:
        raise UnknownPartError("a negative padding")
    shape = tuple(int(n + sum(ends)) for n, ends in zip(x.shape, sides, strict=True))
    return layer.node("Pad", "Pad", [x, layer.constant("Const", sides)], shape)


def _up_sampling(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    x = one(inputs, 4)
    require(entry.config, interpolation="bilinear")
    sides = [n * factor for n, factor in zip(x.shape[1:3], pair(entry.config["size"]), strict=True)]
    stored = layer.constant("resize/size", np.array(sides, np.int32))
    shape = (1, *sides, x.shape[3])
    return layer.node("resize/ResizeBilinear", "ResizeBilinear", [x, stored], shape)


def _rescaling(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
    """``scale x + offset``."""
    numbers = entry.config["scale"], entry.config["offset"]
    if not all(isinstance(number, int | float) for number in numbers):
        raise UnknownPartError("a scale for each channel")
    scale, offset = (np.array(number, np.float32) for number in numbers)
    x = layer.node("mul", "Mul", [inputs[0], layer.constant("Cast/x", scale)])
    return layer.node("add", "AddV2", [x, layer.constant("Cast_1/x", offset)])


def _operation(name: str, kind: str) -> Row:
    """An operation on a result and a number, which TensorFlow names without a scope."""

    def lower(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> Value:
        if len(inputs) != 1 or set(entry.numbers) != {1}:
            raise UnknownPartError("the operands of an operation")
        sketch = layer.sketch
        number = np.array(entry.numbers[1], np.float32)
        stored = layer.constant(sketch.unique("Const"), number)
        return layer.node(sketch.unique(name), kind, [inputs[0], stored])

    return Row(lower, scoped=False, numbers=True)


def _split(layer: Layer, entry: LayerEntry, inputs: list[Value], _: Weights) -> tuple[Value, ...]:
    """Equal parts of the channels. TensorFlow names the node, which has no scope of its layer."""
    (x,), sketch = inputs, layer.sketch
    parts, axis = entry.config["indices_or_sections"], entry.config["axis"]
    if not isinstance(parts, int) or axis != -1 or x.shape[-1] % parts:
        raise UnknownPartError("the parts of a split")
    name = f"{sketch.scope}{sketch.unique('split')}"
    stored = sketch.add(Node(f"{name}/split_dim", "Const", (), (), np.array(axis, np.int32)))
    shape = (*x.shape[:-1], x.shape[-1] // parts)
    sketch.add(Node(name, "Split", (stored.node, x.node), shape, results=parts))
    return tuple(Value(f"{name}:{n}" if n else name, shape) for n in range(parts))


ROWS = {
    "keras.layers.Activation": Row(_activation, frozenset({"activation"})),
    "keras.layers.Add": _merge("Add", "AddV2"),
    "keras.layers.AveragePooling2D": _pooling("AvgPool", "AvgPool"),
    "keras.layers.Concatenate": Row(_concatenate, frozenset({"axis"})),
    "keras.layers.Dropout": Row(_nothing, frozenset({"rate", "seed", "noise_shape"})),
    "keras.layers.Flatten": Row(_flatten, frozenset({"data_format"})),
    "keras.layers.GlobalAveragePooling2D": Row(
        _global_average, frozenset({"data_format", "keepdims"})
    ),
    "keras.layers.MaxPooling2D": _pooling("MaxPool2d", "MaxPool"),
    "keras.layers.Multiply": _merge("Mul", "Mul"),
    "keras.layers.Permute": Row(_permute, frozenset({"dims"})),
    "keras.layers.ReLU": Row(_relu, frozenset({"max_value", "negative_slope", "threshold"})),
    "keras.layers.Rescaling": Row(_rescaling, frozenset({"scale", "offset"})),
    "keras.layers.Reshape": Row(_reshape, frozenset({"target_shape"})),
    "keras.layers.UpSampling2D": Row(
        _up_sampling, frozenset({"size", "data_format", "interpolation"})
    ),
    "keras.src.ops.numpy.Add": _operation("Add", "AddV2"),
    "keras.src.ops.numpy.Multiply": _operation("Mul", "Mul"),
    "keras.src.ops.numpy.Split": Row(
        _split, frozenset({"indices_or_sections", "axis"}), scoped=False
    ),
    "keras.layers.ZeroPadding2D": Row(_zero_padding, frozenset({"padding", "data_format"})),
}
