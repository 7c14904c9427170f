"""Mobile DeepLabv3: atrous segmentation on MobileNetV1 and V2.

Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation",
https://arxiv.org/abs/1706.05587, as built on MobileNets in Sandler et al. 2018,
https://arxiv.org/abs/1801.04381, section 6.3: the head reads the second last feature map, the image
level feature is always there, and atrous spatial pyramid pooling (ASPP) is left out on phones.
Layer by layer it is tensorflow/models, research/deeplab, whose widths other than 1.0 have channels
that are no multiples of 8.

Published multiply-adds of ASPP are those of a convolution that is computed in blocks: at 513 pixels
and output stride 16, TensorFlow extends the 33x33 cells to 36x36, a multiple of every rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from calibration_data.labels import VOC21_LABELS
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.segmentation import Segmenter, Upsampling
from calibration_data.task import Task
from foundation.errors import InvalidInputError
from models import mobilenet_v1, mobilenet_v2
from models.backbones import Backbone, require_aligned, unchanged
from models.blocks import Activation, activation_layer
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

STRIDES = (8, 16, 32)
"""Output strides that a head can have."""
_RATES = (6, 12, 18)
"""Dilations of the pyramid at output stride 16; twice as large at 8 (paper, section 4.1)."""
_MOMENTUM = 0.9997
_EPSILON = 1e-5


@dataclass(frozen=True)
class DeepLab:
    """Head and backbone.

    Attributes:
        backbone: spec and output stride -> feature maps.
        last: spec and last feature map -> what the head reads.
        output_stride: ratio of the input's side to that of the head's feature map: 8, 16 or 32.
        pyramid: whether the head has ASPP's three atrous convolutions.
        filters: channels of each branch of the head.

    Raises:
        InvalidInputError: another output stride.
    """

    backbone: Callable[[ModelSpec, int], Backbone] = field(repr=False)
    last: Callable[[ModelSpec, Any], Any] = field(default=unchanged, repr=False)
    output_stride: int = 16
    pyramid: bool = False
    filters: int = 256

    def __post_init__(self) -> None:
        if self.output_stride not in STRIDES:
            raise InvalidInputError(
                f"an output stride is one of {', '.join(map(str, STRIDES))}",
                received=str(self.output_stride),
                remedy="choose one of these",
            )


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[b, h, w, channels] -> [b, h/stride, w/stride, classes]``, logits.

    Raises:
        InvalidInputError: an input on which the output stride does not lie evenly.
    """
    import keras

    details: DeepLab = spec.details
    require_aligned(spec.preprocessing.size, details.output_stride)
    features = details.backbone(spec, details.output_stride)
    x = details.last(spec, features.blocks[-1].narrow)  # [b, h/s, w/s, c]
    branches = [_image_level(x, details.filters), _branch(x, details.filters, 1, 1, "aspp0")]
    if details.pyramid:
        for number, rate in enumerate(_RATES, start=1):
            dilation = max(1, rate * 16 // details.output_stride)
            branches.append(_branch(x, details.filters, 3, dilation, f"aspp{number}"))
    joined = keras.layers.Concatenate(name="concat")(branches)  # [b, h/s, w/s, n filters]
    joined = _branch(joined, details.filters, 1, 1, "concat_projection")
    outputs = keras.layers.Conv2D(spec.classes, 1, name="logits")(joined)
    return keras.Model(features.inputs, outputs, name=spec.name)


def _image_level(x: Any, filters: int) -> Any:
    """Mean of the feature map, projected and spread over it: ``[b, h, w, c] -> [b, h, w, f]``."""
    import keras

    rows, columns = x.shape[1:3]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="image_pooling_mean")(x)
    mean = _branch(mean, filters, 1, 1, "image_pooling")  # [b, 1, 1, f]
    # Of one cell every interpolation makes equal ones; the bilinear one is a single operator.
    return keras.layers.UpSampling2D(
        (rows, columns), interpolation="bilinear", name="image_pooling_up"
    )(mean)


def _branch(x: Any, filters: int, kernel: int, dilation: int, name: str) -> Any:
    """Convolution, batch norm and ReLU: ``[b, h, w, c] -> [b, h, w, filters]``."""
    import keras

    x = keras.layers.Conv2D(
        filters, kernel, padding="same", dilation_rate=dilation, use_bias=False, name=name
    )(x)
    x = keras.layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=f"{name}_bn")(x)
    return activation_layer(Activation.RELU, f"{name}_relu")(x)


_SOURCE = "Sandler et al. 2018, arXiv:1801.04381, section 6.3 and table 7"
_V1 = partial(mobilenet_v1.backbone, same=True)
_V2 = partial(mobilenet_v2.backbone, divisor=1)


def _voc(name: str, summary: str, stages: tuple[Any, ...], details: DeepLab) -> ModelSpec:
    """Segmenter of Pascal VOC's 21 classes, fed and read as the published networks are.

    They keep the aspect ratio, have the middle grey around the photo, and enlarge the scores with
    aligned corners. The source puts the photo at the top left corner, here it is centred. Source: https://github.com/tensorflow/models/tree/master/research/deeplab,
    ``deeplab_demo.ipynb`` and ``input_preprocess.py``; ``model.py``, ``predict_labels``.
    """
    return ModelSpec(
        name=name,
        summary=summary,
        source=_SOURCE,
        build=build,
        preprocessing=Preprocessing(
            size=(513, 513),
            crop=Crop.LETTERBOX,
            labels=VOC21_LABELS,
            segmenter=Segmenter(upsampling=Upsampling.ALIGN_CORNERS),
        ),
        stages=stages,
        details=details,
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        classes=len(VOC21_LABELS),
        task=Task.SEGMENTATION,
    )


SPECS = (
    _voc(
        "deeplab_v3_mobilenet_v2",
        "DeepLabv3 on MobileNetV2 1.0/513, output stride 16, without ASPP; any --alpha",
        mobilenet_v2.STAGES,
        DeepLab(_V2),
    ),
    _voc(
        "deeplab_v3_mobilenet_v2_os8",
        "DeepLabv3 on MobileNetV2 1.0/513, output stride 8, without ASPP; any --alpha",
        mobilenet_v2.STAGES,
        DeepLab(_V2, output_stride=8),
    ),
    _voc(
        "deeplab_v3_mobilenet_v2_aspp",
        "DeepLabv3 on MobileNetV2 1.0/513, output stride 16, with ASPP; any --alpha",
        mobilenet_v2.STAGES,
        DeepLab(_V2, pyramid=True),
    ),
    _voc(
        "deeplab_v3_mobilenet_v1",
        "DeepLabv3 on MobileNetV1 1.0/513, output stride 16, without ASPP; any --alpha",
        mobilenet_v1.STAGES,
        DeepLab(_V1),
    ),
    _voc(
        "deeplab_v3_mobilenet_v1_aspp",
        "DeepLabv3 on MobileNetV1 1.0/513, output stride 16, with ASPP; any --alpha",
        mobilenet_v1.STAGES,
        DeepLab(_V1, pyramid=True),
    ),
)
