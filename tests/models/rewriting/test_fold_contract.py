"""Folding of a contract with six numbers and BGR: the function of a pixel stays the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration_data.preprocessing import ChannelOrder, Crop, Preprocessing
from foundation.errors import UnsupportedError
from models.rewriting.fold_contract import fold, is_one_pair_rgb

PER_CHANNEL = Preprocessing(
    size=(9, 10),
    crop=Crop.STRETCH,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    labels=("a", "b", "c"),
)


def network(padding: str = "same", *, use_bias: bool = True, strides: int = 2, kind: str = "conv"):
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((9, 10, 3))
    if kind == "depthwise":
        x = keras.layers.DepthwiseConv2D(3)(image)
    elif kind == "two readers":
        x = keras.layers.Concatenate()(
            [keras.layers.Conv2D(4, 3)(image), keras.layers.Conv2D(4, 3)(image)]
        )
    else:
        x = keras.layers.Conv2D(
            6, 3, strides=strides, padding=padding, use_bias=use_bias, activation="relu",
            bias_initializer="random_normal",
        )(image)  # fmt: skip
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3)(x))


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("padding", "strides"), [("valid", 1), ("same", 1), ("same", 2)])
def test_a_folded_network_is_the_same_function_of_a_pixel(
    channels: str, use_bias: bool, padding: str, strides: int
) -> None:
    import dataclasses

    contract = dataclasses.replace(PER_CHANNEL, channels=ChannelOrder(channels))
    model = network(padding, use_bias=use_bias, strides=strides)
    folded = fold(model, contract)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 9, 10, 3), np.uint8)
    expected = np.asarray(model(contract.normalize(pixels), training=False))
    got = np.asarray(folded.model(folded.contract.normalize(pixels), training=False))
    assert is_one_pair_rgb(folded.contract)
    assert folded.contract.labels == contract.labels
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
    assert ("in front" in folded.how) == (padding == "same")


@settings(max_examples=10, deadline=None)
@given(
    mean=st.tuples(*[st.floats(0, 255)] * 3),
    std=st.tuples(*[st.floats(20, 130)] * 3),
    padding=st.sampled_from(["same", "valid"]),
)
def test_any_mean_and_std_fold(mean, std, padding) -> None:
    import dataclasses

    contract = dataclasses.replace(PER_CHANNEL, mean=mean, std=std)
    model = network(padding)
    folded = fold(model, contract)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 9, 10, 3), np.uint8)
    expected = np.asarray(model(contract.normalize(pixels), training=False))
    got = np.asarray(folded.model(folded.contract.normalize(pixels), training=False))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_folding_a_padded_convolution_into_its_bias_would_be_wrong() -> None:
    """The addition in front is needed: without it, the border would have another colour."""
    import keras

    model = network("same", strides=1)
    pixels = np.full((1, 9, 10, 3), 200, np.uint8)
    layer = model.layers[1]
    kernel, bias = layer.get_weights()
    pair = fold(model, PER_CHANNEL).contract
    gain = 128 / np.array(PER_CHANNEL.std)
    shift = (128 - np.array(PER_CHANNEL.mean)) / np.array(PER_CHANNEL.std)
    naive = keras.models.clone_model(model)
    naive.set_weights(model.get_weights())
    naive.layers[1].set_weights(
        [kernel * gain[None, None, :, None], bias + np.einsum("hwio,i->o", kernel, shift)]
    )
    expected = np.asarray(model(PER_CHANNEL.normalize(pixels)))
    wrong = np.asarray(naive(pair.normalize(pixels)))
    assert np.abs(wrong - expected).max() > 1e-3


@pytest.mark.parametrize("kind", ["depthwise", "two readers"])
def test_a_first_layer_that_cannot_take_it_is_named(kind: str) -> None:
    with pytest.raises(UnsupportedError, match=r"DepthwiseConv2D|Conv2D, Conv2D"):
        fold(network(kind=kind), PER_CHANNEL)
