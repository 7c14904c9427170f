"""Photo classifiers as Keras's guides build them, with preprocessing inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style

if TYPE_CHECKING:
    import keras

PIXELS = Contract((48, 48, 3), mean=0, std=1)
"""Pixels 0..255, which a network scales itself."""


def conv_bn(x: Any, filters: int, *, strides: int = 1, kernel: int = 3, act: str = "relu") -> Any:
    """Convolution, batch norm and activation."""
    import keras

    x = keras.layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.Activation(act)(x)


def transfer_learning() -> keras.Model:
    """Nested base network, augmentation and scaling inside (guide: transfer learning)."""
    import keras

    inputs = keras.Input((48, 48, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.RandomRotation(0.1)(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    base = keras.applications.MobileNetV2(
        input_shape=(48, 48, 3), alpha=0.35, include_top=False, weights=None
    )
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))


def flowers() -> keras.Model:
    """Sequential with augmentation in a Sequential of its own (tutorial: classification)."""
    import keras

    layers = keras.layers
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    return keras.Sequential(
        [
            keras.Input((48, 48, 3)),
            augmentation,
            layers.Rescaling(1 / 255),
            *(
                layer
                for filters in (16, 32, 64)
                for layer in (
                    layers.Conv2D(filters, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(),
                )
            ),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(5),
        ]
    )


def pets() -> keras.Model:
    """Cats against dogs: separable convolutions, one sigmoid (example: from scratch)."""
    import keras

    layers = keras.layers
    inputs = keras.Input((48, 48, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = previous = conv_bn(x, 16, strides=2)
    for filters in (32, 48):
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(filters, 1, strides=2, padding="same")(previous)
        x = previous = layers.add([x, residual])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.25)(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def tags() -> keras.Model:
    """Several tags at once: one sigmoid each."""
    import keras

    inputs = keras.Input((48, 48, 3))
    x = conv_bn(inputs, 16, strides=2)
    x = conv_bn(x, 32, strides=2)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(6, activation="sigmoid")(x))


def age() -> keras.Model:
    """Age in years: one linear output."""
    import keras

    inputs = keras.Input((48, 48, 3))
    x = conv_bn(inputs, 16, strides=2)
    x = conv_bn(x, 32, strides=2)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="years")(x))


def adapted() -> keras.Model:
    """Normalization layer that was adapted to the data."""
    import keras

    normalization = keras.layers.Normalization(mean=(120, 118, 110), variance=(3600, 3500, 3900))
    inputs = keras.Input((48, 48, 3))
    x = conv_bn(normalization(inputs), 16, strides=2)
    x = conv_bn(x, 32, strides=2)
    x = keras.layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))


def resized() -> keras.Model:
    """Centre crop and Resizing layer inside."""
    import keras

    inputs = keras.Input((48, 48, 3))
    x = keras.layers.CenterCrop(40, 40)(inputs)
    x = keras.layers.Resizing(32, 32)(x)
    x = conv_bn(keras.layers.Rescaling(1 / 255)(x), 16, strides=2)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))


STYLES = (
    Style("transfer_learning", "Transfer learning: base network, augmentation and scaling inside",
          transfer_learning, PIXELS, photos(48, 48)),
    Style("flowers", "Sequential classifier with augmentation; logits", flowers, PIXELS,
          photos(48, 48)),
    Style("pets", "Binary photos (cat or dog): one sigmoid", pets, PIXELS, photos(48, 48),
          "binary"),
    Style("tags", "Multi-label photos: several sigmoids", tags, Contract((48, 48, 3)),
          photos(48, 48), "multi-label"),
    Style("age", "Regression from photos: one linear output", age,
          Contract((48, 48, 3), task="regression"), photos(48, 48), "regression"),
    Style("adapted", "Normalization layer adapted to the data, maximum pooling", adapted, PIXELS,
          photos(48, 48)),
    Style("resized", "CenterCrop and Resizing layers inside", resized, PIXELS, photos(48, 48)),
)  # fmt: skip
