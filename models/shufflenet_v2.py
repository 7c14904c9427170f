"""ShuffleNetV2: half of the channels bypass a unit and are shuffled with the other half after it.

Source: Ma et al. 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
https://arxiv.org/abs/1807.11164, table 5 and figure 3c, 3d. In a unit that halves the resolution,
the bypass branch keeps its number of channels and the other branch adds the rest, as in the
authors' code (https://github.com/megvii-model/ShuffleNet-Series), whose counts are the published
ones. In the first unit, with 24 input channels, that differs from two equal halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from models.blocks import Activation, activation_layer
from models.shuffling import channel_shuffle, classifier, conv_norm, depthwise_norm, stem
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 24
HEAD_CHANNELS = 1024


@dataclass(frozen=True)
class HalvesStage:
    """One stage of table 5, whose first unit halves the resolution.

    Attributes:
        channels: pairs of a published width and the output channels at it.
        repeats: number of units.
    """

    channels: tuple[tuple[float, int], ...]
    repeats: int

    def at(self, alpha: float) -> int:
        """Output channels at a width: published ones, or those of width 1.0 scaled to it."""
        published = dict(self.channels)
        return published.get(alpha) or max(2, round(published[1.0] * alpha / 2) * 2)


STAGES = (
    # channels by width, n                                           resolution at 224
    HalvesStage(((0.5, 48), (1.0, 116), (1.5, 176), (2.0, 244)), 4),  # 28
    HalvesStage(((0.5, 96), (1.0, 232), (1.5, 352), (2.0, 488)), 8),  # 14
    HalvesStage(((0.5, 192), (1.0, 464), (1.5, 704), (2.0, 976)), 4),  # 7
)
"""Table 5 of the paper."""


def build(spec: ModelSpec) -> keras.Model:
    """Build the network with random weights: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    inputs = keras.Input(spec.input_shape)
    x = stem(inputs, STEM_CHANNELS, spec.stem_stride, spec.activation)
    for number, stage in enumerate(spec.stages, 2):
        for repeat in range(stage.repeats):
            x = _unit(
                x,
                stage.at(spec.alpha),
                halves=repeat == 0,
                activation=spec.activation,
                prefix=f"stage{number}_unit{repeat + 1}",
            )
    head = HEAD_CHANNELS * (2 if spec.alpha >= 2 else 1)
    x = conv_norm(x, head, name="head")
    x = activation_layer(spec.activation, "head_relu")(x)
    return keras.Model(
        inputs, classifier(x, spec.classes, spec.classifier_activation), name=spec.name
    )


def _unit(x: Any, channels: int, *, halves: bool, activation: Activation, prefix: str) -> Any:
    """Unit of figure 3c, or 3d if it halves: ``[b, h, w, c] -> [b, h/s, w/s, channels]``."""
    import keras

    if halves:
        stride, inner = 2, x
        bypass = depthwise_norm(x, 2, f"{prefix}_pass_depthwise")  # [b, h/2, w/2, c]
        bypass = conv_norm(bypass, x.shape[-1], name=f"{prefix}_pass")
        bypass = activation_layer(activation, f"{prefix}_pass_relu")(bypass)
    else:
        stride = 1
        bypass, inner = keras.ops.split(x, 2, axis=-1)  # [b, h, w, c/2] each
    inner = conv_norm(inner, channels // 2, name=f"{prefix}_first")
    inner = activation_layer(activation, f"{prefix}_first_relu")(inner)
    inner = depthwise_norm(inner, stride, f"{prefix}_depthwise")  # [b, h/s, w/s, channels/2]
    inner = conv_norm(inner, channels - bypass.shape[-1], name=f"{prefix}_second")
    inner = activation_layer(activation, f"{prefix}_second_relu")(inner)
    x = keras.layers.Concatenate(name=f"{prefix}_join")([bypass, inner])
    return channel_shuffle(x, 2, f"{prefix}_shuffle")


SPECS = (
    ModelSpec(
        name="shufflenet_v2",
        summary="ShuffleNetV2 1.0/224; --alpha 0.5, 1, 1.5 and 2 as published, any --size",
        source="Ma et al. 2018, arXiv:1807.11164",
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=STAGES,
        activation=Activation.RELU,
    ),
)
