"""The last function before each output of a Keras network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from calibration_data.task import End
from models.output_ends import output_ends

Tail = Callable[[Any, Any], Any]


def dense(activation: str | None = None) -> Tail:
    return lambda keras, x: keras.layers.Dense(3, activation=activation)(x)


def then(layer: Callable[[Any], Any], activation: str | None = None) -> Tail:
    return lambda keras, x: layer(keras)(dense(activation)(keras, x))


ENDS: dict[str, tuple[Tail, End]] = {
    "dense softmax": (dense("softmax"), End.SOFTMAX),
    "softmax layer": (then(lambda k: k.layers.Softmax()), End.SOFTMAX),
    "activation layer": (then(lambda k: k.layers.Activation("sigmoid")), End.SIGMOID),
    "in float32": (then(lambda k: k.layers.Activation("softmax", dtype="float32")), End.SOFTMAX),
    "operation": (then(lambda k: k.ops.sigmoid), End.SIGMOID),
    "logits": (dense(), End.LINEAR),
    "relu": (dense("relu"), End.LINEAR),
    "linear layer": (then(lambda k: k.layers.Activation("linear"), "softmax"), End.SOFTMAX),
    "dropout": (then(lambda k: k.layers.Dropout(0.1), "sigmoid"), End.SIGMOID),
    "reshape": (then(lambda k: k.layers.Reshape((3, 1)), "sigmoid"), End.SIGMOID),
    "scaled": (then(lambda k: k.layers.Rescaling(2.0), "sigmoid"), End.LINEAR),
    "unit norm": (then(lambda k: k.layers.UnitNormalization()), End.UNIT_NORM),
    "normalize": (then(lambda k: k.ops.normalize), End.UNIT_NORM),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_is_found_in_plain_and_nested_networks(name: str) -> None:
    import keras

    tail, expected = ENDS[name]
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, tail(keras, pooled))
    assert output_ends(model) == (expected,)
    outer = keras.Input((8, 8, 3))
    assert output_ends(keras.Model(outer, model(outer))) == (expected,)


def test_each_output_has_its_end() -> None:
    import keras

    inputs = keras.Input((8,))
    heads = {
        "kind": keras.layers.Dense(2, activation="softmax", name="kind")(inputs),
        "age": keras.layers.Dense(1, name="age")(inputs),
    }
    model = keras.Model(inputs, heads)  # whose outputs are in the order of the keys
    assert model.output_names == ["age", "kind"]
    assert output_ends(model) == (End.LINEAR, End.SOFTMAX)
    stack = keras.Sequential([inputs, keras.layers.Dense(1, activation="sigmoid")])
    assert output_ends(stack) == (End.SIGMOID,)


def test_what_cannot_be_seen_is_unknown() -> None:
    import keras

    inputs = keras.Input((8,))
    hidden = keras.layers.Lambda(lambda x: x)(inputs)
    assert output_ends(keras.Model(inputs, hidden)) == (End.UNKNOWN,)
