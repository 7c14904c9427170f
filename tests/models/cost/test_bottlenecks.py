"""Inverted residuals computed in groups of their inner channels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from foundation.errors import InvalidInputError
from models.blocks import Activation, Bottleneck
from models.cost.bottlenecks import expansions, split_expansions
from models.cost.counting import cost_of
from models.cost.keras_graph import graph_of
from models.cost.memory import peak_memory
from models.loading.request import ModelRequest
from tests.models.networks import randomize, scores, tiny_spec


def network(name: str, alpha: float, size: int = 224) -> keras.Model:
    spec = ModelRequest(name, alpha=alpha, size=size).spec()
    return spec.build(spec)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    model = network("mobilenet_v2", 0.35, 64)
    randomize(model)
    return model


@pytest.mark.parametrize("ways", [1, 2, 3, 5])
def test_the_split_network_gives_the_same_with_less_memory(small: keras.Model, ways: int) -> None:
    before = small.get_weights()
    split = split_expansions(small, ways)
    expected = scores(small, 64)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(scores(split, 64), expected, atol=1e-6)
    old, new = cost_of(small), cost_of(split)
    assert new.macs == old.macs  # section 5.1: they do not depend on t
    assert new.exact
    assert new.peak == old.peak if ways == 1 else new.peak < 0.65 * old.peak
    assert all((a == b).all() for a, b in zip(before, small.get_weights(), strict=True))


def test_peak_falls_to_the_bound_of_the_ends_and_sums() -> None:
    """With t = n, one inner channel is live beside input and sums (section 5.1)."""
    spec = tiny_spec()
    model = spec.build(spec)
    (block,) = [e for e in expansions(graph_of(model)) if e.expand.name == "block_1_expand"]
    assert block.channels == 16
    side, ends = 16, 8
    in_place = side**2 * ends + (side // 2) ** 2 * ends
    peaks = [cost_of(split_expansions(model, ways)).peak for ways in (1, 2, 4)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] > in_place


@pytest.mark.parametrize(
    "changes",
    [{"activation": Activation.RELU}, {"bottleneck": Bottleneck.NON_LINEAR}],
    ids=["relu", "non-linear bottleneck"],
)
def test_other_rectifiers_and_bottlenecks_are_split_too(changes: dict[str, Any]) -> None:
    spec = tiny_spec(**changes)
    model = spec.build(spec)
    randomize(model)
    split = split_expansions(model, 3)
    assert len(split.layers) > len(model.layers)
    np.testing.assert_allclose(scores(split, 16), scores(model, 16), rtol=1e-4, atol=1e-5)


def test_an_activation_that_is_an_operator_of_its_own_leaves_the_network_as_it_is() -> None:
    spec = tiny_spec(activation=Activation.SWISH)
    assert expansions(graph_of(spec.build(spec))) == ()


@pytest.mark.parametrize("ways", [0, 17])
def test_groups_that_no_network_has_are_refused(ways: int) -> None:
    spec = tiny_spec()  # the narrowest block has 16 inner channels
    with pytest.raises(InvalidInputError, match=f"at most 16 groups.*received {ways}"):
        split_expansions(spec.build(spec), ways)


def test_an_inner_tensor_that_is_read_besides_rules_a_block_out() -> None:
    image = keras.Input((8, 8, 4))
    inner = layers.Conv2D(16, 1)(image)
    x = layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, padding="same")(inner))
    assert len(expansions(graph_of(keras.Model(image, x)))) == 1
    assert expansions(graph_of(keras.Model(image, [x, inner]))) == ()
    grouped = layers.Conv2D(16, 1, groups=2)(image)
    x = layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, padding="same")(grouped))
    assert expansions(graph_of(keras.Model(image, x))) == ()


def test_the_whole_inner_tensor_of_mobilenet_v2_sets_its_peak() -> None:
    graph = graph_of(network("mobilenet_v2", 1.0))
    assert peak_memory(graph).elements == 112**2 * 96 + 56**2 * 96
