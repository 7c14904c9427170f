"""Params and multiply-adds from the graph, against hand counts and Keras's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from foundation.errors import UnsupportedError
from models.cost.counting import cost_of, spec_cost
from models.cost.keras_graph import graph_of, unfused_graph
from models.cost.memory import peak_memory
from models.cost.table import ListedCost, counted, listed_costs, table
from models.loading.files import load_keras_file
from models.spec import model_spec, model_specs
from tests.models.networks import classifier, tiny_spec

FAST = ("mobilenet_v2", "mobilenet_v2_small", "shufflenet_v2", "mobileone_s1")


def on(layer: Any, shape: tuple[int, ...] = (8, 6, 4)) -> keras.Model:
    image = keras.Input(shape)
    return keras.Model(image, layer(image))


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (lambda: layers.Conv2D(5, 3), 6 * 4 * 3 * 3 * 4 * 5),
        (lambda: layers.Conv2D(5, 3, strides=2, padding="same"), 4 * 3 * 3 * 3 * 4 * 5),
        (lambda: layers.Conv2D(6, (1, 3), groups=2), 8 * 4 * 3 * 2 * 6),
        (lambda: layers.Conv2D(5, 3, dilation_rate=2, padding="same"), 8 * 6 * 9 * 4 * 5),
        (lambda: layers.DepthwiseConv2D(3, padding="same"), 8 * 6 * 9 * 4),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 4 * 9 * 4 * 2),
        (lambda: layers.SeparableConv2D(5, 3), 6 * 4 * 9 * 4 + 6 * 4 * 4 * 5),
        (lambda: layers.Conv2DTranspose(5, 3, strides=2), 8 * 6 * 9 * 4 * 5),
        (lambda: layers.Dense(7), 8 * 6 * 4 * 7),
        (layers.BatchNormalization, 0),
        (layers.PReLU, 0),
        (layers.ReLU, 0),
        (layers.MaxPooling2D, 0),
        (layers.Flatten, 0),
    ],
)
def test_multiply_adds_of_a_layer(layer: Callable[[], Any], macs: int) -> None:
    model = on(layer())
    cost = cost_of(model)
    assert cost.macs == macs
    assert cost.params == model.count_params()


def test_what_a_converter_fuses_is_one_layer_and_the_rest_is_not() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization()(x)
    shortcut = x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Activation("hard_silu", name="swish")(x)
    x = layers.Activation("relu")(layers.Add(name="add")([shortcut, x]))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    scores = layers.Dense(3, activation="softmax", name="scores")(x)
    cost = cost_of(keras.Model(image, scores))
    assert [layer.name for layer in cost.layers] == [
        "conv", "depthwise", "swish", "add", "scores", "scores/softmax",
    ]  # fmt: skip
    assert [layer.live for layer in cost.layers] == [
        64 * 7, 64 * 8, 64 * 12, 64 * 12, 64 * 4 + 3, 6,
    ]  # fmt: skip
    assert cost.peak == 64 * 12
    assert cost.folded_params == cost.params - 3 * 4


def test_models_in_models_and_layers_that_are_shared() -> None:
    inner = on(layers.Conv2D(4, 1, name="inner"))
    image = keras.Input((8, 6, 4))
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    model = keras.Model(image, shared(inner(shared(image))))
    cost = cost_of(model)
    assert cost.params == model.count_params()
    assert [layer.name for layer in cost.layers] == ["shared", "inner", "shared"]
    assert cost.macs == 2 * 48 * 9 * 16 + 48 * 16


def test_a_sequential_model_and_a_users_file_are_counted(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten()])
    assert cost_of(model).macs == 36 * 27 * 2
    own = classifier()
    own.save(tmp_path / "own.keras")
    assert cost_of(load_keras_file(tmp_path / "own.keras")) == cost_of(own)


def test_operations_of_keras_are_counted_as_what_they_move() -> None:
    image = keras.Input((4, 4, 6))
    left, right = keras.ops.split(image, 2, axis=-1)
    cost = cost_of(keras.Model(image, keras.ops.concatenate([right, keras.ops.relu6(left)], -1)))
    assert cost.macs == cost.params == 0
    assert cost.peak == 4 * 4 * 12


@pytest.mark.parametrize(
    ("model", "received"),
    [
        (lambda: on(layers.Conv2D(2, 3), (None, None, 3)), r"tensor of \[None, None, None, 3\]"),
        (lambda: on(layers.LSTM(3), (4, 4)), "a LSTM with weights"),
        (lambda: type("Own", (keras.Model,), {})(name="own"), "own, whose layers cannot be seen"),
    ],
    ids=["free size", "unknown layer", "subclassed"],
)
def test_what_cannot_be_counted_is_refused(model: Callable[[], Any], received: str) -> None:
    with pytest.raises(UnsupportedError, match=received):
        cost_of(model())


def test_costs_of_the_papers_block() -> None:
    """Sandler et al. 2018, table 1 and section 3: h*w*d'*t*(d' + k^2 + d'') at stride 1."""
    spec = tiny_spec()
    macs = {layer.name: layer.macs for layer in spec_cost(spec).layers}
    expand, depthwise, project = (
        macs[f"block_1_{part}"] for part in ("expand", "depthwise", "project")
    )
    side, inner = 16, 2 * 8
    assert expand == side * side * 8 * inner
    assert depthwise == (side // 2) ** 2 * 9 * inner
    assert project == (side // 2) ** 2 * inner * 8


def test_a_separable_convolution_costs_less_as_the_paper_of_mobilenet_says() -> None:
    """Howard et al. 2017, section 3.1: 1/N + 1/K^2 of a full convolution."""
    full = cost_of(on(layers.Conv2D(32, 3, padding="same"), (8, 8, 16))).macs
    separable = cost_of(on(layers.SeparableConv2D(32, 3, padding="same"), (8, 8, 16))).macs
    assert separable / full == pytest.approx(1 / 32 + 1 / 9)


def test_the_graph_has_every_layer_before_it_is_fused() -> None:
    spec = tiny_spec()
    model = spec.build(spec)
    names = [layer.name for layer in model.layers[1:]]
    graph = unfused_graph(model)
    assert sorted(o.name for o in graph.operators) == sorted(names)
    assert sorted(n for o in graph_of(model).operators for n in o.layers) == sorted(names)


def test_memory_in_bytes_is_elements_times_their_size() -> None:
    cost = cost_of(classifier())
    assert cost.to_dict(4)["peak_bytes"] == 4 * cost.peak
    assert cost.to_dict(2)["layers"][0]["live_bytes"] == 2 * cost.layers[0].live


def test_steps_are_places_in_the_order_of_least_peak() -> None:
    cost = cost_of(classifier())
    peak = peak_memory(graph_of(classifier()))
    assert [cost.layers[position].step for position in peak.order] == list(range(len(peak.order)))


def test_every_registered_network_is_in_the_table() -> None:
    assert list(listed_costs()) == list(model_specs()), "run make costs"


@pytest.mark.parametrize(
    "name",
    [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in model_specs()],
)
def test_the_table_says_what_is_counted(name: str) -> None:
    assert listed_costs()[name] == counted(model_spec(name)), "run make costs"


def test_a_table_is_read_as_it_was_written() -> None:
    text = table([ListedCost("net", 1, 2, 3)])
    assert text == "model,params,macs,peak_elements\nnet,1,2,3\n"


def test_counting_takes_no_account_of_what_weights_are() -> None:
    model = classifier()
    before = cost_of(model)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    assert cost_of(model) == before
