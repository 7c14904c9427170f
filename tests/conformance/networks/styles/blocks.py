"""Classifiers of photos, one for each kind of block or activation that people build with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style
from tests.conformance.networks.styles.photos import conv_bn

if TYPE_CHECKING:
    import keras

SIDE = 32
PHOTO = Contract((SIDE, SIDE, 3))
Block = Callable[[Any], Any]
"""Block of a network: a map in, a map out."""


def _classifier(*blocks: Block) -> keras.Model:
    """Stem, blocks, pooling and five classes."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2)
    for block in blocks:
        x = block(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))


def _activated(make: Callable[[], Any], x: Any) -> Any:
    import keras

    x = keras.layers.Conv2D(24, 3, padding="same", use_bias=False)(x)
    return make()(keras.layers.BatchNormalization()(x))


def activations() -> keras.Model:
    """PReLU, LeakyReLU, ELU, SELU and tanh, one after the other."""
    import keras

    layers = keras.layers
    slopes = keras.initializers.RandomUniform(0.05, 0.4)
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: layers.PReLU(shared_axes=[1, 2], alpha_initializer=slopes),
        lambda: layers.LeakyReLU(negative_slope=0.1),
        layers.ELU,
        lambda: layers.Activation("selu"),
        lambda: layers.Activation("tanh"),
    )
    return _classifier(*(partial(_activated, kind) for kind in kinds))


def smooth_activations() -> keras.Model:
    """Softplus, softsign, mish, hard sigmoid and GELU."""
    import keras

    names = ("softplus", "softsign", "mish", "hard_sigmoid", "gelu")
    kinds = (partial(keras.layers.Activation, name) for name in names)
    return _classifier(*(partial(_activated, kind) for kind in kinds))


def _squeezed(x: Any, activation: str, gate: str) -> Any:
    import keras

    layers = keras.layers
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Conv2D(8, 1, activation=activation)(y)
    return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation=gate)(y)])


def squeeze_excite() -> keras.Model:
    """Squeeze and excitation with a sigmoid."""
    return _classifier(lambda x: _squeezed(conv_bn(x, 24), "relu", "sigmoid"))


def hard_swish() -> keras.Model:
    """Blocks of MobileNetV3: hard swish, squeeze with hard sigmoid."""
    import keras

    def block(x: Any) -> Any:
        y = conv_bn(x, 48, kernel=1, act="hard_swish")
        y = keras.layers.DepthwiseConv2D(5, padding="same", use_bias=False)(y)
        y = keras.layers.Activation("hard_swish")(keras.layers.BatchNormalization()(y))
        y = _squeezed(y, "relu", "hard_sigmoid")
        y = keras.layers.Conv2D(16, 1, use_bias=False)(y)
        return keras.layers.Add()([x, keras.layers.BatchNormalization()(y)])

    return _classifier(block, block)


def channel_shuffle() -> keras.Model:
    """Grouped convolutions and channel shuffle (ShuffleNet)."""
    import keras

    layers, ops = keras.layers, keras.ops

    def block(x: Any) -> Any:
        _, height, width, channels = x.shape
        y = layers.Conv2D(channels, 1, groups=4, use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = ops.reshape(y, (-1, height, width, 4, channels // 4))
        y = ops.transpose(y, (0, 1, 2, 4, 3))
        y = ops.reshape(y, (-1, height, width, channels))
        first, second = ops.split(y, 2, axis=-1)
        second = layers.DepthwiseConv2D(3, padding="same")(second)
        return layers.Add()([x, layers.Concatenate()([first, second])])

    return _classifier(block, block)


def grouped() -> keras.Model:
    """Grouped and dilated 3x3 convolutions (ResNeXt)."""
    import keras

    layers = keras.layers
    return _classifier(
        layers.Conv2D(32, 3, padding="same", groups=4, activation="relu"),
        layers.Conv2D(32, 3, padding="same", groups=8, dilation_rate=2, activation="relu"),
        layers.SeparableConv2D(24, 3, strides=2, padding="same", activation="relu"),
    )


def xception_block() -> keras.Model:
    """Separable convolutions with a residual (Xception)."""
    import keras

    layers = keras.layers

    def block(x: Any) -> Any:
        shortcut = layers.BatchNormalization()(layers.Conv2D(24, 1, strides=2)(x))
        for _ in range(2):
            x = layers.SeparableConv2D(24, 3, padding="same", use_bias=False)(layers.ReLU()(x))
            x = layers.BatchNormalization()(x)
        return layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(x), shortcut])

    return _classifier(block)


def norm_after_add() -> keras.Model:
    """Batch norm after the sum, and before any convolution."""
    import keras

    layers = keras.layers

    def block(x: Any) -> Any:
        y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
        y = layers.BatchNormalization()(layers.Add()([x, layers.Conv2D(16, 1)(y)]))
        return layers.ReLU()(y)

    return _classifier(block, block)


def valid_strides() -> keras.Model:
    """Padding valid, strides and two kinds of pooling joined."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(16, 5, strides=3, padding="valid", activation="relu")(inputs)
    x = layers.AveragePooling2D(2, strides=1)(x)
    x = layers.Conv2D(24, (1, 3), strides=(1, 2), padding="valid", activation="relu")(x)
    pooled = [layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)]
    x = layers.Concatenate()(pooled)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def reparameterized() -> keras.Model:
    """Parallel branches of MobileOne before they are merged."""
    import keras

    layers = keras.layers

    def block(x: Any) -> Any:
        branches = [
            layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)),
            layers.BatchNormalization()(layers.DepthwiseConv2D(1)(x)),
            layers.BatchNormalization()(x),
        ]
        x = layers.ReLU()(layers.Add()(branches))
        branches = [layers.BatchNormalization()(layers.Conv2D(16, 1)(x)) for _ in range(2)]
        return layers.ReLU()(layers.Add()([*branches, layers.BatchNormalization()(x)]))

    return _classifier(block, block)


def means() -> keras.Model:
    """Means, maxima and sums over single axes, absolute values and square roots."""
    import keras

    layers, ops = keras.layers, keras.ops
    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2)
    rows = ops.mean(x, axis=1)
    columns = ops.max(x, axis=2)
    energy = ops.sqrt(ops.mean(ops.square(x), axis=(1, 2)) + 1e-3)
    channels = layers.Flatten()(ops.mean(ops.abs(x), axis=-1))
    parts = [layers.Flatten()(rows), layers.Flatten()(columns), energy, channels]
    x = layers.Dense(24, activation="relu")(layers.Concatenate()(parts))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def padded_and_cropped() -> keras.Model:
    """Zero padding, cropping and slices."""
    import keras

    layers = keras.layers
    return _classifier(
        layers.ZeroPadding2D(((1, 2), (0, 3))),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Cropping2D(((1, 1), (2, 0))),
        lambda x: x[:, ::2, 1:, :],
        layers.Conv2D(24, 3, strides=2, padding="same", activation="relu"),
    )


def pixel_classes() -> keras.Model:
    """Softmax over the classes of a coarse map, averaged afterwards."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(conv_bn(inputs, 16, strides=2), 24, strides=2)
    x = keras.layers.Softmax()(keras.layers.Conv2D(5, 1)(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def dense_block() -> keras.Model:
    """Concatenations of all earlier maps (DenseNet)."""
    import keras

    def block(x: Any) -> Any:
        for _ in range(3):
            y = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
            y = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(y)
            x = keras.layers.Concatenate()([x, y])
        return keras.layers.AveragePooling2D(2)(x)

    return _classifier(block, block)


def normalized() -> keras.Model:
    """Group normalization and spatial dropout."""
    import keras

    layers = keras.layers
    return _classifier(
        lambda x: layers.Conv2D(24, 3, padding="same")(x),
        lambda x: layers.GroupNormalization(4)(x),
        layers.ReLU(),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
    )


_ROWS: tuple[tuple[Callable[[], keras.Model], str], ...] = (
    (activations, "PReLU, LeakyReLU, ELU, SELU and tanh"),
    (smooth_activations, "Softplus, softsign, mish, hard sigmoid and GELU"),
    (squeeze_excite, "Squeeze and excitation"),
    (hard_swish, "Blocks of MobileNetV3 with hard swish"),
    (channel_shuffle, "Grouped convolutions and channel shuffle"),
    (grouped, "Grouped, dilated and separable convolutions"),
    (xception_block, "Xception block"),
    (norm_after_add, "Batch norm after the sum"),
    (valid_strides, "Valid padding, strides, joined poolings"),
    (reparameterized, "Parallel branches of MobileOne"),
    (means, "Means, maxima and roots over single axes"),
    (padded_and_cropped, "Zero padding, cropping and slices"),
    (pixel_classes, "Softmax over a map, averaged"),
    (dense_block, "Blocks of DenseNet"),
    (normalized, "Group normalization"),
)
STYLES = tuple(
    Style(build.__name__, summary, build, PHOTO, photos(SIDE, SIDE)) for build, summary in _ROWS
)
