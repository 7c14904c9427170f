"""The canonical graph as a float ONNX graph: fused operators, every operator, both layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from export.onnx.float_render import render_float
from export.onnx.graph import OnnxGraph, is_shuffle_transpose, to_model
from export.onnx.runtime import run_model
from foundation.errors import UnsupportedError
from network.from_keras import from_keras
from network.graph import Graph
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.settings import Layout
from tests.network.graphs import Builder, images

L = keras.layers
SIDE = 8


def builder(seed: int = 0) -> Builder:
    return Builder(np.random.default_rng(seed))


def scored(b: Builder, last: str) -> Graph:
    b.dense("scores", b.mean("pool", last), 4)
    return b.graph()


def kinds(graph: OnnxGraph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def assert_alike(graph: Graph, layout: Layout = Layout.NCHW) -> OnnxGraph:
    """Render, and compare with the canonical graph on TensorFlow on several images at once."""
    pictures = images(3, seed=5)
    written = render_float(graph, layout)
    expected = run(graph, pictures)
    found = run_model(to_model(written), pictures, layout)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    return written


def padded(widths: list[list[int]]) -> tuple[Builder, str]:
    b = builder()
    image = b.conv("stem", "image", 4, kernel=3)
    amounts = b.constant("pad.widths", np.array(widths, np.int32))
    shape = tuple(s + sum(w) for s, w in zip((1, SIDE, SIDE, 4), widths, strict=True))
    return b, b.op(OpKind.PAD, "pad", (image, amounts), shape, "PadOptions")


def valid(b: Builder, name: str, source: str) -> str:
    _, height, width, channels = b.tensors[source].shape
    constants = b.weights(name, (5, 3, 3, channels), 5)
    shape = (1, (height - 3) // 2 + 1, (width - 3) // 2 + 1, 5)
    window = {"padding": 1, "strideH": 2, "strideW": 2, "dilationHFactor": 1, "dilationWFactor": 1}
    return b.op(OpKind.CONV, name, (source, *constants), shape, "Conv2DOptions", **window)


def test_zeros_go_into_the_convolutions_that_alone_read_them() -> None:
    b, pad = padded([[0, 0], [1, 2], [0, 3], [0, 0]])
    sum_of = b.add("sum", valid(b, "first", pad), valid(b, "second", pad))
    written = assert_alike(scored(b, sum_of))
    assert "Pad" not in kinds(written)
    pads = [node.attributes["pads"] for node in written.nodes if node.op_type == "Conv"][1:]
    assert pads == [[1, 0, 2, 3]] * 2


def test_zeros_before_a_convolution_that_pads_too() -> None:
    b, pad = padded([[0, 0], [1, 1], [1, 1], [0, 0]])
    written = assert_alike(scored(b, b.conv("next", pad, 5, kernel=3, stride=2)))
    assert "Pad" not in kinds(written)


@pytest.mark.parametrize("case", ["channels", "read by another"])
def test_zeros_that_a_convolution_cannot_add_stay(case: str) -> None:
    channels = case == "channels"
    b, pad = padded([[0, 0], [1, 1], [1, 1], [0, 2 if channels else 0]])
    last = valid(b, "next", pad)
    if not channels:
        last = b.add("sum", b.mean("squeezed", pad), b.dense("rows", b.mean("mean", last), 4))
        b.dense("scores", last, 4)
    written = assert_alike(b.graph() if not channels else scored(b, last))
    assert "Pad" in kinds(written)


def shuffled(b: Builder, groups: int) -> str:
    image = b.conv("stem", "image", 12, kernel=3)
    each = 12 // groups

    def reshape(name: str, source: str, *shape: int) -> str:
        sizes = b.constant(f"{name}.sizes", np.array(shape, np.int32))
        return b.op(OpKind.RESHAPE, name, (source, sizes), shape, "ReshapeOptions")

    apart = reshape("apart", image, 1, SIDE * SIDE, groups, each)
    order = b.constant("deal.order", np.array([0, 1, 3, 2], np.int32))
    shape = (1, SIDE * SIDE, each, groups)
    dealt = b.op(OpKind.TRANSPOSE, "deal", (apart, order), shape, "TransposeOptions")
    return reshape("joined", dealt, 1, SIDE, SIDE, 12)


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("layout", list(Layout))
def test_a_channel_shuffle_needs_no_other_layout(groups: int, layout: Layout) -> None:
    b = builder()
    written = assert_alike(scored(b, b.conv("next", shuffled(b, groups), 5, kernel=3)), layout)
    transposes = [node for node in written.nodes if node.op_type == "Transpose"]
    assert sum(map(is_shuffle_transpose, transposes)) == 1
    assert len(transposes) == 1 + (layout is Layout.NHWC)


@pytest.mark.parametrize("form", ["in a convolution", "after an addition of 3", "alone"])
def test_hard_sigmoid_is_one_operator(form: str) -> None:
    b = builder()
    image = b.conv("stem", "image", 4, kernel=3)
    shape = b.tensors[image].shape
    if form == "in a convolution":
        gate = b.conv("gate", image, 4, fused=Fused.RELU6)
    elif form == "alone":
        gate = b.op(OpKind.RELU6, "gate", (image,), shape)
    else:
        gate = b.add("gate", image, b.constant("three", np.float32(3)), Fused.RELU6)
    sixth = b.constant("sixth", np.array(1 / 6, np.float32))
    gate = b.op(OpKind.MUL, "sigmoid", (gate, sixth), shape, "MulOptions")
    product = b.op(OpKind.MUL, "product", (image, gate), shape, "MulOptions")
    written = assert_alike(scored(b, product))
    assert kinds(written).count("HardSigmoid") == 1
    assert "Clip" not in kinds(written)
    assert kinds(written).count("Mul") == 1
    assert "Add" not in kinds(written)


def test_the_three_of_a_hard_sigmoid_leaves_the_bias() -> None:
    """float16 would keep few bits of what is added to it; as the converter hands it over."""
    b = builder()
    gate = b.conv("gate", "image", 4, fused=Fused.RELU6)
    b.constant("gate.bias", b.graph().value("gate.bias") + np.float32(3))
    sixth = b.constant("sixth", np.array(1 / 6, np.float32))
    sigmoid = b.op(OpKind.MUL, "sigmoid", (gate, sixth), b.tensors[gate].shape, "MulOptions")
    written = assert_alike(scored(b, sigmoid))
    assert np.abs(written.constants["gate.bias"]).max() < 1


def test_a_bias_of_zeros_is_not_stored() -> None:
    b = builder()
    last = b.conv("stem", "image", 4)
    b.constant("stem.bias", np.zeros(4, np.float32))
    written = assert_alike(scored(b, last))
    assert "stem.bias" not in written.constants
    assert "scores.bias" in written.constants


def test_a_clip_that_others_read_stays() -> None:
    b = builder()
    gate = b.conv("gate", "image", 4, fused=Fused.RELU6)
    sixth = b.constant("sixth", np.array(1 / 6, np.float32))
    shape = b.tensors[gate].shape
    sigmoid = b.op(OpKind.MUL, "sigmoid", (gate, sixth), shape, "MulOptions")
    written = assert_alike(scored(b, b.add("sum", sigmoid, gate)))
    assert "HardSigmoid" not in kinds(written)


def test_transposes_that_follow_each_other_are_one() -> None:
    b = builder()
    image = b.conv("stem", "image", 6, kernel=3)
    for name in ("first", "second"):
        order = b.constant(f"{name}.order", np.array([0, 2, 1, 3], np.int32))
        image = b.op(OpKind.TRANSPOSE, name, (image, order), b.tensors[image].shape)
    graph = scored(b, b.conv("next", image, 5, kernel=3))
    assert kinds(assert_alike(graph, Layout.NCHW)).count("Transpose") == 0
    assert kinds(assert_alike(graph, Layout.NHWC)).count("Transpose") == 1


def test_results_have_the_names_of_their_operators() -> None:
    b = builder()
    written = render_float(scored(b, b.conv("stem", "image", 4)), Layout.NCHW)
    assert [node.name for node in written.nodes if node.name] == ["stem", "pool", "scores"]
    assert written.nodes[0].outputs == ["stem"]
    assert not [n for node in written.nodes for n in node.outputs if n.endswith(".f")]


def test_an_operator_without_a_form_is_named() -> None:
    b = builder()
    odd = b.op("ATAN2", "odd", (b.conv("stem", "image", 4),), (1, SIDE, SIDE, 4))
    with pytest.raises(UnsupportedError, match="ATAN2, which gives odd"):
        render_float(scored(b, odd), Layout.NHWC)


def _convolved(x: Any, **more: Any) -> Any:
    return L.Conv2D(6, 3, padding="same", bias_initializer="random_normal", **more)(x)


def _function(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: L.Lambda(compute)(x)


def _places() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Branches with elementwise operators."""
    names = (
        "elu selu gelu tanh sigmoid hard_sigmoid hard_swish swish leaky_relu softsign exponential"
        " softplus softmax log_softmax hard_shrink"
    )
    for name in names.split():
        yield name, L.Activation(name)
    ops = keras.ops
    yield "gelu by tanh", _function(lambda x: ops.gelu(x, approximate=True))
    yield "prelu", L.PReLU(alpha_initializer="random_normal", shared_axes=[1, 2])
    yield "prelu of each place", L.PReLU(alpha_initializer="random_normal")
    yield "power", _function(lambda x: ops.power(ops.abs(x) + 0.1, 1.7))
    yield "root", _function(lambda x: ops.rsqrt(ops.square(x) + 1.0) + ops.sqrt(ops.abs(x)))
    yield "sines", _function(lambda x: ops.sin(x) - ops.cos(x) + ops.floor(x))
    yield "maximum", _function(lambda x: ops.maximum(x, ops.minimum(-x, 0.25)))
    yield "normalization", L.LayerNormalization()


def _shapes() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Branches with operators that change sizes or move numbers."""
    import tensorflow as tf

    ops = keras.ops
    yield "crop", L.Cropping2D(((1, 2), (0, 3)))
    yield "every other, backwards", _function(lambda x: x[:, ::2, 1:-1, ::-1])
    yield "bilinear", L.UpSampling2D(2, interpolation="bilinear")
    yield "bilinear, odd", L.Resizing(11, 5)
    yield "nearest, odd", L.Resizing(11, 5, interpolation="nearest")
    yield "repeated", L.UpSampling2D(2)
    yield "transposed", L.Conv2DTranspose(5, 3, strides=2, padding="same")
    yield "transposed, valid", L.Conv2DTranspose(5, 3, strides=2)
    yield "transposed, with gaps", L.Conv2DTranspose(5, 2, strides=3)
    yield "pixels", L.Dense(7, activation="relu")
    yield "depth to space", _function(lambda x: tf.nn.depth_to_space(x[..., :4], 2))
    yield "space to depth", _function(lambda x: tf.nn.space_to_depth(x, 2))
    yield "reflected", _function(lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], "REFLECT"))
    yield "swapped", L.Permute((2, 1, 3))
    yield "largest of pixels", _function(lambda x: ops.max(x, -1, keepdims=True) - ops.min(x))
    yield "mean of columns", _function(lambda x: ops.mean(x, 1, keepdims=True))
    yield "one row", _function(lambda x: x[:, 3, None])
    yield "halves", _function(lambda x: ops.concatenate(ops.split(x, 2, axis=1), axis=2))
    yield (
        "gate of a vector",
        lambda x: L.Multiply()(
            [x, L.Reshape((1, 1, 6))(L.Dense(6, "sigmoid")(L.GlobalAveragePooling2D()(x)))]
        ),
    )
    yield "groups", L.GroupNormalization(3)
    yield "pooled", lambda x: L.AveragePooling2D(3, 2, "same")(L.MaxPooling2D(3, 2, "same")(x))


def _rows() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Branches that end in a vector."""
    yield "largest", L.GlobalMaxPooling2D()
    yield (
        "attention",
        lambda x: L.GlobalAveragePooling1D()(
            L.MultiHeadAttention(2, 4)(*2 * [L.Reshape((SIDE * SIDE, 6))(x)])
        ),
    )
    yield "flat", L.Flatten()


BRANCHES = {"places": _places, "shapes": _shapes, "rows": _rows}


@pytest.mark.parametrize("group", BRANCHES)
def test_operators_compute_what_keras_does(group: str) -> None:
    """A network with a branch for each operator; their scores are concatenated."""
    keras.utils.set_random_seed(4)
    image = keras.Input((SIDE, SIDE, 3))
    names, parts = [], []
    for name, layer in BRANCHES[group]():
        rows = layer(_convolved(image))
        if group != "rows":
            rows = L.GlobalAveragePooling2D()(_convolved(rows))
        names += [name] * rows.shape[-1]
        parts.append(rows)
    model = keras.Model(image, L.Concatenate()(parts))
    graph = from_keras(model, Preprocessing((SIDE, SIDE), Crop.STRETCH))
    pictures = images(3, seed=5)
    found = run_model(to_model(render_float(graph, Layout.NHWC)), pictures, Layout.NHWC)
    expected = np.asarray(model(pictures, training=False))
    wrong = np.abs(found - expected).max(0) > 1e-4 * np.abs(expected).max()
    assert not {name for name, bad in zip(names, wrong, strict=True) if bad}
