"""Merging of branches into one convolution, and sums that are not merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest, load
from models.mobileone import BranchedStage, Branches, squeeze_excitation
from models.rewriting.reparameterization import plain_form
from models.spec import ModelSpec, model_spec
from models.weights.named import build_with_weights
from tests.models.networks import randomize, scores, settle


def spec_of(name: str, **changes: Any) -> ModelSpec:
    """Specification of a variant with fewer and narrower blocks of every kind."""
    spec = model_spec(name).resized(32)
    stages = tuple(replace(s, channels=s.channels // 8, repeats=min(s.repeats, 2), squeezed=0)
                   for s in spec.stages)  # fmt: skip
    if any(stage.squeezed for stage in spec.stages):
        stages = (*stages[:2], replace(stages[2], squeezed=1), replace(stages[3], squeezed=1))
    contract = spec.preprocessing.with_labels(())
    return replace(spec, stages=stages, classes=10, preprocessing=contract, **changes)


def settled(model: keras.Model, size: int) -> keras.Model:
    """Set random weights, and batch norm statistics from images, so that values stay near 1."""
    randomize(model)
    settle(model, np.random.default_rng(1).uniform(-1, 1, (16, size, size, 3)).astype(np.float32))
    return model


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # Four branches in every sum, and squeezed blocks; other variants are between the two.
        ("mobileone_s0", 37),
        ("mobileone_s4", 32),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("mobileone_s0", 32), ("mobileone_s1", 32), ("mobileone_s1", 37),
                ("mobileone_s4", 37),
            )
        ),
    ],
)  # fmt: skip
def test_both_forms_give_the_same(name: str, size: int) -> None:
    spec = spec_of(name).resized(size)
    trained = settled(spec.build(spec), size)
    before = trained.get_weights()
    plain = plain_form(trained)
    expected = scores(trained, size)
    assert expected.std() > 1e-2
    np.testing.assert_allclose(scores(plain, size), expected, atol=1e-4 * np.abs(expected).max())
    assert all((a == b).all() for a, b in zip(before, trained.get_weights(), strict=True))
    kinds = {type(layer).__name__ for layer in plain.layers}
    assert not kinds & {"BatchNormalization", "Add"}
    convolutions = [x for x in plain.layers if isinstance(x, layers.DepthwiseConv2D)]
    assert len(convolutions) == sum(stage.repeats for stage in spec.stages)


def test_the_pipeline_merges_by_itself() -> None:
    request = ModelRequest("mobileone_s1", weights="random:3", alpha=0.25, size=32, classes=4)
    loaded = load(request)
    trained = build_with_weights(request.spec(), "random:3")
    assert any(isinstance(x, layers.BatchNormalization) for x in trained.layers)
    assert not any(isinstance(x, layers.BatchNormalization) for x in loaded.model.layers)
    np.testing.assert_allclose(scores(loaded.model, 32), scores(trained, 32), atol=1e-5)


def test_weights_of_the_trained_form_load_by_request(tmp_path: Any) -> None:
    request = ModelRequest("mobileone_s1", alpha=0.25, size=32, classes=4)
    spec = request.spec()
    trained = settled(spec.build(spec), 32)
    trained.save_weights(tmp_path / "own.weights.h5")
    loaded = load(replace(request, weights=str(tmp_path / "own.weights.h5")))
    expected = scores(trained, 32)
    np.testing.assert_allclose(scores(loaded.model, 32), expected, atol=1e-4 * expected.max())


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 9),
    stride=st.integers(1, 2),
    kernels=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
    kind=st.sampled_from(["full", "grouped", "depthwise"]),
    skip=st.booleans(),
)
def test_any_sum_of_branches_is_one_convolution(
    size: int, stride: int, kernels: list[int], kind: str, skip: bool
) -> None:
    def conv(kernel: int) -> Any:
        if kind == "depthwise":
            return layers.DepthwiseConv2D(kernel, strides=stride, padding="same")
        groups = 2 if kind == "grouped" else 1
        return layers.Conv2D(4, kernel, strides=stride, padding="same", groups=groups)

    image = keras.Input((size, size, 4))
    parts = [layers.BatchNormalization()(conv(kernel)(image)) for kernel in kernels]
    parts.append(conv(3)(image))
    if skip and stride == 1:
        parts.append(layers.BatchNormalization()(image))
    model = keras.Model(image, layers.Add(name="sum")(parts))
    randomize(model)
    plain = plain_form(model)
    assert [layer.name for layer in plain.layers[1:]] == ["sum"]
    x = np.random.default_rng(0).normal(size=(2, size, size, 4)).astype(np.float32)
    np.testing.assert_allclose(plain(x), model(x, training=False), rtol=1e-4, atol=1e-4)


def _between(join: Callable[[Any], Any]) -> keras.Model:
    image = keras.Input((8, 8, 4))
    return keras.Model(image, join(image))


@pytest.mark.parametrize(
    "join",
    [
        lambda x: layers.Add()([layers.Conv2D(4, 1, activation="relu")(x), layers.Conv2D(4, 1)(x)]),
        lambda x: layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)]),
        lambda x: layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(layers.ReLU()(x))]),
        lambda x: layers.Add()([layers.Conv2D(4, 1, groups=2)(x), layers.Conv2D(4, 1)(x)]),
        lambda x: layers.Add()([layers.Conv2D(4, 3)(x), layers.Conv2D(4, 3, name="other")(x)]),
        lambda x: layers.Add()([layers.BatchNormalization()(x), layers.BatchNormalization()(x)]),
    ],
    ids=["rectified", "bare shortcut", "other source", "other groups", "valid padding", "norms"],
)
def test_what_is_not_linear_in_one_tensor_stays(join: Callable[[Any], Any]) -> None:
    model = _between(join)
    randomize(model)
    plain = plain_form(model)
    assert any(isinstance(layer, layers.Add) for layer in plain.layers)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(plain(x), model(x, training=False), rtol=1e-4, atol=1e-4)


def test_a_branch_that_something_else_reads_stays() -> None:
    image = keras.Input((8, 8, 4))
    first = layers.Conv2D(4, 1)(image)
    total = layers.Add()([first, layers.Conv2D(4, 1)(image)])
    model = keras.Model(image, layers.Concatenate()([first, total]))
    plain = plain_form(model)
    assert len(plain.layers) == len(model.layers)


def test_squeeze_and_excitation_weighs_channels() -> None:
    image = keras.Input((4, 4, 32))
    model = keras.Model(image, squeeze_excitation(image, "se"))
    randomize(model)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 32)).astype(np.float32)
    reduce, expand = (model.get_layer(f"se_{part}") for part in ("reduce", "expand"))
    assert reduce.filters == 2
    inner = np.maximum(x.mean((1, 2)) @ reduce.get_weights()[0][0, 0] + reduce.get_weights()[1], 0)
    gates = 1 / (1 + np.exp(-(inner @ expand.get_weights()[0][0, 0] + expand.get_weights()[1])))
    np.testing.assert_allclose(model(x), x * gates[:, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", [(0, 1, 0), (8, 0, 0), (8, 2, 3), (8, 2, -1)])
def test_a_stage_that_no_network_can_have_is_refused(row: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInputError, match="no more squeezed blocks than blocks"):
        BranchedStage(*row)


def test_more_branches_are_more_weights_and_the_same_network() -> None:
    one, four = (spec_of("mobileone_s0", details=Branches(k)) for k in (1, 4))
    assert len(four.build(four).layers) > len(one.build(one).layers)
    plain = [plain_form(spec.build(spec)).count_params() for spec in (one, four)]
    assert plain[0] == plain[1]
