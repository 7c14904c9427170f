"""Normalization that a network does itself: found at its start, and not done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from foundation.errors import InvalidInputError
from network.from_keras import from_keras, frozen
from network.input_scaling import input_scaling, refuse_two_normalizations

layers = keras.layers
MEAN, VARIANCE = [120.0, 110.0, 100.0], [3000.0, 3500.0, 4000.0]
Front = Callable[[Any], Any]


def _contract(mean: float = 127.5, std: float = 127.5) -> Preprocessing:
    return Preprocessing((8, 8), Crop.EXACT, mean=(mean,) * 3, std=(std,) * 3)


def _model(front: Front) -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(front(image))
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def _function(front: Front) -> Any:
    return frozen(_model(front), (8, 8, 3))


def _efficient(image: Any) -> Any:
    """As keras.applications's EfficientNet begins."""
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05])(x)
    return layers.Rescaling([2.0, 1.9, 1.8])(x)


def _augmented(image: Any) -> Any:
    augmentation = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])
    return layers.Rescaling(1 / 127.5, -1)(augmentation(image))


FRONTS: dict[str, Front] = {
    "Rescaling": lambda x: layers.Rescaling(1 / 255)(x),
    "Rescaling to [-1, 1]": lambda x: layers.Rescaling(1 / 127.5, -1)(x),
    "Normalization": lambda x: layers.Normalization(mean=MEAN, variance=VARIANCE)(x),
    "operations": lambda x: x / 127.5 - 1,
    "a mean alone": lambda x: x - np.float32(MEAN),
    "EfficientNet": _efficient,
    "augmentation before": _augmented,
    "Resizing before": lambda x: layers.Rescaling(1 / 255)(layers.Resizing(6, 6)(x)),
}


@pytest.mark.parametrize("name", FRONTS)
def test_pixels_are_normalized_once(name: str) -> None:
    function = _function(FRONTS[name])
    refuse_two_normalizations(function, _contract(0, 1))
    for mean, std in ((127.5, 127.5), (0.0, 255.0), (110.0, 58.0)):
        with pytest.raises(InvalidInputError, match=r"normalized once.*--mean 0 --std 1"):
            refuse_two_normalizations(function, _contract(mean, std))


def test_the_other_order_of_channels_does_not_hide_it() -> None:
    function = _function(lambda x: layers.Rescaling(1 / 255)(x[..., ::-1]))
    with pytest.raises(InvalidInputError, match="normalized once"):
        refuse_two_normalizations(function, _contract())


@pytest.mark.parametrize(
    "front",
    [
        lambda x: x,
        lambda x: layers.Rescaling(2.0, -1)(x),  # of [0, 1]
        lambda x: layers.Normalization(mean=[0.4] * 3, variance=[0.05] * 3)(x),
        lambda x: layers.ReLU()(layers.Rescaling(1 / 255)(layers.ReLU()(x))),
    ],
)
def test_a_layer_for_numbers_that_a_contract_gives_is_no_second_normalization(front: Front) -> None:
    function = _function(front)
    assert refuse_two_normalizations(function, _contract(0, 255)) is None
    assert refuse_two_normalizations(function, _contract()) is None


def test_factor_and_summand_are_those_of_the_layers() -> None:
    scaling = input_scaling(_function(_efficient))
    image = np.linspace(0, 255, 8 * 8 * 3).reshape(1, 8, 8, 3)
    source = keras.Input((8, 8, 3))
    expected = np.asarray(keras.Model(source, _efficient(source))(image.astype(np.float32)))
    np.testing.assert_allclose(image * scaling.scale + scaling.shift, expected, atol=1e-4)


def test_a_graph_is_not_made_with_two_normalizations() -> None:
    model = _model(FRONTS["Rescaling"])
    with pytest.raises(InvalidInputError, match="in front of rescaling"):
        from_keras(model, _contract())
    assert from_keras(model, _contract(0, 1)).input == "image"
