"""Networks of segmentation, attention and other shapes: int8 in both files, with equal integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from evaluation.parity.compare import compare_files
from evaluation.parity.layers import litert_layers
from export.onnx.check import check_graph
from export.onnx.float_render import render_float
from export.onnx.graph import to_model
from export.onnx.render import render as render_onnx
from export.onnx.runtime import run_model
from export.tflite.render import render as render_tflite
from network.from_keras import converted
from network.graph import Graph
from network.oracle.reader import read_integers
from network.run_tensorflow import run
from network.tflite.canonical import canonical_graph
from quantize.engine import make_plan
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import recipe
from quantize.settings import IoType, Layout, Optimization, PlanSettings
from tests.network.graphs import sqnr_db

L = keras.layers
SIDE, COUNT = 12, 12


class Applied(keras.layers.Layer):
    """A function as a layer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, value: Any) -> Any:
        return self.function(value)


def _dilated(x: Any) -> Any:
    """DeepLab: branches with several dilations, one of them grouped, and image pooling."""
    x = L.DepthwiseConv2D(3, dilation_rate=2, padding="same", activation="relu")(x)
    parts = [L.Conv2D(4, 3, dilation_rate=rate, padding="same")(x) for rate in (2, 3)]
    parts.append(L.Conv2D(4, 3, groups=2, padding="same", activation="relu")(x))
    pooled = L.GlobalAveragePooling2D(keepdims=True)(x)
    parts.append(L.UpSampling2D(SIDE, interpolation="bilinear")(L.Conv2D(4, 1)(pooled)))
    return L.Conv2D(6, 1, activation="relu")(L.Concatenate()(parts))


def _u_net(x: Any) -> Any:
    small = L.Conv2D(12, 3, padding="same", activation="relu")(L.MaxPooling2D()(x))
    smaller = L.Conv2D(12, 3, padding="same", activation="relu")(L.MaxPooling2D()(small))
    up = L.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(smaller)
    up = L.Concatenate()([up, small])
    up = L.UpSampling2D()(L.Conv2D(8, 3, padding="same", activation="relu")(up))
    return L.Concatenate()([L.Conv2DTranspose(4, 2)(up)[:, 1:, :-1], x])


def _resized(x: Any) -> Any:
    import tensorflow as tf

    old = tf.compat.v1.image
    x = L.Conv2D(6, 3)(L.Resizing(7, 15)(x))
    x = L.Conv2D(6, 1)(Applied(lambda v: old.resize_bilinear(v, (9, 26), align_corners=True))(x))
    x = L.Conv2D(6, 1)(L.Resizing(5, 20, interpolation="nearest")(x))
    return Applied(lambda v: old.resize_nearest_neighbor(v, (9, 9), align_corners=True))(x)


def _attention(x: Any) -> Any:
    """A block of MobileViT: tokens of one place in each patch, a class token, softmax inside."""
    ops = keras.ops
    tokens = ops.reshape(L.Conv2D(8, 1)(x), (-1, 3, 4, 3, 4, 8))
    tokens = ops.reshape(ops.transpose(tokens, (0, 2, 4, 1, 3, 5)), (-1, 16, 9, 8))
    query, key, value = (L.Dense(8)(tokens) for _ in range(3))
    shares = L.Softmax()(ops.matmul(query, ops.swapaxes(key, 2, 3)) * 0.3)
    tokens = L.Add()([tokens, L.Dense(8, activation="relu")(ops.matmul(shares, value))])
    tokens = ops.reshape(tokens, (-1, 4, 4, 3, 3, 8))
    return ops.reshape(ops.transpose(tokens, (0, 3, 1, 4, 2, 5)), (-1, SIDE, SIDE, 8))


def _sequence(x: Any) -> Any:
    x = L.Reshape((SIDE * SIDE, 8))(x)
    x = L.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    x = L.SeparableConv1D(8, 3, strides=1)(L.MaxPooling1D(4)(x))
    x = L.Permute((2, 1))(L.Dense(6, activation="relu")(x))
    return L.Reshape((6, 2, 17))(x)


def _moved(x: Any) -> Any:
    """Everything that stacks, picks, turns, pads and cuts."""
    import tensorflow as tf

    ops = keras.ops
    first, second = ops.split(x, 2, axis=-1)
    x = ops.stack([first, second], axis=-1)
    first, second = ops.unstack(x, axis=-1)
    x = ops.concatenate([second, ops.take(first, [3, 0], axis=-1)], axis=-1)
    x = ops.flip(L.Conv2D(8, 1)(x), axis=1)
    x = L.Conv2D(4, 3)(Applied(lambda v: tf.nn.depth_to_space(v, 2))(x))
    x = Applied(lambda v: tf.nn.space_to_depth(v, 2))(x)
    x = Applied(lambda v: tf.pad(v, [[0, 0], [1, 1], [0, 2], [0, 0]], "SYMMETRIC"))(x)
    x = Applied(lambda v: tf.pad(v, [[0, 0], [1, 0], [0, 0], [0, 0]], constant_values=-0.5))(x)
    x = L.Conv2D(4, 1)(x[:, 1:9:2, ::-1, ...])
    return ops.tile(x[:, :, 2][:, None], (1, 3, 1, 2))


def _reduced(x: Any) -> Any:
    ops = keras.ops
    gate = ops.max(x, axis=(1, 2), keepdims=True) * x
    rows = ops.min(gate, axis=-1, keepdims=True) + gate
    return ops.sum(rows, axis=2, keepdims=True) + ops.mean(x, axis=(2, 3), keepdims=True)


NETWORKS = {
    "dilated": _dilated, "U-Net": _u_net, "resized": _resized, "attention": _attention,
    "sequence": _sequence, "moved": _moved, "reduced": _reduced,
}  # fmt: skip
"""Bodies between a convolution of 8 channels and a pool with a dense layer."""


def built(body: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3))
    x = body(L.Conv2D(8, 3, padding="same", activation="relu")(image))
    return keras.Model(image, L.Dense(5)(L.GlobalAveragePooling2D()(x)))


def graph_of(model: keras.Model) -> Graph:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda image: model(image, training=False), autograph=False)
    signature = tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(signature))
    return canonical_graph(converted(frozen, "a test"))


@pytest.mark.parametrize("name", NETWORKS)
def test_both_files_hold_the_integers_of_the_plan(name: str, tmp_path: Path) -> None:
    model = built(NETWORKS[name])
    graph = graph_of(model)
    pictures = np.random.default_rng(1).normal(size=(COUNT, SIDE, SIDE, 3)).astype(np.float32)
    expected = np.asarray(model(pictures, training=False))
    exact = run(graph, pictures)
    assert sqnr_db(expected, exact) > 90
    written = to_model(render_float(graph, Layout.NHWC))
    assert sqnr_db(expected, run_model(written, pictures, Layout.NHWC)) > 90

    def batches() -> Iterator[np.ndarray]:
        yield pictures

    settings = PlanSettings(optimization=Optimization.FAST)
    plan = make_plan(graph, CalibrationImages(COUNT, batches), None, settings)
    scaled = plan.network(graph)
    tflite, path = tmp_path / "a.tflite", tmp_path / "a.onnx"
    tflite.write_bytes(render_tflite(scaled, plan, IoType.FLOAT32))
    rendered = render_onnx(scaled, plan, Layout.NHWC)
    assert check_graph(rendered, recipe("onnx-int8")) is None
    onnx.save(to_model(rendered), str(path))
    assert compare_files(tflite, path).differences == ()

    integers = read_integers(tflite)
    (reference,) = litert_layers(tflite, integers.input, [integers.output], pictures)
    reference = reference.reshape(expected.shape)
    ours = integers.activations(pictures[:1])[integers.output]
    assert np.array_equal(ours, reference[:1])
    assert sqnr_db(expected, reference) > 27
    found = run_model(to_model(rendered), pictures, Layout.NHWC)
    assert sqnr_db(expected, found) > 27
    step = plan.activations[graph.output].scale[0]
    assert np.abs(np.rint((found - reference) / step)).max() <= 6
