"""Transformers of vision, and blocks with layer normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style
from tests.conformance.networks.styles.photos import conv_bn

if TYPE_CHECKING:
    import keras

SIDE = 32
PHOTO = Contract((SIDE, SIDE, 3))


def _encoder(x: Any, heads: int, width: int, activation: str) -> Any:
    """Transformer block of attention and a perceptron, both residual."""
    import keras

    layers = keras.layers
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=0.1)(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.Dense(2 * width, activation=activation)(y)
    y = layers.Dense(width)(layers.Dropout(0.1)(y))
    return layers.Add()([x, y])


def mobile_vit() -> keras.Model:
    """MobileViT block: attention over unfolded patches (example: MobileViT)."""
    import keras

    layers, ops = keras.layers, keras.ops
    inputs = keras.Input((SIDE, SIDE, 3))
    x = conv_bn(inputs, 16, strides=2, act="swish")
    x = local = conv_bn(x, 24, strides=2, act="swish")
    x = conv_bn(x, 24, act="swish")
    x = layers.Conv2D(32, 1)(x)
    x = layers.Reshape((4, 16, 32))(x)
    x = ops.reshape(x, (-1, 4, 16, 32))
    x = _encoder(x, 2, 32, "swish")
    x = layers.Reshape((8, 8, 32))(x)
    x = layers.Concatenate()([local, layers.Conv2D(24, 1, activation="swish")(x)])
    x = conv_bn(x, 32, act="swish")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def tiny_vit() -> keras.Model:
    """Vision transformer with learned positions, GELU (example: ViT)."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(32, 8, strides=8)(inputs)
    x = layers.Reshape((16, 32))(x)
    x = x + layers.Embedding(16, 32)(keras.ops.arange(16))
    for _ in range(2):
        x = _encoder(x, 4, 32, "gelu")
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def convnext_block() -> keras.Model:
    """ConvNeXt blocks: large depthwise kernels, layer normalization, GELU."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(24, 4, strides=4)(inputs)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    for _ in range(2):
        y = layers.DepthwiseConv2D(7, padding="same")(x)
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Dense(96, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(24)(y)])
    x = layers.LayerNormalization(epsilon=1e-6)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def mixer() -> keras.Model:
    """MLP mixer: transposed dense layers."""
    import keras

    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Reshape((16, 32))(layers.Conv2D(32, 8, strides=8)(inputs))
    y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    y = layers.Dense(16)(layers.Dense(24, activation="gelu")(y))
    x = layers.Add()([x, layers.Permute((2, 1))(y)])
    y = layers.Dense(32)(layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x)))
    x = layers.GlobalAveragePooling1D()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


STYLES = (
    Style("mobile_vit", "Mobile transformer: a MobileViT block", mobile_vit, PHOTO,
          photos(SIDE, SIDE)),
    Style("tiny_vit", "Vision transformer with GELU", tiny_vit, PHOTO, photos(SIDE, SIDE)),
    Style("convnext_block", "ConvNeXt blocks with layer normalization", convnext_block, PHOTO,
          photos(SIDE, SIDE)),
    Style("mixer", "MLP mixer", mixer, PHOTO, photos(SIDE, SIDE)),
)  # fmt: skip
