"""Layers and blocks that the families share.

Shapes are written ``[batch, height, width, channels]``. Layer names follow keras.applications,
so that weights saved from it load here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import keras

BATCH_NORM_EPSILON = 1e-3
"""Epsilon of the batch norms of keras.applications' MobileNets; their weights assume it."""


class Activation(StrEnum):
    """Non-linearity between the convolutions of a block.

    ``relu6`` is the paper's choice (Sandler et al. 2018, section 4: robust in low-precision
    arithmetic); the others serve for comparison.
    """

    RELU6 = "relu6"
    RELU = "relu"
    SWISH = "swish"
    HARD_SWISH = "hard_swish"


class Bottleneck(StrEnum):
    """Operation after the projection of an inverted residual (Sandler et al. 2018, figure 6a)."""

    LINEAR = "linear"
    """None: the paper's choice, since a rectifier loses information in few channels."""
    NON_LINEAR = "non_linear"
    """The activation of the block."""


class Shortcut(StrEnum):
    """Tensors joined by the shortcuts of inverted residuals (Sandler et al. 2018, figure 6b)."""

    BOTTLENECKS = "bottlenecks"
    """The narrow ends: the paper's choice."""
    EXPANSIONS = "expansions"
    """The wide middles of neighbouring blocks."""
    NONE = "none"


@dataclass(frozen=True)
class Style:
    """Settings that all blocks of one network share.

    Attributes:
        activation: non-linearity after expansion and depthwise convolution.
        momentum: momentum of the batch norms.
        bottleneck: whether the activation also follows the projection.
        shortcut: tensors that the shortcuts join.
        bn: suffix of the names of batch norms.
        act: suffix of the names of activations.
    """

    activation: Activation = Activation.RELU6
    momentum: float = 0.99
    bottleneck: Bottleneck = Bottleneck.LINEAR
    shortcut: Shortcut = Shortcut.BOTTLENECKS
    bn: str = "_bn"
    act: str = "_relu"


@dataclass(frozen=True)
class Stage:
    """One row of a table of inverted residuals (Sandler et al. 2018, table 2).

    Attributes:
        expansion: ``t``, ratio of the expansion's channels to the input's.
        channels: ``c``, output channels at width 1.0.
        repeats: ``n``, number of blocks.
        stride: ``s``, stride of the first block; the others have stride 1.
        kernel: side length of the depthwise kernels.

    Raises:
        InvalidInputError: a value below 1, a stride other than 1 and 2, or an even kernel.
    """

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int = 3

    def __post_init__(self) -> None:
        counts = (self.expansion, self.channels, self.repeats, self.kernel)
        if min(counts) < 1 or self.stride not in (1, 2) or self.kernel % 2 == 0:
            raise InvalidInputError(
                "a stage needs expansion, channels and repeats of at least 1, stride 1 or 2 and "
                "an odd kernel",
                received=repr(self),
                remedy="correct the table of stages",
            )


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a number of channels to a multiple of ``divisor``, never down by more than 10 percent.

    Source: tensorflow/models, research/slim/nets/mobilenet (``_make_divisible``), as
    described for the width multiplier of MobileNetV2.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def activation_layer(activation: Activation, name: str) -> keras.layers.Layer:
    """Keras layer that computes an activation."""
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


def depthwise_bn(
    x: Any,
    kernel: int,
    stride: int,
    *,
    momentum: float,
    conv: str,
    bn: str,
    padding: str = "same",
    dilation: int = 1,
) -> Any:
    """Depthwise convolution without bias, then batch norm.

    ``[b, h, w, c] -> [b, h/stride, w/stride, c]``. A dilation above 1 goes with stride 1.
    """
    import keras

    x = keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding=padding,
        dilation_rate=dilation,
        use_bias=False,
        name=conv,
    )(x)
    return batch_norm(momentum, bn)(x)


def squeeze_excite(x: Any, squeezed: int, prefix: str) -> Any:
    """Scale each channel by a weight computed from the averages of all channels (Hu et al. 2018).

    Two 1x1 convolutions with bias, with ReLU and the hard sigmoid of MobileNetV3 (Howard et al.
    2019, sections 5.2 and 5.3): ``[b, h, w, c] -> [b, 1, 1, squeezed] -> [b, h, w, c]``.
    """
    import keras

    prefix = f"{prefix}squeeze_excite_"
    weight = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}avg_pool")(x)
    weight = keras.layers.Conv2D(squeezed, 1, name=f"{prefix}conv")(weight)
    weight = keras.layers.ReLU(name=f"{prefix}relu")(weight)  # [b, 1, 1, squeezed]
    weight = keras.layers.Conv2D(x.shape[-1], 1, name=f"{prefix}conv_1")(weight)  # [b, 1, 1, c]
    weight = keras.layers.Activation("hard_sigmoid", name=f"{prefix}hard_sigmoid")(weight)
    return keras.layers.Multiply(name=f"{prefix}mul")([x, weight])


def convolutional_classifier(x: Any, classes: int, activation: str, *, conv: str, end: str) -> Any:
    """Classifier as a 1x1 convolution on pooled features: ``[b, 1, 1, c] -> [b, classes]``."""
    import keras

    x = keras.layers.Conv2D(classes, 1, name=conv)(x)  # [b, 1, 1, classes]
    x = keras.layers.Flatten(name=f"{end}_flatten")(x)  # [b, classes]
    return keras.layers.Activation(activation, name=end)(x)


@dataclass(frozen=True)
class Residual:
    """Tensors at the end of a chain of inverted residuals.

    Attributes:
        narrow: output of the last block, ``[b, h, w, filters]``.
        wide: depthwise output of the last block before squeeze and excitation,
            ``[b, h, w, inner]``; None before the first block.
        expansion: input of the depthwise convolution of the last block,
            ``[b, h * stride, w * stride, inner]``; None before the first block.
    """

    narrow: Any
    wide: Any = None
    expansion: Any = None


@dataclass(frozen=True)
class Window:
    """What a depthwise convolution looks at.

    Attributes:
        kernel: side of the kernel.
        stride: step in both directions.
        dilation: distance of the kernel's elements; 1 without gaps.
    """

    kernel: int = 3
    stride: int = 1
    dilation: int = 1


def inverted_residual(
    chain: Residual,
    *,
    filters: int,
    inner: int,
    style: Style,
    prefix: str,
    window: Window = Window(),
    squeezed: int = 0,
) -> Residual:
    """Inverted residual (Sandler et al. 2018, figure 3d and table 1).

    Expansion 1x1 to ``inner`` channels, depthwise convolution, squeeze and excitation if
    ``squeezed`` is above 0 (Howard et al. 2019, figure 4), projection 1x1:
    ``[b, h, w, c] -> [b, h/stride, w/stride, filters]``. There is no expansion layer if ``inner``
    equals the number of input channels.

    Shortcuts join tensors of equal shape: the two bottlenecks of a block or, with
    ``Shortcut.EXPANSIONS``, the wide tensor of the previous block and the expansion of this one
    before its activation, which is the order of a classical residual block.

    ``padding="same"`` equals keras.applications' zero padding followed by a valid convolution
    for every size (a test checks that), and saves a PAD operator in the exported file.
    """
    import keras

    x = chain.narrow  # [b, h, w, c]
    wide, momentum = x, style.momentum
    if inner != x.shape[-1]:
        names = {"conv": f"{prefix}expand", "bn": f"{prefix}expand{style.bn}"}
        wide = conv_bn(x, inner, 1, 1, momentum=momentum, **names)  # [b, h, w, inner]
        previous = chain.wide
        if (
            style.shortcut is Shortcut.EXPANSIONS
            and previous is not None
            and previous.shape == wide.shape
        ):
            wide = keras.layers.Add(name=f"{prefix}expand_add")([previous, wide])
        wide = activation_layer(style.activation, f"{prefix}expand{style.act}")(wide)
    expansion = wide  # [b, h, w, inner]
    wide = depthwise_bn(
        wide,
        window.kernel,
        window.stride,
        momentum=momentum,
        conv=f"{prefix}depthwise",
        bn=f"{prefix}depthwise{style.bn}",
        dilation=window.dilation,
    )  # [b, h/s, w/s, inner]
    wide = activation_layer(style.activation, f"{prefix}depthwise{style.act}")(wide)
    excited = squeeze_excite(wide, squeezed, prefix) if squeezed else wide
    names = {"conv": f"{prefix}project", "bn": f"{prefix}project{style.bn}"}
    narrow = conv_bn(excited, filters, 1, 1, momentum=momentum, **names)  # [b, h/s, w/s, filters]
    if style.bottleneck is Bottleneck.NON_LINEAR:
        narrow = activation_layer(style.activation, f"{prefix}project{style.act}")(narrow)
    if style.shortcut is Shortcut.BOTTLENECKS and window.stride == 1 and filters == x.shape[-1]:
        narrow = keras.layers.Add(name=f"{prefix}add")([x, narrow])
    return Residual(narrow, wide, expansion)
