"""ShuffleNetV1: grouped 1x1 convolutions with a channel shuffle between them.

Source: Zhang et al. 2017, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
Mobile Devices", https://arxiv.org/abs/1707.01083, table 1 and figure 2. The stem's channels at
other widths follow the authors' code, https://github.com/megvii-model/ShuffleNet-Series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from models.blocks import Activation, activation_layer
from models.shuffling import channel_shuffle, classifier, conv_norm, depthwise_norm, stem
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 24
BOTTLENECK_DIVISOR = 4
"""Ratio of a unit's output channels to its inner channels (section 3.2)."""


@dataclass(frozen=True)
class GroupStage:
    """One stage of table 1, whose first unit halves the resolution.

    Attributes:
        channels: output channels at width 1.0.
        repeats: number of units.

    Raises:
        InvalidInputError: a value below 1.
    """

    channels: int
    repeats: int

    def __post_init__(self) -> None:
        if min(self.channels, self.repeats) < 1:
            raise InvalidInputError(
                "a stage has at least one unit and one channel",
                received=repr(self),
                remedy="correct the table of stages",
            )


@dataclass(frozen=True)
class Groups:
    """Groups of the 1x1 convolutions.

    Attributes:
        count: number of groups; 1 for plain convolutions without a shuffle.
    """

    count: int


CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Table 1: channels of stage 2 by number of groups; each later stage has twice as many."""

REPEATS = (4, 8, 4)
"""Table 1: number of units of each stage; the resolutions at 224 are 28, 14 and 7."""


def stages(groups: int) -> tuple[GroupStage, ...]:
    """Stages of table 1 of the paper for a number of groups."""
    return tuple(GroupStage(CHANNELS[groups] << i, n) for i, n in enumerate(REPEATS))


def build(spec: ModelSpec) -> keras.Model:
    """Build the network with random weights: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    groups = spec.details.count
    inputs = keras.Input(spec.input_shape)
    x = stem(inputs, stem_channels(spec.alpha, groups), spec.stem_stride, spec.activation)
    for number, stage in enumerate(spec.stages, 2):
        step = BOTTLENECK_DIVISOR * groups
        channels = max(step, round(stage.channels * spec.alpha / step) * step)
        for repeat in range(stage.repeats):
            first = number == 2 and repeat == 0
            x = _unit(
                x,
                channels,
                # Section 3.2: the first unit has too few input channels for groups.
                groups=(1 if first else groups, groups),
                halves=repeat == 0,
                activation=spec.activation,
                prefix=f"stage{number}_unit{repeat + 1}",
            )
    return keras.Model(
        inputs, classifier(x, spec.classes, spec.classifier_activation), name=spec.name
    )


def stem_channels(alpha: float, groups: int) -> int:
    """Number of channels of the first convolution: 24 below width 2, and fewer below width 1.

    They are the channels of the first unit's shortcut, so that the groups must divide them.
    """
    wanted = STEM_CHANNELS * (int(alpha) if alpha >= 1 else alpha)
    return -(-int(wanted) // groups) * groups or groups


def _unit(
    x: Any,
    channels: int,
    *,
    groups: tuple[int, int],
    halves: bool,
    activation: Activation,
    prefix: str,
) -> Any:
    """Unit of figure 2b, or 2c if it halves: ``[b, h, w, c] -> [b, h/s, w/s, channels]``.

    ``groups`` are those of the first and of the second 1x1 convolution.
    """
    import keras

    first_groups, second_groups = groups
    inner_channels = channels // BOTTLENECK_DIVISOR
    added_channels = channels - x.shape[-1] if halves else channels
    inner = conv_norm(x, inner_channels, groups=first_groups, name=f"{prefix}_reduce")
    inner = activation_layer(activation, f"{prefix}_reduce_relu")(inner)  # [b, h, w, channels/4]
    if second_groups > 1:
        inner = channel_shuffle(inner, second_groups, f"{prefix}_shuffle")
    inner = depthwise_norm(inner, 2 if halves else 1, f"{prefix}_depthwise")
    inner = conv_norm(inner, added_channels, groups=second_groups, name=f"{prefix}_expand")
    if halves:
        # The rectifier precedes the join, since the pooled input has been rectified before.
        inner = activation_layer(activation, f"{prefix}_relu")(inner)
        shortcut = keras.layers.AveragePooling2D(
            3, strides=2, padding="same", name=f"{prefix}_pool"
        )(x)
        return keras.layers.Concatenate(name=f"{prefix}_join")([shortcut, inner])
    return activation_layer(activation, f"{prefix}_relu")(
        keras.layers.Add(name=f"{prefix}_add")([x, inner])
    )


SPECS = tuple(
    ModelSpec(
        name=f"shufflenet_v1_g{groups}",
        summary=f"ShuffleNetV1 1.0/224, {groups} group{'s' if groups > 1 else ''}; "
        "--alpha 0.5 to 2 as published, any --size",
        source="Zhang et al. 2017, arXiv:1707.01083",
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=stages(groups),
        details=Groups(groups),
        activation=Activation.RELU,
    )
    for groups in CHANNELS
)
