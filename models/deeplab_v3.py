"""Mobile DeepLabv3: atrous segmentation on MobileNetV1 and V2.

Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation",
https://arxiv.org/abs/1706.05587, as built on MobileNets in Sandler et al. 2018,
https://arxiv.org/abs/1801.04381, section 6.3: the head reads the second last feature map, the image
level feature is always there, and atrous spatial pyramid pooling (ASPP) is left out on phones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import VOC21_LABELS
from calibration_data.preprocessing import Crop, Preprocessing
from models import mobilenet_v1, mobilenet_v2
from models.backbones import Backbone
from models.blocks import Activation, activation_layer, batch_norm, conv_bn
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

_MOMENTUM = 0.99
_RATES = (6, 12, 18)
"""Dilations of the pyramid at output stride 16; twice as large at 8 (paper, section 4.1)."""


@dataclass(frozen=True)
class DeepLab:
    """Head and backbone.

    Attributes:
        backbone: spec and output stride -> feature maps.
        output_stride: ratio of the input's side to that of the head's feature map, 8 or 16.
        pyramid: whether the head has ASPP's three atrous convolutions.
        filters: channels of each branch of the head.
    """

    backbone: Callable[[ModelSpec, int], Backbone]
    output_stride: int = 16
    pyramid: bool = False
    filters: int = 256


def _unrounded_v2(spec: ModelSpec, output_stride: int) -> Backbone:
    """MobileNetV2 whose widths are not rounded to multiples of 8.

    tensorflow/models, research/deeplab/core/feature_extractor.py: ``divisible_by`` is 1 for a depth
    multiplier other than 1.
    """
    return mobilenet_v2.backbone(spec, output_stride, divisor=1)


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[b, h, w, channels] -> [b, h/stride, w/stride, classes]``, logits."""
    import keras

    details: DeepLab = spec.details
    features = details.backbone(spec, details.output_stride)
    x = features.blocks[-1].narrow  # [b, h/s, w/s, c]
    branches = [_image_level(spec, x), _branch(spec, x, 1, 1, "aspp0")]
    if details.pyramid:
        for number, rate in enumerate(_RATES, start=1):
            dilation = rate * 16 // details.output_stride
            branches.append(_branch(spec, x, 3, dilation, f"aspp{number}"))
    joined = keras.layers.Concatenate(name="concat")(branches)  # [b, h/s, w/s, n filters]
    joined = _branch(spec, joined, 1, 1, "concat_projection")
    outputs = keras.layers.Conv2D(spec.classes, 1, name="logits")(joined)
    return keras.Model(features.inputs, outputs, name=spec.name)


def _image_level(spec: ModelSpec, x: Any) -> Any:
    """Mean of the feature map, projected and spread over it: ``[b, h, w, c] -> [b, h, w, f]``."""
    import keras

    rows, columns = x.shape[1:3]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="image_pooling_mean")(x)
    mean = _branch(spec, mean, 1, 1, "image_pooling")  # [b, 1, 1, f]
    return keras.layers.UpSampling2D((rows, columns), name="image_pooling_up")(mean)


def _branch(spec: ModelSpec, x: Any, kernel: int, dilation: int, name: str) -> Any:
    """Convolution, batch norm and ReLU: ``[b, h, w, c] -> [b, h, w, filters]``.

    The head has ReLU whatever the backbone has, as in tensorflow/models, research/deeplab/model.py.
    """
    import keras

    filters = spec.details.filters
    if kernel == 1:
        x = conv_bn(x, filters, 1, 1, momentum=_MOMENTUM, conv=name, bn=f"{name}_bn")
    else:
        x = keras.layers.Conv2D(
            filters, kernel, padding="same", dilation_rate=dilation, use_bias=False, name=name
        )(x)
        x = batch_norm(_MOMENTUM, f"{name}_bn")(x)
    return activation_layer(Activation.RELU, f"{name}_relu")(x)


_SOURCE = "Sandler et al. 2018, arXiv:1801.04381, section 6.3 and table 7"


def _spec(name: str, summary: str, stages: tuple[Any, ...], details: DeepLab) -> ModelSpec:
    return ModelSpec(
        name=name,
        summary=summary,
        source=_SOURCE,
        build=build,
        preprocessing=Preprocessing(size=(513, 513), crop=Crop.STRETCH, labels=VOC21_LABELS),
        stages=stages,
        details=details,
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        classes=21,
    )


SPECS = (
    _spec(
        "deeplab_v3_mobilenet_v2",
        "DeepLabv3 on MobileNetV2 1.0/513, output stride 16, without ASPP; any --alpha and --size",
        mobilenet_v2.STAGES,
        DeepLab(_unrounded_v2),
    ),
    _spec(
        "deeplab_v3_aspp_mobilenet_v2",
        "DeepLabv3 on MobileNetV2 1.0/513, output stride 16, with ASPP",
        mobilenet_v2.STAGES,
        DeepLab(_unrounded_v2, pyramid=True),
    ),
    _spec(
        "deeplab_v3_mobilenet_v1",
        "DeepLabv3 on MobileNetV1 1.0/513, output stride 16, with ASPP",
        mobilenet_v1.STAGES,
        DeepLab(mobilenet_v1.backbone, pyramid=True),
    ),
)
