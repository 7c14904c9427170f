"""MobileNetV2: inverted residuals with linear bottlenecks.

Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
https://arxiv.org/abs/1801.04381, table 2. Layer names and epsilon follow
keras.applications.MobileNetV2, whose weights load here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calibration_data.labels import FASHION_MNIST_LABELS, imagenet_labels
from calibration_data.preprocessing import Crop, Preprocessing
from models.backbones import Backbone, Strides
from models.blocks import (
    Residual,
    Stage,
    Style,
    Window,
    activation_layer,
    conv_bn,
    inverted_residual,
    make_divisible,
)
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280

STAGES = (
    # t, c, n, s          resolution at 224
    Stage(1, 16, 1, 1),  # 112
    Stage(6, 24, 2, 2),  # 56
    Stage(6, 32, 3, 2),  # 28
    Stage(6, 64, 4, 2),  # 14
    Stage(6, 96, 3, 1),  # 14
    Stage(6, 160, 3, 2),  # 7
    Stage(6, 320, 1, 1),  # 7
)
"""Table 2 of the paper."""
C4 = 5
"""Index of the row of ``STAGES`` that leaves output stride 16."""

SMALL_IMAGE_STAGES = (
    # t, c, n, s          resolution at 32, after a stem of stride 1
    Stage(1, 16, 1, 1),  # 32
    Stage(6, 24, 2, 2),  # 16
    Stage(6, 32, 3, 2),  # 8
    Stage(6, 64, 4, 1),  # 8
    Stage(6, 96, 3, 1),  # 8
    Stage(6, 160, 3, 2),  # 4
    Stage(6, 320, 1, 1),  # 4
)
"""Table 2 with the strides for images of 32 pixels: a stem of stride 1 and three strides of 2."""


def backbone(spec: ModelSpec, output_stride: int = 32, *, divisor: int = 8) -> Backbone:
    """Feature maps of the network, without its last convolution and classifier.

    Args:
        spec: network.
        output_stride: largest ratio of the input's side to a feature map's.
        divisor: number that the channels at any width are multiples of.
    """
    import keras

    momentum = 0.999 if spec.stages is STAGES else 0.99
    inputs = keras.Input(spec.input_shape)
    x = conv_bn(
        inputs,
        make_divisible(STEM_CHANNELS * spec.alpha, divisor),
        3,
        spec.stem_stride,
        momentum=momentum,
        conv="Conv1",
        bn="bn_Conv1",
    )
    x = activation_layer(spec.activation, "Conv1_relu")(x)
    style = Style(spec.activation, momentum, spec.bottleneck, spec.shortcut, bn="_BN")
    blocks, strides = [Residual(x)], Strides(output_stride, spec.stem_stride)
    at = [strides.current]
    for stage in spec.stages:
        for repeat in range(stage.repeats):
            block = len(blocks) - 1
            stride, dilation = strides.step(stage.stride if repeat == 0 else 1)
            blocks.append(
                inverted_residual(
                    blocks[-1],
                    filters=make_divisible(int(stage.channels * spec.alpha), divisor),
                    inner=stage.expansion * blocks[-1].narrow.shape[-1],
                    style=style,
                    prefix=f"block_{block}_" if block else "expanded_conv_",
                    window=Window(stage.kernel, stride, dilation),
                )
            )
            at.append(strides.current)
    return Backbone(inputs, tuple(blocks[1:]), tuple(at[1:]))


def last_convolution(spec: ModelSpec, x: Any, *, narrowed: bool = False) -> Any:
    """Last convolution before the classifier, ``[b, h, w, c] -> [b, h, w, 1280 or more]``.

    Args:
        spec: network.
        x: last feature map.
        narrowed: whether a width below 1 is applied to it; for a classifier it is not (section 5
            of the paper).
    """
    momentum = 0.999 if spec.stages is STAGES else 0.99
    scaled = spec.alpha > 1 or narrowed
    head = make_divisible(HEAD_CHANNELS * spec.alpha) if scaled else HEAD_CHANNELS
    x = conv_bn(x, head, 1, 1, momentum=momentum, conv="Conv_1", bn="Conv_1_bn")
    return activation_layer(spec.activation, "out_relu")(x)


def build(spec: ModelSpec) -> keras.Model:
    """Build the network with random weights: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    features = backbone(spec)
    x = last_convolution(spec, features.blocks[-1].narrow)
    x = keras.layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x)  # [b, head]
    outputs = keras.layers.Dense(
        spec.classes, activation=spec.classifier_activation, name="predictions"
    )(x)
    return keras.Model(features.inputs, outputs, name=spec.name)


def keras_imagenet(spec: ModelSpec) -> keras.Model:
    """keras.applications' network with its ImageNet weights, downloaded and cached by Keras."""
    import keras

    return keras.applications.MobileNetV2(
        input_shape=spec.input_shape,
        alpha=spec.alpha,
        classifier_activation=spec.classifier_activation,
        weights="imagenet",
    )


_PAPER = "Sandler et al. 2018, arXiv:1801.04381"
_KNOBS = (Knob.ALPHA, Knob.ACTIVATION, Knob.BOTTLENECK, Knob.SHORTCUT)

SPECS = (
    ModelSpec(
        name="mobilenet_v2",
        summary="MobileNetV2 1.0/224, ImageNet; any --alpha and --size",
        source=_PAPER,
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=STAGES,
        knobs=_KNOBS,
        classifier_activation="softmax",
        weights="imagenet",
        pretrained=keras_imagenet,
    ),
    ModelSpec(
        name="mobilenet_v2_small",
        summary="MobileNetV2 0.35/32 for small images; trained on Fashion-MNIST",
        source=_PAPER,
        build=build,
        preprocessing=Preprocessing(size=(32, 32), crop=Crop.PAD, labels=FASHION_MNIST_LABELS),
        stages=SMALL_IMAGE_STAGES,
        knobs=_KNOBS,
        alpha=0.35,
        classes=10,
        stem_stride=1,
        weights="fashion_mnist",
    ),
)
