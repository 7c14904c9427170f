"""MobileNetV3 Large and Small, and their minimalistic forms.

Source: Howard et al. 2019, "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244, tables 1
and 2. The minimalistic forms (no squeeze and excitation, no h-swish, no 5x5 kernels) come from
tensorflow/models, research/slim/nets/mobilenet/README.md. Layer names and order follow
keras.applications.MobileNetV3Large and Small, whose weights load here.

keras.applications can scale the pixels inside the network (``include_preprocessing``). Here the
preprocessing contract does so, with the same mean and standard deviation of 127.5: the network
takes values from -1 to 1. Weights of either form load, since a Rescaling layer has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from models.backbones import Backbone, Strides
from models.blocks import (
    Activation,
    Residual,
    Style,
    Window,
    activation_layer,
    conv_bn,
    convolutional_classifier,
    inverted_residual,
    make_divisible,
)
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 16
HEAD_EXPANSION = 6
"""Ratio of the channels of the last convolution before pooling to those of the last bottleneck."""
SQUEEZE = 0.25
"""Ratio of the channels inside squeeze and excitation to the expansion's (paper, section 5.3)."""
MOMENTUM = 0.999


class NonLinearity(StrEnum):
    """Column NL of the paper's tables."""

    RE = "RE"
    """ReLU."""
    HS = "HS"
    """The activation of the network: h-swish, unless the spec names another."""


@dataclass(frozen=True)
class Bneck:
    """One row of table 1 or 2.

    Attributes:
        kernel: side length of the depthwise kernel.
        expansion: ratio of the expansion's channels to the input's; the paper lists the channels
            themselves, at width 1.0.
        channels: output channels at width 1.0.
        squeeze: whether the row has squeeze and excitation.
        nl: non-linearity.
        stride: stride of the depthwise convolution.

    Raises:
        InvalidInputError: a value below 1, a stride other than 1 and 2, or an even kernel.
    """

    kernel: int
    expansion: float
    channels: int
    squeeze: bool
    nl: NonLinearity
    stride: int

    def __post_init__(self) -> None:
        smallest = min(self.kernel, self.expansion, self.channels)
        if not smallest >= 1 or self.stride not in (1, 2) or self.kernel % 2 == 0:
            raise InvalidInputError(
                "a row needs an odd kernel, expansion and channels of at least 1, stride 1 or 2",
                received=repr(self),
                remedy="correct the table of stages",
            )


@dataclass(frozen=True)
class Head:
    """End of the network.

    Attributes:
        channels: output channels of the convolution between pooling and classifier.
    """

    channels: int


_RE, _HS = NonLinearity.RE, NonLinearity.HS

LARGE = (
    # k, exp/in, c, SE, NL, s            resolution at 224
    Bneck(3, 1, 16, False, _RE, 1),  # 112
    Bneck(3, 4, 24, False, _RE, 2),  # 56
    Bneck(3, 3, 24, False, _RE, 1),  # 56
    Bneck(5, 3, 40, True, _RE, 2),  # 28
    Bneck(5, 3, 40, True, _RE, 1),  # 28
    Bneck(5, 3, 40, True, _RE, 1),  # 28
    Bneck(3, 6, 80, False, _HS, 2),  # 14
    Bneck(3, 2.5, 80, False, _HS, 1),  # 14
    Bneck(3, 2.3, 80, False, _HS, 1),  # 14
    Bneck(3, 2.3, 80, False, _HS, 1),  # 14
    Bneck(3, 6, 112, True, _HS, 1),  # 14
    Bneck(3, 6, 112, True, _HS, 1),  # 14
    Bneck(5, 6, 160, True, _HS, 2),  # 7
    Bneck(5, 6, 160, True, _HS, 1),  # 7
    Bneck(5, 6, 160, True, _HS, 1),  # 7
)
"""Table 1 of the paper."""
LARGE_C4 = 12
"""Index of the row of ``LARGE`` that leaves output stride 16."""

SMALL = (
    # k, exp/in, c, SE, NL, s            resolution at 224
    Bneck(3, 1, 16, True, _RE, 2),  # 56
    Bneck(3, 72 / 16, 24, False, _RE, 2),  # 28
    Bneck(3, 88 / 24, 24, False, _RE, 1),  # 28
    Bneck(5, 4, 40, True, _HS, 2),  # 14
    Bneck(5, 6, 40, True, _HS, 1),  # 14
    Bneck(5, 6, 40, True, _HS, 1),  # 14
    Bneck(5, 3, 48, True, _HS, 1),  # 14
    Bneck(5, 3, 48, True, _HS, 1),  # 14
    Bneck(5, 6, 96, True, _HS, 2),  # 7
    Bneck(5, 6, 96, True, _HS, 1),  # 7
    Bneck(5, 6, 96, True, _HS, 1),  # 7
)
"""Table 2 of the paper."""
SMALL_C4 = 8
"""Index of the row of ``SMALL`` that leaves output stride 16."""


def minimalistic(stages: tuple[Bneck, ...]) -> tuple[Bneck, ...]:
    """Minimalistic form of a table: 3x3 kernels and no squeeze and excitation."""
    return tuple(replace(row, kernel=3, squeeze=False) for row in stages)


def backbone(spec: ModelSpec, output_stride: int = 32) -> Backbone:
    """Feature maps of the network, without its last convolutions and classifier.

    Args:
        spec: network.
        output_stride: largest ratio of the input's side to a feature map's.
    """
    import keras

    inputs = keras.Input(spec.input_shape)
    x = conv_bn(
        inputs, STEM_CHANNELS, 3, spec.stem_stride, momentum=MOMENTUM, conv="conv", bn="conv_bn"
    )
    blocks = [Residual(activation_layer(spec.activation, "conv_act")(x))]
    strides, at = Strides(output_stride, spec.stem_stride), []
    for block, row in enumerate(spec.stages):
        inner = blocks[-1].narrow.shape[-1]
        if block:
            inner = make_divisible(inner * row.expansion)
        activation = Activation.RELU if row.nl is NonLinearity.RE else spec.activation
        stride, dilation = strides.step(row.stride)
        blocks.append(
            inverted_residual(
                blocks[-1],
                filters=make_divisible(row.channels * spec.alpha),
                inner=inner,
                style=Style(activation, MOMENTUM, spec.bottleneck, spec.shortcut, act="_act"),
                prefix=f"expanded_conv_{block}_" if block else "expanded_conv_",
                window=Window(row.kernel, stride, dilation),
                squeezed=make_divisible(inner * SQUEEZE) if row.squeeze else 0,
            )
        )
        at.append(strides.current)
    return Backbone(inputs, tuple(blocks[1:]), tuple(at))


def last_convolution(spec: ModelSpec, x: Any) -> Any:
    """Last convolution before pooling, ``[b, h, w, c] -> [b, h, w, 6 c]``."""
    widened = make_divisible(x.shape[-1] * HEAD_EXPANSION)
    x = conv_bn(x, widened, 1, 1, momentum=MOMENTUM, conv="conv_1", bn="conv_1_bn")
    return activation_layer(spec.activation, "conv_1_act")(x)


def build(spec: ModelSpec) -> keras.Model:
    """Build the network with random weights: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    features = backbone(spec)
    x = last_convolution(spec, features.blocks[-1].narrow)  # [b, h, w, widened]
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
    # As in MobileNetV2, a width below 1 is not applied to the last layer before the classifier.
    head = spec.details.channels
    head = make_divisible(head * spec.alpha) if spec.alpha > 1 else head
    x = keras.layers.Conv2D(head, 1, name="conv_2")(x)  # [b, 1, 1, head]
    x = activation_layer(spec.activation, "conv_2_act")(x)
    outputs = convolutional_classifier(
        x, spec.classes, spec.classifier_activation, conv="logits", end="predictions"
    )
    return keras.Model(features.inputs, outputs, name=spec.name)


def keras_imagenet(spec: ModelSpec) -> keras.Model:
    """keras.applications' network with its ImageNet weights, downloaded and cached by Keras."""
    import keras

    published = (
        keras.applications.MobileNetV3Large
        if spec.details == _LARGE_HEAD
        else keras.applications.MobileNetV3Small
    )
    return published(
        input_shape=spec.input_shape,
        alpha=spec.alpha,
        minimalistic=not any(row.squeeze for row in spec.stages),
        classifier_activation=spec.classifier_activation,
        include_preprocessing=False,
        weights="imagenet",
    )


_LARGE_HEAD, _SMALL_HEAD = Head(1280), Head(1024)
_MINIMALISTIC = "no squeeze and excitation, h-swish or 5x5 kernels"


def _spec(
    name: str, summary: str, stages: tuple[Bneck, ...], head: Head, activation: Activation
) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        source="Howard et al. 2019, arXiv:1905.02244",
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=stages,
        details=head,
        knobs=(Knob.ALPHA, Knob.ACTIVATION, Knob.BOTTLENECK, Knob.SHORTCUT),
        activation=activation,
        classifier_activation="softmax",
        weights="imagenet",
        pretrained=keras_imagenet,
    )


SPECS = (
    _spec(
        "mobilenet_v3_large",
        "MobileNetV3 Large 1.0/224, ImageNet; any --alpha and --size",
        LARGE,
        _LARGE_HEAD,
        Activation.HARD_SWISH,
    ),
    _spec(
        "mobilenet_v3_small",
        "MobileNetV3 Small 1.0/224, ImageNet; any --alpha and --size",
        SMALL,
        _SMALL_HEAD,
        Activation.HARD_SWISH,
    ),
    _spec(
        "mobilenet_v3_large_minimalistic",
        f"MobileNetV3 Large, {_MINIMALISTIC}",
        minimalistic(LARGE),
        _LARGE_HEAD,
        Activation.RELU,
    ),
    _spec(
        "mobilenet_v3_small_minimalistic",
        f"MobileNetV3 Small, {_MINIMALISTIC}",
        minimalistic(SMALL),
        _SMALL_HEAD,
        Activation.RELU,
    ),
)
