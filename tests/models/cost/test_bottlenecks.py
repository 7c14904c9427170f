"""Inverted residuals as one operator, and table 3 of the paper of MobileNetV2."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from foundation.errors import InvalidInputError
from models.blocks import Activation, Bottleneck
from models.cost.bottlenecks import as_operators, expansions, largest_tensors, split_expansions
from models.cost.counting import cost_of
from models.cost.keras_graph import graph_of
from models.cost.memory import operator_peak, peak_memory
from models.loading.request import ModelRequest
from models.mobilenet_v2 import STAGES
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
    spec = tiny_spec()  # the narrowest block has 16 channels inside
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


def test_as_operators_memory_is_that_of_the_ends() -> None:
    graph = as_operators(graph_of(network("mobilenet_v2", 1.0)))
    # The image and the 16 channels that stem and first block make of it.
    assert operator_peak(graph) == 224 * 224 * 3 + 112 * 112 * 16
    assert peak_memory(graph).elements == operator_peak(graph)
    assert peak_memory(graph_of(network("mobilenet_v2", 1.0))).elements == 112**2 * 96 + 56**2 * 96


def _table_3(name: str, alpha: float) -> dict[int, int]:
    return {row.side: row.channels for row in largest_tensors(graph_of(network(name, alpha)))}


def test_table_3_mobilenet_v1() -> None:
    """Channels to be kept at each resolution, and their kB at 16 bit (Sandler et al. 2018)."""
    rows = largest_tensors(graph_of(network("mobilenet_v1", 1.0)))
    assert [(row.side, row.channels) for row in rows] == [
        (112, 64), (56, 128), (28, 256), (14, 512), (7, 1024), (1, 1024),
    ]  # fmt: skip
    kilobytes = [2 * row.elements / 1000 for row in rows]
    # The paper prints 199 at 7x7, twice what 7 * 7 * 1024 values of 2 bytes take.
    assert kilobytes == pytest.approx([1600, 800, 400, 200, 199 / 2, 2], rel=0.025)


def test_table_3_mobilenet_v2() -> None:
    """The paper's own table of stages gives less than its table 3 from 56x56 to 14x14.

    There, table 3 has the channels that a stage gives at the resolution that it takes: 32 at
    56x56, where 24 come in, and 32 leave at 28x28. What is kept is less than it claims.
    """
    paper = {112: 16, 56: 32, 28: 64, 14: 160, 7: 320, 1: 1280}
    assert _table_3("mobilenet_v2", 1.0) == {112: 16, 56: 24, 28: 32, 14: 96, 7: 320, 1: 1280}
    side, taken = 112, {112: STAGES[0].channels}
    for stage in STAGES:
        if side < 112:
            taken[side] = max(stage.channels, taken.get(side, 0))
        side //= stage.stride
    assert {**taken, 1: 1280} == paper
    rows = largest_tensors(graph_of(network("mobilenet_v2", 1.0)))
    kilobytes = {row.side: 2 * row.elements / 1000 for row in rows}
    for resolution in (112, 7):
        published = {112: 400, 7: 32}[resolution]
        assert kilobytes[resolution] == pytest.approx(published, rel=0.025)


def test_table_3_shufflenet() -> None:
    """The column of "ShuffleNet 2x g=3" has the channels of two groups: 2 * (200, 400, 800).

    With three groups they are 480, 960 and 1920 (Zhang et al. 2017, table 1). At 56x56 the paper
    counts the ends of units alone (48 channels, of the pooled stem at width 2), and we the widest
    tensor, inside the first unit; at 112x112 it has 32, and the authors' stem 48.
    """
    paper = {28: 400, 14: 800, 7: 1600, 1: 1600}
    assert {**_table_3("shufflenet_v1_g2", 2.0), **paper} == _table_3("shufflenet_v1_g2", 2.0)
    three = _table_3("shufflenet_v1_g3", 2.0)
    assert three == {112: 48, 56: 120, 28: 480, 14: 960, 7: 1920, 1: 1920}
    graph = graph_of(network("shufflenet_v1_g2", 2.0))
    pooled = next(o for o in graph.operators if o.name == "stem_pool")
    assert graph.tensors[pooled.outputs[0]] == (56, 56, 48)
    kilobytes = [2 * row.elements / 1000 for row in largest_tensors(graph) if row.side in paper]
    assert kilobytes == pytest.approx([600, 310, 156, 3], rel=0.07)
