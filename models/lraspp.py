"""LR-ASPP and R-ASPP: light segmentation heads on MobileNets.

Source: Howard et al. 2019, "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244, section
6.4, figure 10 and table 7; R-ASPP, the head of Mobile DeepLabv3 without atrous convolutions, is
from Sandler et al. 2018, https://arxiv.org/abs/1801.04381, section 6.3. As in tensorflow/models,
research/deeplab, the finer feature map is the depthwise output of the last block at output stride
8, and the channels of the last block are halved. The paper pools windows of 49x49 with strides 16
and 20, which see nearly all of its feature map; here the pooling is global, so that any input size
works.

Published multiply-adds are of Cityscapes' images with a row and a column more, 1025x2049, and count
three operations for each h-swish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from calibration_data.labels import CITYSCAPES_LABELS, FASHION_MNIST_LABELS
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import Task
from foundation.errors import InvalidInputError
from models import deeplab_v3, mobilenet_v2, mobilenet_v3
from models.backbones import Backbone, halved, require_aligned, unchanged
from models.blocks import Activation, Stage, activation_layer, conv_bn
from models.deeplab_v3 import DeepLab
from models.mobilenet_v2 import backbone as mobilenet_v2_backbone
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

BACKGROUND = "background"
"""Label of the class 0 of a mask."""
_MOMENTUM = 0.99

SCENE_STAGES = (
    # t, c, n, s          resolution at 160
    Stage(1, 16, 1, 1),  # 80
    Stage(6, 24, 2, 2),  # 40
    Stage(6, 32, 3, 2),  # 20
    Stage(6, 64, 4, 2),  # 10
    Stage(6, 96, 3, 1),  # 10
)
"""Table 2 of MobileNetV2 up to output stride 16, for small scenes."""


@dataclass(frozen=True)
class LrAspp:
    """Head and backbone.

    Attributes:
        backbone: spec and output stride -> feature maps.
        filters: channels of the head.
        output_stride: output stride of the head's input.
        low_stride: output stride of the finer feature map; also that of the scores.
        last: spec and last feature map -> what the head reads.
        expanded: whether the finer feature map is the depthwise output of its block, which has the
            channels of the expansion, and not the block's output.
        activation: non-linearity of the head; None for that of the network.

    Raises:
        InvalidInputError: output strides that are no multiples of one another.
    """

    backbone: Callable[[ModelSpec, int], Backbone] = field(repr=False)
    filters: int = 128
    output_stride: int = 16
    low_stride: int = 8
    last: Callable[[ModelSpec, Any], Any] = field(default=unchanged, repr=False)
    expanded: bool = False
    activation: Activation | None = None

    def __post_init__(self) -> None:
        if self.low_stride < 2 or self.output_stride % self.low_stride:
            raise InvalidInputError(
                "the output stride of the head is a multiple of that of the finer feature map",
                received=f"{self.output_stride} and {self.low_stride}",
                remedy="choose 16 and 8, for instance",
            )


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[batch, h, w, channels] -> [batch, h/8, w/8, classes]``, logits.

    Raises:
        InvalidInputError: an input on which the output stride does not lie evenly.
    """
    import keras

    details: LrAspp = spec.details
    require_aligned(spec.preprocessing.size, details.output_stride)
    features = details.backbone(spec, details.output_stride)
    high = details.last(spec, features.blocks[-1].narrow)  # [b, h/16, w/16, c]
    block = features.last_at(details.low_stride)
    low = block.wide if details.expanded else block.narrow  # [b, h/8, w/8, c']
    attention = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool")(high)
    attention = keras.layers.Conv2D(
        details.filters, 1, use_bias=False, activation="sigmoid", name="aspp_attention"
    )(attention)  # [b, 1, 1, filters]
    x = conv_bn(high, details.filters, 1, 1, momentum=_MOMENTUM, conv="aspp", bn="aspp_bn")
    x = activation_layer(details.activation or spec.activation, "aspp_relu")(x)
    x = keras.layers.Multiply(name="aspp_weighted")([x, attention])  # [b, h/16, w/16, filters]
    x = _enlarged(x, low, "aspp_up")
    x = keras.layers.Conv2D(spec.classes, 1, name="high_logits")(x)
    fine = keras.layers.Conv2D(spec.classes, 1, name="low_logits")(low)
    outputs = keras.layers.Add(name="logits")([x, fine])  # [b, h/8, w/8, classes]
    return keras.Model(features.inputs, outputs, name=spec.name)


def _enlarged(x: Any, wanted: Any, name: str) -> Any:
    """Bilinear enlargement of a feature map to the height and width of another."""
    import keras

    rows, columns = wanted.shape[1:3]
    if x.shape[1:3] == (rows, columns):
        return x
    if rows % x.shape[1] or columns % x.shape[2]:
        return keras.layers.Resizing(rows, columns, name=name)(x)
    factors = (rows // x.shape[1], columns // x.shape[2])
    return keras.layers.UpSampling2D(factors, interpolation="bilinear", name=name)(x)


def reduced(stages: tuple[Any, ...], first: int) -> tuple[Any, ...]:
    """Table of MobileNetV3 with half of the channels, expansions included, from a row on."""
    row = stages[first]
    narrower = replace(row, expansion=row.expansion / 2)
    return halved((*stages[:first], narrower, *stages[first + 1 :]), first)


_PAPER = "Howard et al. 2019, arXiv:1905.02244, section 6.4 and table 7"
_V2_STAGES = halved(mobilenet_v2.STAGES, mobilenet_v2.C4)
_LARGE = reduced(mobilenet_v3.LARGE, mobilenet_v3.LARGE_C4)
_SMALL = reduced(mobilenet_v3.SMALL, mobilenet_v3.SMALL_C4)
_V2 = LrAspp(mobilenet_v2_backbone, expanded=True, activation=Activation.RELU)
_V3 = replace(_V2, backbone=mobilenet_v3.backbone, last=mobilenet_v3.last_convolution)
_R_V2 = DeepLab(mobilenet_v2_backbone, filters=128)
_R_V3 = replace(_R_V2, backbone=mobilenet_v3.backbone, last=mobilenet_v3.last_convolution)


def _cityscapes(
    name: str,
    what: str,
    stages: tuple[Any, ...],
    details: LrAspp | DeepLab,
    activation: Activation = Activation.RELU6,
) -> ModelSpec:
    """Segmenter of Cityscapes' 19 classes, at half of the images' size."""
    return ModelSpec(
        name=name,
        summary=f"{what}, 128 filters, half of the last block's channels; any --alpha",
        source=_PAPER,
        build=build if isinstance(details, LrAspp) else deeplab_v3.build,
        preprocessing=Preprocessing(size=(512, 1024), crop=Crop.STRETCH, labels=CITYSCAPES_LABELS),
        stages=stages,
        details=details,
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        classes=len(CITYSCAPES_LABELS),
        activation=activation,
        task=Task.SEGMENTATION,
    )


_SWISH = Activation.HARD_SWISH

SPECS = (
    ModelSpec(
        name="lraspp_fashion",
        summary="LR-ASPP on MobileNetV2 0.35/160 up to output stride 16; trained on fashion_scenes",
        source="Howard et al. 2019, arXiv:1905.02244, section 6.4",
        build=build,
        preprocessing=Preprocessing(
            size=(160, 160), crop=Crop.PAD, labels=(BACKGROUND, *FASHION_MNIST_LABELS)
        ),
        stages=SCENE_STAGES,
        details=LrAspp(mobilenet_v2_backbone, filters=96),
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        alpha=0.35,
        classes=11,
        weights="fashion_scenes",
        task=Task.SEGMENTATION,
    ),
    _cityscapes("lraspp_mobilenet_v2", "LR-ASPP on MobileNetV2 1.0", _V2_STAGES, _V2),
    _cityscapes(
        "lraspp_mobilenet_v3_large", "LR-ASPP on MobileNetV3 Large 1.0", _LARGE, _V3, _SWISH
    ),
    _cityscapes(
        "lraspp_mobilenet_v3_small", "LR-ASPP on MobileNetV3 Small 1.0", _SMALL, _V3, _SWISH
    ),
    _cityscapes("raspp_mobilenet_v2", "R-ASPP on MobileNetV2 1.0", _V2_STAGES, _R_V2),
    _cityscapes(
        "raspp_mobilenet_v3_large", "R-ASPP on MobileNetV3 Large 1.0", _LARGE, _R_V3, _SWISH
    ),
    _cityscapes(
        "raspp_mobilenet_v3_small", "R-ASPP on MobileNetV3 Small 1.0", _SMALL, _R_V3, _SWISH
    ),
)
