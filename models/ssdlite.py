"""SSDLite and SSD: single-shot detectors on MobileNets.

Source: Sandler et al. 2018, "MobileNetV2", https://arxiv.org/abs/1801.04381, section 6.2, and
Howard et al. 2019, "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244, section 6.3: the
first prediction layer reads the expansion of the block that leaves output stride 16 (C4), the
second the last convolution (C5), the others feature maps behind it. Layer by layer these are
tensorflow/models, research/object_detection: ssdlite_mobilenet_v2_coco, and the feature extractors
ssd_mobilenet_v1 and ssd_mobilenet_v3 with depthwise prediction layers.

Published parameters and multiply-adds are those of exported files at 320 pixels, where a batch norm
is one offset for each channel: of V1 and V2 for 80 classes, of V3 for COCO's 90 ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from calibration_data.anchors import AnchorLevel, BoxCoding, Scales
from calibration_data.detection import Detector
from calibration_data.labels import COCO_LABELS, FASHION_MNIST_LABELS
from calibration_data.preprocessing import Crop, Interpolation, Preprocessing
from calibration_data.task import Task
from models import efficientnet_lite, mobilenet_v1, mobilenet_v2, mobilenet_v3
from models.backbones import Backbone, halved, unchanged
from models.blocks import (
    Activation,
    Stage,
    activation_layer,
    conv_bn,
    depthwise_bn,
    make_divisible,
)
from models.spec import Knob, ModelSpec
from models.weights.npm import NpmWeights
from models.weights.packages import SSDLITE_COCO

if TYPE_CHECKING:
    import keras

_FINEST = 16
"""Output stride of the first level; each of the others has twice that of the one before."""


class Predictor(StrEnum):
    """Form of the prediction layers and of the feature maps behind the backbone."""

    SEPARABLE = "separable"
    """Depthwise 3x3, then 1x1: SSDLite."""
    FULL = "full"
    """A full 3x3 convolution: SSD, the paper's table 5."""


@dataclass(frozen=True)
class SsdLite:
    """Head and backbone.

    Attributes:
        backbone: spec and output stride -> feature maps.
        last: spec and last feature map -> what the second prediction layer reads.
        extras: channels at width 1.0 of the feature maps behind the backbone, each of half the
            size; a 1x1 convolution to half of the channels stands before each.
        scales: anchors.
        coding: coding of boxes.
        predictor: form of the prediction layers.
        activation: non-linearity of the head; None for that of the network.
        momentum: momentum of the head's batch norms.
    """

    backbone: Callable[[ModelSpec, int], Backbone] = field(repr=False)
    last: Callable[[ModelSpec, Any], Any] = field(repr=False)
    extras: tuple[int, ...] = (512, 256, 256, 128)
    scales: Scales = field(default_factory=Scales)
    coding: BoxCoding = field(default_factory=BoxCoding)
    predictor: Predictor = Predictor.SEPARABLE
    activation: Activation | None = None
    momentum: float = 0.99


def levels(spec: ModelSpec) -> tuple[AnchorLevel, ...]:
    """Anchors of each feature map of a network, the finest first."""
    details: SsdLite = spec.details
    size = spec.preprocessing.size
    strides = [_FINEST << level for level in range(2 + len(details.extras))]
    maps = tuple((-(-size[0] // stride), -(-size[1] // stride)) for stride in strides)
    return details.scales.levels(maps, (size[0], size[1]))


def detector(spec: ModelSpec) -> Detector:
    """Anchors, coding and thresholds of a network, whose scores end in a sigmoid for each class."""
    maps = levels(spec)
    return Detector(
        boxes=tuple(f"boxes_{number}" for number in range(len(maps))),
        scores=tuple(f"scores_{number}" for number in range(len(maps))),
        levels=maps,
        coding=spec.details.coding,
    )


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[b, h, w, channels]`` to two outputs for each level.

    ``boxes_i`` are ``[b, h_i, w_i, k 4]``, codes of boxes against ``k`` anchors of each cell, and
    ``scores_i`` are ``[b, h_i, w_i, k (1 + classes)]``, logits of the ground and of the classes.
    """
    import keras

    inputs, *maps = _feature_maps(spec)
    outputs = [
        _predicted(spec, features, len(level.shapes) * size, f"{name}_{number}")
        for name, size in (("boxes", 4), ("scores", 1 + spec.classes))
        for number, (features, level) in enumerate(zip(maps, levels(spec), strict=True))
    ]
    return keras.Model(inputs, outputs, name=spec.name)


def _feature_maps(spec: ModelSpec) -> list[Any]:
    """Input, and the feature maps that boxes are predicted from, the finest first."""
    details: SsdLite = spec.details
    features = details.backbone(spec, 2 * _FINEST)
    maps = [features.inputs, features.first_below(_FINEST).expansion]
    maps.append(details.last(spec, features.blocks[-1].narrow))
    for number, channels in enumerate(details.extras):
        filters = make_divisible(channels * spec.alpha)
        maps.append(_extra(spec, maps[-1], filters, f"extra_{number}"))
    return maps


def _extra(spec: ModelSpec, x: Any, filters: int, name: str) -> Any:
    """Feature map of half the size: ``[b, h, w, c] -> [b, h/2, w/2, filters]``."""
    squeezed = make_divisible(filters / 2)
    x = _convolved(spec, x, squeezed, (1, 1), f"{name}_1x1")
    if spec.details.predictor is Predictor.FULL:
        return _convolved(spec, x, filters, (3, 2), f"{name}_3x3")
    return _convolved(spec, _depthwise(spec, x, 2, name), filters, (1, 1), f"{name}_pw")


def _predicted(spec: ModelSpec, x: Any, filters: int, name: str) -> Any:
    """Prediction layer: ``[b, h, w, c] -> [b, h, w, filters]``, linear."""
    import keras

    if spec.details.predictor is Predictor.FULL:
        return keras.layers.Conv2D(filters, 3, padding="same", name=name)(x)
    return keras.layers.Conv2D(filters, 1, name=name)(_depthwise(spec, x, 1, name))


def _convolved(spec: ModelSpec, x: Any, filters: int, shape: tuple[int, int], name: str) -> Any:
    """Convolution of a kernel and stride, batch norm and activation."""
    kernel, stride = shape
    momentum = spec.details.momentum
    x = conv_bn(x, filters, kernel, stride, momentum=momentum, conv=name, bn=f"{name}_bn")
    return activation_layer(spec.details.activation or spec.activation, f"{name}_relu")(x)


def _depthwise(spec: ModelSpec, x: Any, stride: int, name: str) -> Any:
    """Depthwise 3x3 convolution, batch norm and activation."""
    momentum = spec.details.momentum
    x = depthwise_bn(x, 3, stride, momentum=momentum, conv=f"{name}_dw", bn=f"{name}_dw_bn")
    return activation_layer(spec.details.activation or spec.activation, f"{name}_dw_relu")(x)


def _lite0(spec: ModelSpec, output_stride: int) -> Backbone:
    """Backbone of EfficientNet-Lite0, the member of its family whose depth is 1."""
    scaling = efficientnet_lite.Scaling(1.0)
    return efficientnet_lite.backbone(replace(spec, details=scaling), output_stride)


SCENE_STAGES = (
    # t, c, n, s          resolution at 160
    Stage(1, 16, 1, 1),  # 80
    Stage(6, 24, 2, 2),  # 40
    Stage(6, 32, 3, 2),  # 20
    Stage(6, 64, 4, 2),  # 10
    Stage(6, 96, 3, 1),  # 10
    Stage(6, 160, 2, 2),  # 5
)
"""Table 2 of MobileNetV2 without its last stage, for small scenes."""

_V2_PAPER = "Sandler et al. 2018, arXiv:1801.04381, section 6.2"
_V3_PAPER = "Howard et al. 2019, arXiv:1905.02244, section 6.3"
_LITE = "tensorflow/tpu, models/official/efficientnet/lite"

_V1 = SsdLite(partial(mobilenet_v1.backbone, same=True), mobilenet_v1.last_convolution)
_V2 = SsdLite(
    mobilenet_v2.backbone, partial(mobilenet_v2.last_convolution, narrowed=True), momentum=0.9997
)
_V3 = SsdLite(
    mobilenet_v3.backbone, mobilenet_v3.last_convolution, activation=Activation.RELU6, momentum=0.97
)


def _coco(
    name: str,
    summary: str,
    source: str,
    stages: tuple[Any, ...],
    details: SsdLite,
    *,
    side: int = 320,
    activation: Activation = Activation.RELU6,
    published: tuple[NpmWeights, ...] = (),
) -> ModelSpec:
    """Detector of COCO's 90 ids; published weights were trained on TensorFlow 1's resize."""
    return ModelSpec(
        name=name,
        summary=summary,
        source=source,
        build=build,
        preprocessing=Preprocessing(
            size=(side, side),
            crop=Crop.STRETCH,
            interpolation=Interpolation.TF1_BILINEAR if published else Interpolation.BILINEAR,
            labels=COCO_LABELS,
        ),
        stages=stages,
        details=details,
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        classes=len(COCO_LABELS),
        activation=activation,
        weights=published[0].name if published else "random",
        published=published,
        task=Task.DETECTION,
        detector=detector,
    )


SPECS = (
    ModelSpec(
        name="ssdlite_fashion",
        summary="SSDLite on MobileNetV2 0.35/160; trained on fashion_scenes",
        source="Sandler et al. 2018, arXiv:1801.04381, section 6.2",
        build=build,
        preprocessing=Preprocessing(size=(160, 160), crop=Crop.PAD, labels=FASHION_MNIST_LABELS),
        stages=SCENE_STAGES,
        details=SsdLite(
            mobilenet_v2.backbone,
            unchanged,
            extras=(256,),
            scales=Scales(0.25, 0.65, (1.0, 2.0, 0.5), reduced=False),
        ),
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        alpha=0.35,
        classes=10,
        weights="fashion_scenes",
        task=Task.DETECTION,
        detector=detector,
    ),
    _coco(
        "ssdlite_mobilenet_v1",
        "SSDLite on MobileNetV1 1.0/320, COCO's 90 ids; any --alpha and --size",
        _V2_PAPER,
        mobilenet_v1.STAGES,
        _V1,
    ),
    _coco(
        "ssdlite_mobilenet_v2",
        "SSDLite on MobileNetV2 1.0/300, COCO's 90 ids; any --alpha and --size",
        f"{_V2_PAPER}; tensorflow/models, ssdlite_mobilenet_v2_coco",
        mobilenet_v2.STAGES,
        _V2,
        side=300,
        published=(SSDLITE_COCO,),
    ),
    _coco(
        "ssd_mobilenet_v2",
        "SSD with full 3x3 prediction layers on MobileNetV2 1.0/320, COCO's 90 ids",
        f"{_V2_PAPER} and table 5",
        mobilenet_v2.STAGES,
        replace(_V2, predictor=Predictor.FULL),
    ),
    _coco(
        "ssdlite_mobilenet_v3_large",
        "SSDLite on MobileNetV3 Large 1.0/320, COCO's 90 ids; any --alpha and --size",
        _V3_PAPER,
        mobilenet_v3.LARGE,
        _V3,
        activation=Activation.HARD_SWISH,
    ),
    _coco(
        "ssdlite_mobilenet_v3_large_halved",
        "SSDLite on MobileNetV3 Large with half of the channels between C4 and C5",
        f"{_V3_PAPER}; tensorflow/models, ssdlite_mobilenet_v3_large_320x320_coco",
        halved(mobilenet_v3.LARGE, mobilenet_v3.LARGE_C4),
        _V3,
        activation=Activation.HARD_SWISH,
    ),
    _coco(
        "ssdlite_mobilenet_v3_small",
        "SSDLite on MobileNetV3 Small 1.0/320, COCO's 90 ids; any --alpha and --size",
        _V3_PAPER,
        mobilenet_v3.SMALL,
        _V3,
        activation=Activation.HARD_SWISH,
    ),
    _coco(
        "ssdlite_mobilenet_v3_small_halved",
        "SSDLite on MobileNetV3 Small with half of the channels between C4 and C5",
        f"{_V3_PAPER}; tensorflow/models, ssdlite_mobilenet_v3_small_320x320_coco",
        halved(mobilenet_v3.SMALL, mobilenet_v3.SMALL_C4),
        _V3,
        activation=Activation.HARD_SWISH,
    ),
    _coco(
        "ssdlite_efficientnet_lite0",
        "SSDLite on EfficientNet-Lite0 320, COCO's 90 ids; any --alpha and --size",
        f"{_V2_PAPER}; {_LITE}",
        efficientnet_lite.STAGES,
        SsdLite(_lite0, efficientnet_lite.last_convolution),
    ),
)
