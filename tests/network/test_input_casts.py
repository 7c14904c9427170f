"""Casts of pixels to integers and back, in functions of networks with an input of uint8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from models.loading.integer_inputs import float_fed
from network.from_keras import from_keras, frozen

CONTRACT = Preprocessing((6, 5), Crop.EXACT, mean=(0.0,), std=(1.0,))


def _model(dtype: str, *, functional: bool) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((6, 5, 3), dtype=dtype)
    parts = [layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    if not functional:
        return keras.Sequential([image, *parts])
    x = image
    for part in parts:
        x = part(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("functional", [True, False])
def test_a_network_of_integers_is_one_of_floats_with_the_same_weights(functional: bool) -> None:
    model = _model("uint8", functional=functional)
    fed = float_fed(model)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)
    assert fed.inputs[0].dtype == "float32"
    np.testing.assert_array_equal(np.asarray(fed(pixels.astype(np.float32))), model(pixels))
    assert all(a is b for a, b in zip(fed.weights, model.weights, strict=True))


def test_a_network_of_floats_is_itself() -> None:
    model = _model("float32", functional=True)
    assert float_fed(model) is model


def test_no_cast_stays_around_a_nested_network_of_integers() -> None:
    import keras

    inner = _model("uint8", functional=True)
    pixels = keras.Input((6, 5, 3))
    outer = keras.Model(pixels, inner(keras.ops.cast(pixels, "uint8")))
    kinds = {op.type for op in frozen(outer, CONTRACT.shape).graph.get_operations()}
    assert "Conv2D" in kinds
    assert "CAST" not in {op.kind for op in from_keras(outer, CONTRACT).ops}


def test_a_cast_whose_integers_are_read_stays() -> None:
    import keras

    pixels = keras.Input((6, 5, 3))
    whole = keras.ops.cast(pixels, "uint8")
    both = keras.ops.cast(keras.ops.bitwise_and(whole, whole), "float32")
    floats = keras.ops.cast(whole, "float32")
    model = keras.Model(pixels, both + floats)
    casts = [
        op
        for op in frozen(model, CONTRACT.shape).graph.get_operations()
        if op.type == "Cast" and op.outputs[0].dtype.name == "uint8"
    ]
    assert casts
