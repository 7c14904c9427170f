"""Weights of exported networks: each layer found by shape, kind and depth, or nothing assigned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.weights.by_shape import StoredLayer, assign_by_shape


def _network(*, branches: bool = False, bias: bool = False) -> keras.Model:
    """A stem, a depthwise convolution and a dense end; with two branches of equal shapes or not."""
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 3, use_bias=bias, name="stem")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm", epsilon=1e-3)(stem))
    x = layers.DepthwiseConv2D(3, name="deep")(x)
    if branches:
        x = layers.Add()([layers.Conv2D(4, 1, name="a")(x), layers.Conv2D(4, 1, name="b")(x)])
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.2)(x))
    return keras.Model(image, layers.Dense(2, name="end")(x), name="net")


def _stored(seed: int = 0) -> list[StoredLayer]:
    rng = np.random.default_rng(seed)
    shapes = (((3, 3, 3, 4), False, 4), ((3, 3, 4, 1), True, 4), ((1, 1, 4, 2), False, 2))
    return [
        StoredLayer(
            f"op_{depth}",
            rng.normal(0, 0.5, shape).astype(np.float32),
            rng.normal(0, 0.5, channels).astype(np.float32),
            deep,
            depth,
        )
        for depth, (shape, deep, channels) in enumerate(shapes, 1)
    ]


def _expected(stored: list[StoredLayer], images: np.ndarray) -> np.ndarray:
    stem, deep, end = stored
    x = keras.ops.relu(keras.ops.conv(images, stem.kernel) + stem.bias)
    x = keras.ops.depthwise_conv(x, deep.kernel) + deep.bias
    return np.asarray(keras.ops.mean(x, (1, 2)) @ end.kernel[0, 0] + end.bias)


@pytest.mark.parametrize("bias", [False, True])
def test_folded_layers_give_an_equal_network_in_any_order(bias: bool) -> None:
    model, stored = _network(bias=bias), _stored()
    assign_by_shape(model, stored[::-1])
    images = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    found = np.asarray(model(images, training=False))
    np.testing.assert_allclose(found, _expected(stored, images), atol=1e-5)
    norm = model.get_layer("norm")
    variance = np.float32(norm.moving_variance.numpy()) + np.float32(norm.epsilon)
    np.testing.assert_array_equal(variance, 1)  # so that folding it again changes no bit


def _before(model: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]


def _one_less(stored: list[StoredLayer]) -> list[StoredLayer]:
    return stored[:2]


def _other_shape(stored: list[StoredLayer]) -> list[StoredLayer]:
    kernel = np.zeros((1, 1, 4, 3), np.float32)
    return [*stored[:2], replace(stored[2], kernel=kernel, bias=np.zeros(3, np.float32))]


def _one_more(stored: list[StoredLayer]) -> list[StoredLayer]:
    return [*stored, replace(stored[2], depth=4)]


def _not_depthwise(stored: list[StoredLayer]) -> list[StoredLayer]:
    return [stored[0], replace(stored[1], depthwise=False), stored[2]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_one_less, r"2 layers with weights for 3; end has a kernel \[4, 2\], the file none"),
        (_other_shape, r"end has a kernel \[4, 2\], the file \[1, 1, 4, 3\] in its place"),
        (_one_more, r"4 layers with weights for 3; op_3 .* belongs to no layer"),
        (_not_depthwise, r"deep has a kernel \[3, 3, 4, 1\], the file \[3, 3, 4, 1\] in its"),
    ],
)
def test_a_layer_without_a_partner_is_named_and_nothing_is_assigned(change: Any, said: str) -> None:
    model = _network()
    before = _before(model)
    with pytest.raises(InvalidInputError, match=said):
        assign_by_shape(model, change(_stored()))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_parallel_layers_of_one_shape_cannot_be_told_apart() -> None:
    first, deep, end = _stored()
    branch = StoredLayer("x", np.zeros((1, 1, 4, 4), np.float32), np.zeros(4), False, 3)
    stored = [first, deep, branch, replace(branch, name="y"), replace(end, depth=4)]
    with pytest.raises(InvalidInputError, match="a and b, parallel and of one shape"):
        assign_by_shape(_network(branches=True), stored)


def test_a_norm_that_follows_no_layer_has_no_values() -> None:
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="stem")(image)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization(name="late")(x))
    model = keras.Model(image, x)
    with pytest.raises(InvalidInputError, match=r"late.*folded into no layer"):
        assign_by_shape(model, _stored()[:1])


def test_a_bias_for_a_layer_without_one_is_refused() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="stem")(image)
    with pytest.raises(InvalidInputError, match="a bias for stem, which has none"):
        assign_by_shape(keras.Model(image, x), _stored()[:1])


def test_a_layer_that_is_called_twice_is_refused() -> None:
    image = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(3, 1, name="twice")
    with pytest.raises(InvalidInputError, match="twice, which the network calls more than once"):
        assign_by_shape(keras.Model(image, layer(layer(image))), _stored())


def test_layers_in_a_model_in_a_model_and_separable_ones_are_found() -> None:
    rng = np.random.default_rng(0)
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.SeparableConv2D(4, 3)])
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="end")(inner(image)))
    shapes = (((3, 3, 3, 1), True, 3), ((1, 1, 3, 4), False, 4), ((1, 1, 4, 2), False, 2))
    stored = [
        StoredLayer(f"{d}", rng.normal(size=s).astype(np.float32), np.zeros(c, np.float32), deep, d)
        for d, (s, deep, c) in enumerate(shapes, 1)
    ]
    assign_by_shape(model, stored)
    for variable, layer in zip(model.get_weights()[::2][:1], stored[:1], strict=True):
        np.testing.assert_array_equal(variable, layer.kernel)
    np.testing.assert_array_equal(model.get_layer("end").kernel.numpy(), stored[2].kernel)
