"""Models of every form: nested, sequential, saved, fixed in batch, and with other blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from export.onnx.target import TARGET
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import recipe
from quantize.settings import Layout
from tests.export.onnx.onnx_cases import images, request_for, run, sqnr

SIZE = 8


def body(x):
    """A model with padded stem, hard-swish, squeeze-and-excitation, swish and multiplier 2."""
    layers = keras.layers
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(beta_initializer="random_normal")(x)
    x = layers.Activation("hard_swish")(x)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, 8))(gate)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="wide")(x)
    x = layers.Activation("swish")(x)
    shortcut = x
    x = layers.Conv2D(16, 1, name="project")(x)
    x = layers.Add()([x, shortcut])
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(5, 1, name="head")(x)
    return layers.Softmax()(layers.Flatten()(x))


def functional(batch=None):
    inputs = keras.Input((SIZE, SIZE, 3), batch_size=batch)
    return keras.Model(inputs, body(inputs))


def nested():
    inner = functional()
    inputs = keras.Input((SIZE, SIZE, 3))
    return keras.Model(inputs, inner(keras.layers.Rescaling(0.5, offset=[0.1, 0.0, -0.1])(inputs)))


def sequential():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(4, 3, padding="same"),
            layers.ReLU(6.0),
            layers.SeparableConv2D(6, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, bias_initializer="random_normal"),
        ]
    )


def saved(tmp_path):
    functional().export(tmp_path / "saved", verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path / "saved", call_endpoint="serving_default")
    inputs = keras.Input((SIZE, SIZE, 3))
    return keras.Model(inputs, next(iter(layer(inputs).values())))


def build(form, tmp_path):
    keras.utils.set_random_seed(5)
    return {
        "functional": functional,
        "fixed": lambda: functional(batch=1),
        "fixed4": lambda: functional(batch=4),
        "nested": nested,
        "sequential": sequential,
        "saved": lambda: saved(tmp_path),
    }[form]()


def scores(model, pixels):
    batch = model.inputs[0].shape[0] or 1
    return np.stack([np.asarray(model(np.stack([p] * batch), training=False))[0] for p in pixels])


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("form", ["functional", "fixed", "fixed4", "nested", "sequential", "saved"])
def test_float32_is_exact(form: str, layout: Layout, tmp_path: Path) -> None:
    model = build(form, tmp_path)
    path = tmp_path / "net.onnx"
    TARGET.write(request_for(model, replace(recipe("onnx-float32"), layout=layout), SIZE), path)
    pixels = images(3, SIZE, seed=8)
    expected = scores(model, pixels)
    assert np.abs(run(path, pixels, layout) - expected).max() < 1e-5 * np.abs(expected).max()
    transposes = [n for n in onnx.load(path).graph.node if n.op_type == "Transpose"]
    assert len(transposes) == (layout is Layout.NHWC)


@pytest.mark.parametrize(
    "name", ["onnx-int8", "onnx-int8-per-tensor", "onnx-dynamic", "onnx-float16"]
)
@pytest.mark.parametrize("form", ["nested", "sequential"])
def test_reduced_precision(form: str, name: str, tmp_path: Path) -> None:
    model = build(form, tmp_path)
    path = tmp_path / "net.onnx"
    TARGET.write(request_for(model, recipe(name), SIZE), path)
    pixels = images(5, SIZE, seed=8)
    assert sqnr(scores(model, pixels), run(path, pixels)) > 25


def test_a_depthwise_multiplier_is_no_depthwise_kernel(tmp_path: Path) -> None:
    model = build("functional", tmp_path)
    path = tmp_path / "net.onnx"
    TARGET.write(request_for(model, recipe("onnx-int8"), SIZE), path)
    weight = next(t for t in TARGET.inspect(path).tensors if t.name == "wide.weight.q")
    stored = {t.name: t for t in onnx.load(path).graph.initializer}[weight.name]
    integers = onnx.numpy_helper.to_array(stored).astype(int)
    rows = integers.reshape(len(integers), -1)
    assert 127 <= np.abs(rows[:, 1:] + rows[:, :-1]).max() <= 128


def test_nodes_are_named_after_layers(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    TARGET.write(request_for(build("functional", tmp_path), recipe("onnx-float32"), SIZE), path)
    names = {node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"}
    assert {"wide", "project", "head"} < names


def channels_model(scale):
    """A model with four 1x1 filters; the last has weights of size ``scale`` and a bias of 1.5."""
    inputs = keras.Input((SIZE, SIZE, 3))
    conv = keras.layers.Conv2D(4, 1, name="conv")
    outputs = keras.layers.GlobalAveragePooling2D()(conv(inputs))
    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 4))
    kernel[..., 3] = scale * np.array([1.0, -1.0, 0.5])
    conv.set_weights([kernel, np.array([0.1, -0.2, 0.3, 1.5])])
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("scale", [0.0, 1e-35, 1e-12, 1e-6])
def test_a_dead_channel_keeps_its_bias(scale: float, tmp_path: Path) -> None:
    model, path = channels_model(scale), tmp_path / "net.onnx"
    TARGET.write(request_for(model, recipe("onnx-int8"), SIZE), path)
    pixels = images(4, SIZE, seed=8)
    np.testing.assert_allclose(run(path, pixels)[:, 3], scores(model, pixels)[:, 3], atol=0.02)


def test_numbers_too_large_for_float16(tmp_path: Path) -> None:
    model = channels_model(1e5)
    with pytest.raises(InvalidInputError, match="65504"):
        TARGET.write(request_for(model, recipe("onnx-float16"), SIZE), tmp_path / "net.onnx")


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        TARGET.write(
            request_for(channels_model(np.nan), recipe("onnx-int8"), SIZE), tmp_path / "net.onnx"
        )


def test_spatial_flatten_needs_nhwc(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )
    path, asked = tmp_path / "net.onnx", recipe("onnx-int8")
    TARGET.write(request_for(model, asked, SIZE), path)
    pixels = images(3, SIZE, seed=8)
    assert sqnr(scores(model, pixels), run(path, pixels)) > 25
    with pytest.raises(UnsupportedError, match="layout nhwc"):
        TARGET.write(request_for(model, replace(asked, layout=Layout.NCHW), SIZE), path)


def test_a_model_with_other_inputs(tmp_path: Path) -> None:
    inputs = keras.Input((SIZE, SIZE, 1))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(InvalidInputError, match="one input"):
        TARGET.write(request_for(model, recipe("onnx-float32"), SIZE), tmp_path / "net.onnx")


def test_a_layer_that_stays_float_is_named(tmp_path: Path) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.Activation("tanh")(x)
    x = keras.layers.Dense(6)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Activation("elu")(x))
    TARGET.write(request_for(model, recipe("onnx-int8"), SIZE), tmp_path / "net.onnx")
    floats = {
        op.name for op in TARGET.inspect(tmp_path / "net.onnx").operators if op.compute == "float32"
    }
    assert floats - {"Transpose"} == {"Exp", "Min"}  # of ELU; the quantizer takes its sums
