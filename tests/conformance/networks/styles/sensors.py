"""Networks of microcontrollers: grey cameras, keyword features, vectors of sensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.networks.examples import maps, photos, vectors, with_axis
from tests.conformance.networks.style import Contract, Style

if TYPE_CHECKING:
    import keras


def digits() -> keras.Model:
    """Grey digits, 28x28x1 (example: simple MNIST convnet)."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def keywords_1d() -> keras.Model:
    """Keywords in [time, features] by 1-D convolutions."""
    import keras

    layers = keras.layers
    inputs = keras.Input((49, 20))
    x = inputs
    for filters, strides in ((32, 1), (48, 2), (64, 2)):
        x = layers.Conv1D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def keywords_2d() -> keras.Model:
    """DS-CNN on [49, 10, 1] (MLPerf Tiny: keyword spotting)."""
    import keras

    layers = keras.layers
    inputs = keras.Input((49, 10, 1))
    x = layers.Conv2D(32, (10, 4), (2, 2), padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(2):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(32, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.AveragePooling2D((25, 5))(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def anomalies() -> keras.Model:
    """Autoencoder on vectors of 640 features (MLPerf Tiny: anomaly detection)."""
    import keras

    layers = keras.layers
    inputs = x = keras.Input((640,))
    for units in (128, 128, 8, 128, 128):
        x = layers.Dense(units)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    return keras.Model(inputs, layers.Dense(640)(x))


def vitals() -> keras.Model:
    """Vector classifier of dense layers alone."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="tanh"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def satellite() -> keras.Model:
    """Four channels: red, green, blue and near infrared."""
    import keras

    layers = keras.layers
    inputs = keras.Input((32, 32, 4))
    x = layers.Conv2D(16, 3, activation="relu")(inputs)
    x = layers.Conv2D(24, 3, strides=2, padding="valid", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def uint8_fed() -> keras.Model:
    """Input of uint8 pixels, cast inside."""
    import keras

    layers = keras.layers
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


STYLES = (
    Style("digits", "Grey digits, 28x28x1", digits,
          Contract((28, 28, 1), "grey", 0, 255), photos(28, 28, 1)),
    Style("keywords_1d", "Keywords in [time, features]: Conv1D", keywords_1d,
          Contract((49, 20), "", -5, 3), maps(49, 20)),
    Style("keywords_2d", "Keywords in [time, frequency, 1]: DS-CNN", keywords_2d,
          Contract((49, 10, 1), "", -5, 3), with_axis(maps(49, 10))),
    Style("anomalies", "Autoencoder on vectors of 640 features", anomalies,
          Contract((640,), "", 0, 1, task="regression"), vectors(640, spread=0.3), "regression"),
    Style("vitals", "Classifier of vectors: dense layers alone", vitals,
          Contract((32,), "", 0, 1), vectors(32, spread=0.5)),
    Style("satellite", "Four channels, 32x32x4", satellite,
          Contract((32, 32, 4), 4), photos(32, 32, 4)),
    Style("uint8_fed", "Network that takes uint8 pixels", uint8_fed,
          Contract((32, 32, 3), mean=0, std=1), photos(32, 32)),
)  # fmt: skip
