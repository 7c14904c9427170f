"""Grouped convolution and channel shuffle, which both ShuffleNets use.

Shapes are written ``[batch, height, width, channels]``.

A grouped convolution is Keras's ``Conv2D(groups=g)``. It is exported as one CONV_2D whose kernel
has fewer input channels than its input, and as one ONNX Conv with a group attribute. LiteRT's
XNNPACK, optimized and reference kernels run such files in float and in int8 (a test checks that).
There are two alternatives. Splitting the channels, convolving and concatenating would run on older
runtimes too, but leaves batch norms outside the convolutions as MUL operators, and makes 16
CONV_2D for a unit of 8 groups. A dense convolution with a block-diagonal kernel would take g times
the multiply-adds and bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.blocks import Activation, activation_layer, batch_norm

if TYPE_CHECKING:
    import keras

MOMENTUM = 0.9
"""Momentum of the batch norms in the authors' training."""


def conv_norm(
    x: Any, filters: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, name: str
) -> Any:
    """Convolution without bias, then batch norm: ``[b, h, w, c] -> [b, h/s, w/s, filters]``.

    With ``groups`` above 1, group i of the outputs is computed from group i of the inputs.
    """
    import keras

    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        groups=groups,
        use_bias=False,
        name=name,
    )(x)
    return batch_norm(MOMENTUM, f"{name}_bn")(x)


def depthwise_norm(x: Any, stride: int, name: str) -> Any:
    """Depthwise 3x3 convolution, then batch norm: ``[b, h, w, c] -> [b, h/s, w/s, c]``."""
    import keras

    x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name)(
        x
    )
    return batch_norm(MOMENTUM, f"{name}_bn")(x)


def channel_shuffle(x: Any, groups: int, name: str) -> Any:
    """Interleave the channels of ``groups`` groups (Zhang et al. 2017, figure 1c).

    ``[b, h, w, g*n] -> [b, h, w, n*g]``: channel ``i*n + j`` moves to ``j*g + i``. Height and
    width are merged into one axis, since int8 targets transpose at most four axes.
    """
    import keras

    _, height, width, channels = x.shape
    x = keras.layers.Reshape((height * width, groups, channels // groups), name=f"{name}_groups")(
        x
    )  # [b, h*w, g, n]
    x = keras.layers.Permute((1, 3, 2), name=f"{name}_deal")(x)  # [b, h*w, n, g]
    return keras.layers.Reshape((height, width, channels), name=f"{name}_join")(x)


def stem(x: Any, channels: int, stride: int, activation: Activation) -> Any:
    """3x3 convolution, then maximum pooling: ``[b, h, w, 3] -> [b, h/s/2, w/s/2, channels]``."""
    import keras

    x = conv_norm(x, channels, kernel=3, stride=stride, name="stem")
    x = activation_layer(activation, "stem_relu")(x)
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)


def classifier(x: Any, classes: int, ends_in: str) -> keras.KerasTensor:
    """Global average pooling, then a dense layer: ``[b, h, w, c] -> [b, classes]``."""
    import keras

    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)  # [b, c]
    return keras.layers.Dense(classes, activation=ends_in, name="predictions")(x)
