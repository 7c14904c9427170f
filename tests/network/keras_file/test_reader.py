"""The reader of .keras files gives the graph of TensorFlow's converter, bit for bit, or nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.loading.stored_network import StoredNetwork, stored_network
from models.spec import ModelSpec, model_specs
from network.graph import Graph
from network.keras_file.reader import read_graph
from tests.conformance.networks.applications import architecture, builders
from tests.conformance.networks.registry import small_styles
from tests.network.keras_file.comparing import (
    assert_same,
    converted_again,
    read,
    with_random_weights,
)
from tests.network.keras_file.forms import LEFT, READ, network

layers = keras.layers


def _branched() -> keras.Model:
    """Every layer that is read, with branches whose order the converter chooses by name."""
    keras.utils.set_random_seed(3)
    image = x = keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, 2, "valid", use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="conv_1")(x)
    x = layers.Activation("hard_silu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, name="z")(x)
    y = layers.BatchNormalization()(layers.ReLU(6.0)(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(8, 1, activation="relu")(gate)
    gate = layers.Activation("hard_sigmoid")(layers.Conv2D(8, 1)(gate))
    y = layers.Multiply()([y, gate])
    x = layers.Add()([layers.Conv2D(8, 3, padding="same", groups=2, name="a")(x), y])
    one, other = keras.ops.split(x, 2, axis=-1)
    other = layers.AveragePooling2D(3, 1, "same")(other)
    x = layers.Concatenate()([layers.Conv2D(4, 1, activation="silu", name="b")(other), one])
    x = layers.Permute((1, 3, 2))(layers.Reshape((64, 4, 2))(x))
    x = layers.Reshape((8, 8, 8))(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(2)(x))
    end = layers.Dropout(0.1)(layers.Flatten()(layers.MaxPooling2D(4)(x)))
    scores = layers.Dense(4, activation="softmax", name="scores")(end)
    mask = layers.Conv2D(2, 1, activation="sigmoid", name="mask")(x)
    return with_random_weights(keras.Model(image, [scores, mask]))


def test_a_network_of_all_layers_is_the_converters_graph(tmp_path: Path) -> None:
    model = _branched()
    found = read(model, tmp_path)
    assert found is not None
    assert_same(found, converted_again(model))


def _small() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="first")(image)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(6.0, name="relu")(x))
    return keras.Model(image, layers.Dense(3, name="last")(x))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StoredNetwork:
    path = tmp_path_factory.mktemp("small") / "small.keras"
    _small().save(path)
    stored = stored_network(path)
    assert stored is not None
    return stored


def _changed(
    stored: StoredNetwork, change: Callable[[dict[str, Any]], object], layer: str = "first"
) -> Graph | None:
    """Graph of the small network after a change of a layer's entry."""
    config = json.loads(json.dumps(stored.config))
    change(next(one for one in config["config"]["layers"] if one["name"] == layer))
    return read_graph(config, stored.weights)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer["config"].update(lora_rank=2),
        lambda layer: layer["config"].update(new_argument=None),
        lambda layer: layer["config"].update(data_format="channels_first"),
        lambda layer: layer["config"].update(dtype="float16"),
        lambda layer: layer["config"].update(activation={"class_name": "function"}),
        lambda layer: layer["config"].update(activation="tanh"),
        lambda layer: layer["config"].update(filters=5),
        lambda layer: layer["config"].update(groups=2),
        lambda layer: layer["config"].update(kernel_size=[3, 0]),
        lambda layer: layer["config"].update(kernel_size="3"),
        lambda layer: layer["config"].pop("strides"),
        lambda layer: layer.update(class_name="Lambda"),
        lambda layer: layer.update(module="mine"),
        lambda layer: layer["inbound_nodes"].append(layer["inbound_nodes"][0]),
        lambda layer: layer["inbound_nodes"][0]["kwargs"].update(training=True),
        lambda layer: layer["inbound_nodes"][0]["args"].append(3.0),
        lambda layer: layer["inbound_nodes"][0]["args"].append("mask"),
        lambda layer: layer.update(inbound_nodes=[]),
        lambda layer: layer.update(name="other"),
        lambda layer: layer["config"].update(name="_private"),
    ],
)
def test_what_is_not_known_is_left_to_keras(
    small: StoredNetwork, change: Callable[[dict[str, Any]], object]
) -> None:
    assert _changed(small, lambda _: None) is not None
    assert _changed(small, change) is None


def test_a_ring_of_layers_is_left_to_keras(small: StoredNetwork) -> None:
    def ring(layer: dict[str, Any]) -> None:
        history = layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
        history[0] = "relu"

    assert _changed(small, ring) is None


@pytest.mark.parametrize("name", ["first", "last"])
def test_weights_that_do_not_fit_are_left_to_keras(small: StoredNetwork, name: str) -> None:
    weights = dict(small.weights)
    weights[name] = weights[name][:1]
    assert read_graph(small.config, weights) is None
    del weights[name]
    assert read_graph(small.config, weights) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_left_to_keras(value: float, tmp_path: Path) -> None:
    model = _small()
    model.get_layer("first").bias.assign([0, value, 0, 0])
    assert read(model, tmp_path) is None


def _file_with(config: dict[str, Any], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "Lambda", "module": "keras.initializers"},
        {"class_name": "__lambda__", "module": "builtins"},
        {"class_name": "Zeros", "module": "mine.initializers"},
        {"class_name": "Zeros", "module": "keras.initializers", "registered_name": "mine>Zeros"},
        {"class_name": ["Zeros"], "module": "keras.initializers"},
    ],
)
def test_foreign_names_anywhere_in_a_file_are_left_to_keras(
    entry: dict[str, Any], tmp_path: Path
) -> None:
    path = _file_with(
        {"class_name": "Functional", "compile_config": {"x": [entry]}}, tmp_path / "m"
    )
    assert stored_network(path) is None


def _families() -> dict[str, ModelSpec]:
    """A network of each family of the registry."""
    return {spec.build.__module__: spec for spec in reversed(model_specs().values())}


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(_families()))
def test_every_registered_family_is_the_converters_graph(family: str, tmp_path: Path) -> None:
    spec = _families()[family].resized(96)
    model = with_random_weights(spec.build(spec))
    model = model if spec.deployed is None else spec.deployed(model)
    found = read(model, tmp_path)
    assert found is not None
    assert_same(found, converted_again(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_a_form_that_is_read_is_the_converters_graph(name: str, tmp_path: Path) -> None:
    model = with_random_weights(network(READ[name]))
    found = read(model, tmp_path)
    assert found is not None
    assert_same(found, converted_again(model))


def _counted_from_the_front(model: keras.Model) -> keras.Model:
    """The model with the axis of its batch norms counted from the front."""

    def again(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if isinstance(layer, layers.BatchNormalization):
            config["axis"] = len(layer.input.shape) - 1
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=again)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["bn_add_bn", "bn_bn", "bn_dw_same", "bn_relu_conv", "dense_bn", "grp_bn", "mid_output_bn"],
)
def test_norms_whose_axis_is_counted_from_the_front_are_the_converters(
    name: str, tmp_path: Path
) -> None:
    model = with_random_weights(_counted_from_the_front(network(READ[name])))
    found = read(model, tmp_path)
    assert found is not None
    assert_same(found, converted_again(model))


def test_norms_over_another_axis_are_left_to_keras(tmp_path: Path) -> None:
    model = network(lambda x: layers.BatchNormalization(axis=1)(x))
    assert read(with_random_weights(model), tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_a_form_that_the_converter_simplifies_is_left_to_keras(name: str, tmp_path: Path) -> None:
    assert read(with_random_weights(network(LEFT[name])), tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", small_styles())
def test_a_style_that_is_read_is_the_converters_graph(name: str, tmp_path: Path) -> None:
    _check(small_styles()[name].build(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", builders())
def test_an_architecture_that_is_read_is_the_converters_graph(name: str, tmp_path: Path) -> None:
    _check(architecture(name).build(), tmp_path)


def _check(model: keras.Model, folder: Path) -> None:
    """Fail for a network that is read differently; skip one that Keras reads."""
    found = read(with_random_weights(model), folder)
    if found is None:
        pytest.skip("Keras reads this network")
    assert_same(found, converted_again(model))
