"""Models in every form that Keras has, compared with Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tflite.target import TARGET
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import recipe
from tests.export.tflite.tflite_cases import images, predict, randomized, request, sqnr_db


def _trunk(*, batch=None, between=None, classes=10):
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3), batch_size=batch)
    x = layers.Conv2D(8, 3, 4, "same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = (between or layers.ReLU(6))(x)
    x = layers.DepthwiseConv2D(3, 1, "same")(x)
    outputs = layers.Dense(classes)(layers.Flatten()(x))
    return randomized(keras.Model(inputs, outputs))


def _sequential():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, 4, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _nested():
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, layers.Dense(5)(_trunk()(inputs)))


def _subclass():
    import keras
    from keras import layers

    class Small(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = layers.Conv2D(8, 3, 4)
            self.dense = layers.Dense(10)

        def call(self, x):
            return self.dense(layers.Flatten()(self.conv(x)))

    model = Small()
    model(images(1))
    return model


def _saved_model(folder, endpoint):
    import keras

    _trunk().export(str(folder), verbose=False)
    inputs = keras.Input((32, 32, 3))
    wrapped = keras.layers.TFSMLayer(str(folder), call_endpoint=endpoint)(inputs)
    return keras.Model(inputs, wrapped)


def _form(name, folder):
    builders = {
        "functional": _trunk,
        "fixed-batch": lambda: _trunk(batch=8),
        "sequential": _sequential,
        "nested": _nested,
        "subclass": _subclass,
        "saved-model": lambda: _saved_model(folder, "serve"),
        "saved-model-dict": lambda: _saved_model(folder, "serving_default"),
    }
    return builders[name]()


FORMS = (
    "functional",
    "fixed-batch",
    "sequential",
    "nested",
    "subclass",
    "saved-model",
    "saved-model-dict",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "floor_db"), [("tflite-float32", 90), ("tflite-int8", 20)])
def test_every_form_of_model_is_written(
    tmp_path: Path, form: Any, name: str, floor_db: int
) -> None:
    import keras

    model = _form(form, tmp_path / "saved")
    path = tmp_path / "a.tflite"
    TARGET.write(request(model, recipe(name)), path)
    outputs = keras.tree.flatten(model(images(), training=False))
    assert sqnr_db(np.asarray(outputs[0]), predict(path, images())) > floor_db


def test_an_operator_that_the_converter_leaves_float_is_named(tmp_path: Path) -> None:
    import keras

    floor = keras.layers.Lambda(lambda x: keras.ops.cumsum(x, axis=1))
    model = _trunk(between=floor)
    TARGET.write(request(model, recipe("tflite-float32")), tmp_path / "a.tflite")
    with pytest.raises(UnsupportedError, match="CUMSUM in float32"):
        TARGET.write(request(model, recipe("tflite-int8")), tmp_path / "b.tflite")
    with pytest.raises(UnsupportedError, match="CUMSUM"):
        TARGET.write(request(model, recipe("tflite-int16x8")), tmp_path / "c.tflite")


def test_an_operator_that_tflite_has_not_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import keras

    model = _trunk(between=keras.layers.Lambda(keras.ops.erf))
    with pytest.raises(UnsupportedError, match="Erf"):
        TARGET.write(request(model, recipe("tflite-float32")), tmp_path / "a.tflite")
    assert capfd.readouterr().out == ""


def test_dynamic_without_a_large_weight_tensor_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, 4)(inputs))
    model = keras.Model(inputs, layers.Dense(10)(x))
    with pytest.raises(UnsupportedError, match="CONV_2D with fewer than 1024 weights"):
        TARGET.write(request(model, recipe("tflite-dynamic")), tmp_path / "a.tflite")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    model = _trunk()
    weights = model.get_weights()
    weights[-1][0] = np.nan
    model.set_weights(weights)
    with pytest.raises(InvalidInputError, match="finite outputs"):
        TARGET.write(request(model, recipe("tflite-int8")), tmp_path / "a.tflite")


def test_mixed_precision_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3))
    x = layers.Flatten()(layers.Conv2D(8, 3, 4, dtype="mixed_float16")(inputs))
    model = keras.Model(inputs, layers.Dense(10)(x))
    with pytest.raises(UnsupportedError, match="layers in float16"):
        TARGET.write(request(model, recipe("tflite-float32")), tmp_path / "a.tflite")


def test_a_size_other_than_the_contract_says_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(10)])
    with pytest.raises(InvalidInputError, match=r"\[None, 16, 16, 3\]"):
        TARGET.write(request(model, recipe("tflite-float32")), tmp_path / "a.tflite")


def test_a_model_that_needs_another_batch_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3), batch_size=8)
    x = layers.Lambda(lambda t: keras.ops.reshape(t, (8, 3072)))(inputs)
    model = keras.Model(inputs, layers.Dense(10)(x))
    with pytest.raises(UnsupportedError, match=r"takes one input"):
        TARGET.write(request(model, recipe("tflite-float32")), tmp_path / "a.tflite")
