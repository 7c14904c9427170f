"""LR-ASPP and R-ASPP: light segmentation heads on MobileNets.

Source: Howard et al. 2019, "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244, section
6.4 and figure 10; R-ASPP is from Sandler et al. 2018, https://arxiv.org/abs/1801.04381, section
6.3. The paper pools windows of 49x49 with strides 16 and 20, which see nearly all of its feature
map; here the pooling is global, so that any input size works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import BACKGROUND, FASHION_MNIST_LABELS
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import Task
from models.backbones import Backbone
from models.blocks import Stage, activation_layer, conv_bn
from models.mobilenet_v2 import backbone as mobilenet_v2_backbone
from models.spec import Knob, ModelSpec

if TYPE_CHECKING:
    import keras

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
    """

    backbone: Callable[[ModelSpec, int], Backbone]
    filters: int = 128
    output_stride: int = 16
    low_stride: int = 8


def build(spec: ModelSpec) -> keras.Model:
    """Build the network: ``[batch, h, w, channels] -> [batch, h/8, w/8, classes]``, logits."""
    import keras

    details: LrAspp = spec.details
    features = details.backbone(spec, details.output_stride)
    high = features.blocks[-1].narrow  # [b, h/16, w/16, c]
    low = features.last_at(details.low_stride).narrow  # [b, h/8, w/8, c']
    attention = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool")(high)
    attention = keras.layers.Conv2D(
        details.filters, 1, use_bias=False, activation="sigmoid", name="aspp_attention"
    )(attention)  # [b, 1, 1, filters]
    x = conv_bn(high, details.filters, 1, 1, momentum=_MOMENTUM, conv="aspp", bn="aspp_bn")
    x = activation_layer(spec.activation, "aspp_relu")(x)
    x = keras.layers.Multiply(name="aspp_weighted")([x, attention])  # [b, h/16, w/16, filters]
    x = _enlarged(x, low, "aspp_up")
    x = keras.layers.Conv2D(spec.classes, 1, name="high_logits")(x)
    fine = keras.layers.Conv2D(spec.classes, 1, name="low_logits")(low)
    outputs = keras.layers.Add(name="logits")([x, fine])  # [b, h/8, w/8, classes]
    return keras.Model(features.inputs, outputs, name=spec.name)


def _enlarged(x: Any, wanted: Any, name: str) -> Any:
    """Bilinear enlargement of a feature map to the height and width of another."""
    import keras

    rows, columns = wanted.shape[1] // x.shape[1], wanted.shape[2] // x.shape[2]
    if (rows, columns) == (1, 1):
        return x
    return keras.layers.UpSampling2D((rows, columns), interpolation="bilinear", name=name)(x)


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
        details=LrAspp(mobilenet_v2_backbone, filters=96, low_stride=4),
        knobs=(Knob.ALPHA, Knob.ACTIVATION),
        alpha=0.35,
        classes=11,
        weights="fashion_scenes",
        task=Task.SEGMENTATION,
    ),
)
