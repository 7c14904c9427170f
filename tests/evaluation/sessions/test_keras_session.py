from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.session import runtime_for
from evaluation.sessions.keras_model import KerasSession
from foundation.errors import InvalidInputError
from tests.evaluation.conftest import SIZE, converter_noise


def test_a_session_answers_as_the_model(keras_model: Any, images: np.ndarray) -> None:
    session = KerasSession(keras_model)
    outputs = session.predict(images)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, keras_model(images).numpy(), rtol=1e-5, atol=1e-6)
    assert session.info.runtime == "keras"
    assert session.info.kernels.startswith("TensorFlow, ")
    assert session.info.threads >= 1


def test_the_timed_call_runs_the_image(keras_model: Any, images: np.ndarray) -> None:
    (result,) = KerasSession(keras_model).timed_call(images[:1])()
    np.testing.assert_allclose(result, keras_model(images[:1]).numpy(), rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_is_filled_up(keras_model: Any, images: np.ndarray) -> None:
    import keras

    inputs = keras.Input(batch_shape=(4, SIZE, SIZE, 3))
    session = KerasSession(keras.Model(inputs, keras_model(inputs)))
    expected = keras_model(images).numpy()
    np.testing.assert_allclose(session.predict(images), expected, rtol=1e-5, atol=1e-6)


def test_layers_run_in_inference_mode(images: np.ndarray) -> None:
    import keras

    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    session = KerasSession(keras.Model(inputs, keras.layers.Dropout(0.9)(x)))
    np.testing.assert_allclose(session.predict(images), images.mean((1, 2)), atol=1e-6)


def test_a_saved_model_opens_and_broken_ones_are_refused(
    keras_model: Any, images: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.keras"
    with converter_noise():
        keras_model.save(path)
    opened = runtime_for(path).open(path, 1)
    assert np.array_equal(opened.predict(images), KerasSession(keras_model).predict(images))
    content = path.read_bytes()
    for broken in (b"", b"junk" * 100, content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InvalidInputError, match="Keras"):
            runtime_for(path).open(path, 1)


def test_models_with_other_inputs_are_refused() -> None:
    import keras

    one, two = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    free = keras.Input((None, None, 3))
    pool = keras.layers.GlobalAveragePooling2D()
    for model, rule in (
        (keras.Model([one, two], pool(one + two)), "one input"),
        (keras.Model(free, pool(free)), "axes of fixed sizes"),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            KerasSession(model)


def test_a_model_of_integers_is_fed_pixels() -> None:
    import keras

    pixels = keras.Input((2, 2, 3), dtype="uint8")
    session = KerasSession(keras.Model(pixels, keras.ops.cast(pixels, "float32")[:, 0, 0]))
    images = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    assert session.predict(images).tolist() == [[0.0, 1.0, 2.0]]


def test_several_outputs_of_any_rank_are_read_by_name(images: np.ndarray) -> None:
    import keras

    inputs = keras.Input((SIZE, SIZE, 3))
    maps = keras.layers.ReLU(name="maps")(inputs)
    means = keras.layers.GlobalAveragePooling2D(name="means")(inputs)
    session = KerasSession(keras.Model(inputs, {"maps": maps, "means": means}))
    assert session.outputs == ("maps", "means")
    found = session.run(images)
    np.testing.assert_array_equal(found[0], np.maximum(images, 0))
    np.testing.assert_allclose(found[1], images.mean((1, 2)), atol=1e-6)
    with pytest.raises(InvalidInputError, match="one output"):
        session.predict(images)


def test_an_output_without_a_row_for_each_image_is_refused(images: np.ndarray) -> None:
    import keras

    inputs = keras.Input((SIZE, SIZE, 3))
    session = KerasSession(keras.Model(inputs, keras.ops.mean(inputs, axis=(1, 2, 3))))
    with pytest.raises(InvalidInputError, match=r"\[batch, \.\.\.\]"):
        session.predict(images)
    with pytest.raises(InvalidInputError, match="at least one image"):
        session.predict(images[:0])
