"""What a .tflite ends in tells its task, as the last layer of a Keras model does."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from calibration_data.task import End
from edgequant.loading import load
from edgequant.outputs import model_outputs
from models.loading.request import ModelRequest
from network.from_keras import converted, frozen


@pytest.mark.parametrize(
    ("activation", "end"),
    [("softmax", End.SOFTMAX), ("sigmoid", End.SIGMOID), ("linear", End.LINEAR)],
)
def test_the_last_operator_is_that_of_the_keras_model(
    tmp_path: Path, activation: str, end: End
) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(3, activation)(keras.layers.GlobalAveragePooling2D()(image))
    path = tmp_path / "net.tflite"
    path.write_bytes(converted(frozen(keras.Model(image, x), (8, 8, 3)), "a test"))
    (output,) = model_outputs(load(ModelRequest(str(path))))
    assert output.end is end
