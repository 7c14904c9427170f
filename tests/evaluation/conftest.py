"""Tiny networks as files, made once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

SIZE = 16
CLASSES = 10


@contextmanager
def converter_noise() -> Iterator[None]:
    """Ignore the warnings of Keras 3.15 on NumPy 2 and of TensorFlow's converter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept")
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        yield


def random_images(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    shared = random_images(7, seed=1)
    shared.setflags(write=False)
    return shared


@pytest.fixture(scope="session")
def keras_model():
    import keras

    rng = np.random.default_rng(3)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2)(inputs)
    x = keras.layers.ReLU(6)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(x), name="tiny")
    with converter_noise():
        model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="session")
def litert_files(keras_model, tmp_path_factory) -> dict[str, Path]:
    """Files by name: the type of input and output, or their fault."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("litert")
    int8, int16x8 = (
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    )
    rows = {
        "int8": (int8, tf.int8),
        "uint8": (int8, tf.uint8),
        "quantized-float32": (int8, tf.float32),
        "int16": (int16x8, tf.int16),
        "float32": (None, tf.float32),
    }
    files = {}
    for name, (operators, dtype) in rows.items():
        files[name] = folder / f"{name}.tflite"
        files[name].write_bytes(_converted(keras_model, operators, dtype, batch=1))
    files["free-batch"] = folder / "free.tflite"
    files["free-batch"].write_bytes(_converted(keras_model, None, tf.float32, batch=None))
    files["batch-4"] = folder / "four.tflite"
    files["batch-4"].write_bytes(_converted(keras_model, None, tf.float32, batch=4))
    return files


@pytest.fixture(scope="session")
def foreign_litert_files(tmp_path_factory) -> dict[str, Path]:
    """Files that are not image classifiers with one fixed input, or not fully for XNNPACK."""
    import keras
    import tensorflow as tf

    def classifier(shape, batch=1, middle=None):
        inputs = keras.Input(batch_shape=(batch, *shape))
        x = keras.layers.Conv2D(4, 3)(inputs)
        x = x if middle is None else middle(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(3)(x))

    one = classifier((8, 8, 3))
    other = keras.Input(batch_shape=(1, 3))
    networks = {
        "two inputs": keras.Model([one.inputs[0], other], one.outputs[0] + other),
        "free size": classifier((None, None, 3)),
        "one channel": classifier((8, 8, 1)),
        "cumsum": classifier((8, 8, 3), middle=lambda x: keras.ops.cumsum(x, axis=1)),
    }
    folder = tmp_path_factory.mktemp("foreign")
    files = {}
    for name, network in networks.items():
        files[name] = folder / f"{name}.tflite"
        with converter_noise():
            converter = tf.lite.TFLiteConverter.from_keras_model(network)
            files[name].write_bytes(converter.convert())
    return files


def _converted(model, operators, dtype, batch: int | None) -> bytes:
    import keras
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(batch, SIZE, SIZE, 3))
    with converter_noise():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, model(inputs)))
        if operators is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([x[None]] for x in random_images(20))
            converter.target_spec.supported_ops = [operators]
            converter.inference_input_type = converter.inference_output_type = dtype
        return converter.convert()
