"""Networks whose output is a map, several outputs or an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style
from tests.conformance.networks.styles.photos import conv_bn

if TYPE_CHECKING:
    import keras

SIDE = 32
PHOTO = Contract((SIDE, SIDE, 3))


def _unet(up: Any) -> keras.Model:
    """U-Net of two levels; ``up`` doubles the sides of a map and gives it that many channels."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    skips, x = [], inputs
    for filters in (12, 24):
        x = conv_bn(x, filters)
        skips.append(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = conv_bn(x, 32)
    for filters in (24, 12):
        x = up(x, filters)
        x = keras.layers.Concatenate()([x, skips.pop()])
        x = conv_bn(x, filters)
    return keras.Model(inputs, keras.layers.Conv2D(3, 1, activation="softmax")(x))


def unet_transposed() -> keras.Model:
    """U-Net with transposed convolutions."""
    import keras

    return _unet(
        lambda x, filters: keras.layers.Conv2DTranspose(
            filters, 3, strides=2, padding="same", activation="relu"
        )(x)
    )


def unet_bilinear() -> keras.Model:
    """U-Net with bilinear upsampling."""
    import keras

    return _unet(
        lambda x, filters: conv_bn(
            keras.layers.UpSampling2D(2, interpolation="bilinear")(x), filters, kernel=1
        )
    )


def unet_nearest() -> keras.Model:
    """U-Net with nearest upsampling."""
    import keras

    return _unet(lambda x, filters: conv_bn(keras.layers.UpSampling2D(2)(x), filters, kernel=1))


def class_and_box() -> keras.Model:
    """Two outputs: a class and a box."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2)
    x = conv_bn(x, 32, strides=2)
    x = keras.layers.GlobalAveragePooling2D()(x)
    kind = keras.layers.Dense(4, activation="softmax", name="kind")(x)
    box = keras.layers.Dense(4, activation="sigmoid", name="box")(x)
    return keras.Model(inputs, {"kind": kind, "box": box})


def embedding() -> keras.Model:
    """Half of a siamese network: an embedding of unit length."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2)
    x = conv_bn(x, 32, strides=2)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(32)(x)
    return keras.Model(inputs, keras.layers.UnitNormalization(name="embedding")(x))


def super_resolution() -> keras.Model:
    """Twice the size by depth to space (example: super resolution)."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Conv2D(24, 5, padding="same", activation="relu")(inputs)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    return keras.Model(inputs, _depth_to_space(x))


def _depth_to_space(x: Any) -> Any:
    """Keras has no such operation; its examples write it with reshapes and a transposition."""
    import keras

    height, width, channels = x.shape[1:]
    x = keras.ops.reshape(x, (-1, height, width, 2, 2, channels // 4))
    x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return keras.ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))


def atrous() -> keras.Model:
    """Dilated convolutions and pooling pyramid (DeepLabV3+)."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2)
    branches = [conv_bn(x, 8, kernel=1)]
    for rate in (2, 4):
        y = layers.Conv2D(8, 3, dilation_rate=rate, padding="same", use_bias=False)(x)
        branches.append(layers.ReLU()(layers.BatchNormalization()(y)))
    pooled = layers.AveragePooling2D((SIDE // 2, SIDE // 2))(x)
    pooled = layers.Conv2D(8, 1, activation="relu")(pooled)
    branches.append(layers.UpSampling2D(SIDE // 2, interpolation="bilinear")(pooled))
    x = conv_bn(layers.Concatenate()(branches), 16, kernel=1)
    x = layers.Conv2D(3, 1)(x)
    return keras.Model(inputs, layers.UpSampling2D(2, interpolation="bilinear")(x))


_SEGMENTATION = Contract((SIDE, SIDE, 3))
STYLES = (
    Style("unet_transposed", "U-Net with transposed convolutions", unet_transposed, _SEGMENTATION,
          photos(SIDE, SIDE), ""),
    Style("unet_bilinear", "U-Net with bilinear upsampling", unet_bilinear, _SEGMENTATION,
          photos(SIDE, SIDE), ""),
    Style("unet_nearest", "U-Net with nearest upsampling", unet_nearest, _SEGMENTATION,
          photos(SIDE, SIDE), ""),
    Style("class_and_box", "Two outputs: class and box", class_and_box, PHOTO,
          photos(SIDE, SIDE), "one each"),
    Style("embedding", "Siamese embedding of unit length", embedding,
          Contract((SIDE, SIDE, 3), task="embedding"), photos(SIDE, SIDE), "embedding"),
    Style("super_resolution", "Super resolution by depth to space", super_resolution,
          Contract((SIDE, SIDE, 1), "grey", 0, 255, task="regression"), photos(SIDE, SIDE, 1),
          "regression"),
    Style("atrous", "Dilated convolutions and a pooling pyramid", atrous, _SEGMENTATION,
          photos(SIDE, SIDE), ""),
)  # fmt: skip
