"""MobileNetV1: depthwise separable convolutions.

Source: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", https://arxiv.org/abs/1704.04861, table 1; width and resolution multipliers in
sections 3.3 and 3.4. Layer names, rounding of channels and padding follow
keras.applications.MobileNet, whose weights load here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from models.backbones import Backbone, Strides
from models.blocks import (
    Activation,
    Residual,
    activation_layer,
    conv_bn,
    convolutional_classifier,
    depthwise_bn,
)
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 32
MOMENTUM = 0.99


@dataclass(frozen=True)
class Separable:
    """Stage of depthwise separable convolutions: 3x3 depthwise, then 1x1.

    Attributes:
        channels: output channels at width 1.0.
        repeats: number of blocks.
        stride: stride of the first block's depthwise convolution; the others have stride 1.

    Raises:
        InvalidInputError: a value below 1, or a stride other than 1 and 2.
    """

    channels: int
    repeats: int
    stride: int

    def __post_init__(self) -> None:
        if min(self.channels, self.repeats) < 1 or self.stride not in (1, 2):
            raise InvalidInputError(
                "separable blocks need channels and repeats of at least 1 and stride 1 or 2",
                received=repr(self),
                remedy="correct the table of stages",
            )


STAGES = (
    # c, n, s            resolution at 224
    Separable(64, 1, 1),  # 112
    Separable(128, 2, 2),  # 56
    Separable(256, 2, 2),  # 28
    Separable(512, 6, 2),  # 14
    Separable(1024, 2, 2),  # 7
)
"""Table 1 of the paper; its last stride of 2 is an error, since the size stays 7x7."""


def backbone(spec: ModelSpec, output_stride: int = 32, *, same: bool = False) -> Backbone:
    """Feature maps of the network, without its classifier.

    Args:
        spec: network.
        output_stride: largest ratio of the input's side to a feature map's.
        same: whether strided blocks pad odd sizes on both sides, as TensorFlow's SAME does, so
            that a feature map lies evenly on the image; keras.applications pads at the end.
    """
    import keras

    inputs = keras.Input(spec.input_shape)
    x = conv_bn(
        inputs,
        _channels(STEM_CHANNELS, spec.alpha),
        3,
        spec.stem_stride,
        momentum=MOMENTUM,
        conv="conv1",
        bn="conv1_bn",
    )
    x = activation_layer(spec.activation, "conv1_relu")(x)
    blocks: list[Residual] = []
    strides, at = Strides(output_stride, spec.stem_stride), []
    for stage in spec.stages:
        for repeat in range(stage.repeats):
            before = x
            stride, dilation = strides.step(stage.stride if repeat == 0 else 1)
            filters = _channels(stage.channels, spec.alpha)
            # keras.applications pads strided blocks by one row and column at the end, whatever the
            # size. With an odd size no kernel reaches that padding, so that a valid convolution
            # gives the same result without a PAD operator; a single row is too small for one.
            uneven = stride == 2 and all(side % 2 and side > 1 for side in x.shape[1:3])
            padding = "valid" if uneven and not same else "same"
            style = Depthwise(stride, dilation, padding)
            x = _separable(x, filters, style, spec.activation, len(blocks) + 1)
            blocks.append(Residual(x, expansion=before))
            at.append(strides.current)
    return Backbone(inputs, tuple(blocks), tuple(at))


def last_convolution(_spec: ModelSpec, x: Any) -> Any:
    """The last block itself: no convolution stands between it and the classifier."""
    return x


def build(spec: ModelSpec) -> keras.Model:
    """Build the network with random weights: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    features = backbone(spec)
    x = features.blocks[-1].narrow
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
    outputs = convolutional_classifier(
        x, spec.classes, spec.classifier_activation, conv="conv_preds", end="predictions"
    )
    return keras.Model(features.inputs, outputs, name=spec.name)


@dataclass(frozen=True)
class Depthwise:
    """Settings of a depthwise convolution.

    Attributes:
        stride: its stride.
        dilation: its dilation, which is 1 with a stride of 2.
        padding: Keras's name of its padding.
    """

    stride: int
    dilation: int
    padding: str


def _separable(
    x: Any, filters: int, depthwise: Depthwise, activation: Activation, block: int
) -> Any:
    """Depthwise separable block: ``[b, h, w, c] -> [b, h/stride, w/stride, filters]``."""
    dw, pw = f"conv_dw_{block}", f"conv_pw_{block}"
    x = depthwise_bn(
        x,
        3,
        depthwise.stride,
        momentum=MOMENTUM,
        conv=dw,
        bn=f"{dw}_bn",
        padding=depthwise.padding,
        dilation=depthwise.dilation,
    )
    x = activation_layer(activation, f"{dw}_relu")(x)
    x = conv_bn(x, filters, 1, 1, momentum=MOMENTUM, conv=pw, bn=f"{pw}_bn")
    return activation_layer(activation, f"{pw}_relu")(x)


def _channels(channels: int, alpha: float) -> int:
    # Truncated rather than rounded to a multiple of 8, as in keras.applications.
    return max(1, int(channels * alpha))


def keras_imagenet(spec: ModelSpec) -> keras.Model:
    """keras.applications' network with its ImageNet weights, downloaded and cached by Keras."""
    import keras

    return keras.applications.MobileNet(
        input_shape=spec.input_shape,
        alpha=spec.alpha,
        classifier_activation=spec.classifier_activation,
        weights="imagenet",
    )


SPECS = (
    ModelSpec(
        name="mobilenet_v1",
        summary="MobileNetV1 1.0/224, ImageNet; any --alpha and --size",
        source="Howard et al. 2017, arXiv:1704.04861",
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=STAGES,
        classifier_activation="softmax",
        weights="imagenet",
        pretrained=keras_imagenet,
    ),
)
