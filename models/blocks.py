"""Layers that the families share.

Shapes are written ``[batch, height, width, channels]``. Layer names follow keras.applications,
so that weights saved there load here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from calibration_data.errors import InvalidInputError

if TYPE_CHECKING:
    import keras

BATCH_NORM_EPSILON = 1e-3
"""Epsilon of the batch norms of keras.applications' MobileNets; their weights assume it."""


class Activation(StrEnum):
    """Non-linearity between the convolutions of a block.

    ``relu6`` is the paper's (Sandler et al. 2018, section 4: robust in low-precision
    arithmetic); the others are there to be compared with it.
    """

    RELU6 = "relu6"
    RELU = "relu"
    SWISH = "swish"
    HARD_SWISH = "hard_swish"


class Bottleneck(StrEnum):
    """What follows the projection of an inverted residual (Sandler et al. 2018, figure 6a)."""

    LINEAR = "linear"
    """Nothing: the paper's choice, since a rectifier loses information in few channels."""
    NON_LINEAR = "non_linear"
    """The activation of the block."""


class Shortcut(StrEnum):
    """What the shortcuts of inverted residuals join (Sandler et al. 2018, figure 6b)."""

    BOTTLENECKS = "bottlenecks"
    """The narrow ends: the paper's choice."""
    EXPANSIONS = "expansions"
    """The wide middles of neighbouring blocks."""
    NONE = "none"


@dataclass(frozen=True)
class Stage:
    """One row of a table of inverted residuals (Sandler et al. 2018, table 2).

    Attributes:
        expansion: ``t``, channels of the expansion over channels of the input.
        channels: ``c``, output channels at width 1.0.
        repeats: ``n``, number of blocks.
        stride: ``s``, stride of the first block; the others have stride 1.

    Raises:
        InvalidInputError: a value below 1, or a stride other than 1 and 2.
    """

    expansion: int
    channels: int
    repeats: int
    stride: int

    def __post_init__(self) -> None:
        if min(self.expansion, self.channels, self.repeats) < 1 or self.stride not in (1, 2):
            raise InvalidInputError(
                "a stage needs expansion, channels and repeats of at least 1 and stride 1 or 2",
                received=repr(self),
                remedy="correct the table of stages",
            )


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of ``divisor``, never down by more than 10 percent.

    Source: tensorflow/models, research/slim/nets/mobilenet (``_make_divisible``), as
    described for the width multiplier of MobileNetV2.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def activation_layer(activation: Activation, name: str) -> keras.layers.Layer:
    """Keras layer of an activation, by name."""
    import keras

    if activation is Activation.RELU6:
        return keras.layers.ReLU(6.0, name=name)
    if activation is Activation.RELU:
        return keras.layers.ReLU(name=name)
    return keras.layers.Activation(activation.value, name=name)


def batch_norm(momentum: float, name: str) -> keras.layers.Layer:
    """Batch norm with the epsilon that keras.applications' weights assume."""
    import keras

    return keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, momentum=momentum, name=name)


def conv_bn(
    x: Any, filters: int, kernel: int, stride: int, *, momentum: float, conv: str, bn: str
) -> Any:
    """Convolution without bias, then batch norm.

    ``[b, h, w, c] -> [b, h/stride, w/stride, filters]``.
    """
    import keras

    x = keras.layers.Conv2D(
        filters, kernel, strides=stride, padding="same", use_bias=False, name=conv
    )(x)
    return batch_norm(momentum, bn)(x)


def inverted_residual(
    x: Any,
    *,
    filters: int,
    expansion: int,
    stride: int,
    activation: Activation,
    momentum: float,
    prefix: str,
) -> Any:
    """Inverted residual with a linear bottleneck (Sandler et al. 2018, figure 3d and table 1).

    Expansion 1x1, depthwise 3x3, linear projection 1x1; the shortcut joins two bottlenecks of
    one shape: ``[b, h, w, c] -> [b, h/stride, w/stride, filters]``. With ``expansion`` 1 there
    is no expansion layer.

    ``padding="same"`` equals keras.applications' zero padding followed by a valid convolution
    for every size (a test holds that), and saves a PAD operator in the exported file.
    """
    import keras

    channels = x.shape[-1]
    inner = x  # [b, h, w, c]
    if expansion > 1:
        inner = conv_bn(
            inner,
            expansion * channels,
            1,
            1,
            momentum=momentum,
            conv=f"{prefix}expand",
            bn=f"{prefix}expand_BN",
        )
        inner = activation_layer(activation, f"{prefix}expand_relu")(inner)  # [b, h, w, t*c]
    inner = keras.layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, name=f"{prefix}depthwise"
    )(inner)
    inner = batch_norm(momentum, f"{prefix}depthwise_BN")(inner)
    inner = activation_layer(activation, f"{prefix}depthwise_relu")(inner)  # [b, h/s, w/s, t*c]
    inner = conv_bn(
        inner, filters, 1, 1, momentum=momentum, conv=f"{prefix}project", bn=f"{prefix}project_BN"
    )  # [b, h/s, w/s, filters]
    if stride == 1 and channels == filters:
        return keras.layers.Add(name=f"{prefix}add")([x, inner])
    return inner
