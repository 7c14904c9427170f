"""MobileOne: trained with parallel branches, deployed as a plain chain of convolutions.

Source: Vasu et al. 2022, "MobileOne: An Improved One millisecond Mobile Backbone",
https://arxiv.org/abs/2206.04040, tables 2 and 3 and figure 3. ``build`` returns the form that is
trained; the pipeline first merges its branches by ``models.rewriting.reparameterization``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from models.blocks import Activation, activation_layer, batch_norm, make_divisible
from models.rewriting.reparameterization import plain_form
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras

STEM_CHANNELS = 64
"""Largest number of channels of the stem, which has no more than the first stage."""

SQUEEZE = 16
"""Ratio of a block's channels to those inside squeeze and excitation."""

MOMENTUM = 0.9


@dataclass(frozen=True)
class BranchedStage:
    """One stage, whose first block halves the resolution.

    Attributes:
        channels: output channels at width 1.0.
        repeats: number of blocks.
        squeezed: number of blocks at its end with squeeze and excitation.

    Raises:
        InvalidInputError: a value below 1, or more squeezed blocks than blocks.
    """

    channels: int
    repeats: int
    squeezed: int = 0

    def __post_init__(self) -> None:
        if min(self.channels, self.repeats) < 1 or not 0 <= self.squeezed <= self.repeats:
            raise InvalidInputError(
                "a stage has at least one block and one channel, and no more squeezed blocks "
                "than blocks",
                received=repr(self),
                remedy="correct the table of stages",
            )


@dataclass(frozen=True)
class Branches:
    """Branches of each sum in training.

    Attributes:
        convolutions: number of convolutions with the full kernel, k in the paper.
    """

    convolutions: int


def _stages(
    channels: tuple[int, int, int, int], squeezed: tuple[int, int] = (0, 0)
) -> tuple[BranchedStage, ...]:
    """Stages of a variant after tables 2 and 3 of the paper: ``squeezed`` for the last two."""
    first, second, third, fourth = channels
    return (
        # c, n                                    resolution at 224
        BranchedStage(first, 2),  # 56
        BranchedStage(second, 8),  # 28
        BranchedStage(third, 10, squeezed[0]),  # 14
        BranchedStage(fourth, 1, squeezed[1]),  # 7
    )


VARIANTS = {
    "s0": (_stages((48, 128, 256, 1024)), Branches(4)),
    "s1": (_stages((96, 192, 512, 1280)), Branches(1)),
    "s2": (_stages((96, 256, 640, 2048)), Branches(1)),
    "s3": (_stages((128, 320, 768, 2048)), Branches(1)),
    "s4": (_stages((192, 448, 896, 2048), squeezed=(5, 1)), Branches(1)),
}
"""Table 3 of the paper: stages and branches by variant."""


def build(spec: ModelSpec) -> keras.Model:
    """Build the form that is trained: ``[batch, h, w, 3] -> [batch, classes]``."""
    import keras

    block = _Block(spec.details.convolutions, spec.activation)
    widths = [make_divisible(stage.channels * spec.alpha) for stage in spec.stages]
    inputs = keras.Input(spec.input_shape)
    x = block.convolution(
        inputs, min(STEM_CHANNELS, widths[0]), 3, spec.stem_stride, "stem", branches=1
    )
    x = activation_layer(spec.activation, "stem_relu")(x)
    for number, (stage, channels) in enumerate(zip(spec.stages, widths, strict=True), 1):
        for repeat in range(stage.repeats):
            x = block(
                x,
                channels,
                stride=2 if repeat == 0 else 1,
                squeezed=repeat >= stage.repeats - stage.squeezed,
                prefix=f"stage{number}_block{repeat + 1}",
            )
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)  # [b, c]
    outputs = keras.layers.Dense(
        spec.classes, activation=spec.classifier_activation, name="predictions"
    )(x)
    return keras.Model(inputs, outputs, name=spec.name)


@dataclass(frozen=True)
class _Block:
    """Depthwise 3x3 and pointwise 1x1, each a sum of branches (figure 3, left).

    Attributes:
        branches: number of convolutions with the full kernel in each sum.
        activation: non-linearity after each sum.
    """

    branches: int
    activation: Activation

    def __call__(self, x: Any, channels: int, *, stride: int, squeezed: bool, prefix: str) -> Any:
        """Apply the block: ``[b, h, w, c] -> [b, h/stride, w/stride, channels]``."""
        x = self.convolution(x, 0, 3, stride, f"{prefix}_depthwise", branches=self.branches)
        x = self._ended(x, squeezed, f"{prefix}_depthwise")  # [b, h/s, w/s, c]
        x = self.convolution(x, channels, 1, 1, f"{prefix}_pointwise", branches=self.branches)
        return self._ended(x, squeezed, f"{prefix}_pointwise")  # [b, h/s, w/s, channels]

    def convolution(
        self, x: Any, filters: int, kernel: int, stride: int, name: str, *, branches: int
    ) -> Any:
        """Sum of the branches that are merged into one convolution for deployment.

        These are ``branches`` convolutions with the full kernel, a 1x1 convolution if the kernel
        is larger, each with a batch norm, and a batch norm alone if input and output have the same
        shape. ``filters`` 0 stands for depthwise convolutions.
        """
        import keras

        kernels = [kernel] * branches + ([1] if kernel > 1 else [])
        outputs = [
            batch_norm(MOMENTUM, f"{name}_branch{i}_bn")(
                _convolution(filters, size, stride, f"{name}_branch{i}")(x)
            )
            for i, size in enumerate(kernels)
        ]
        if stride == 1 and filters in (0, x.shape[-1]):
            outputs.append(batch_norm(MOMENTUM, f"{name}_skip_bn")(x))
        return outputs[0] if len(outputs) == 1 else keras.layers.Add(name=name)(outputs)

    def _ended(self, x: Any, squeezed: bool, name: str) -> Any:
        if squeezed:
            x = squeeze_excitation(x, f"{name}_se")
        return activation_layer(self.activation, f"{name}_relu")(x)


def _convolution(filters: int, kernel: int, stride: int, name: str) -> Any:
    import keras

    if filters == 0:
        return keras.layers.DepthwiseConv2D(
            kernel, strides=stride, padding="same", use_bias=False, name=name
        )
    return keras.layers.Conv2D(
        filters, kernel, strides=stride, padding="same", use_bias=False, name=name
    )


def squeeze_excitation(x: Any, name: str) -> Any:
    """Scale each channel by a weight computed from the averages of all channels (Hu et al. 2018).

    ``[b, h, w, c] -> [b, 1, 1, c/16] -> [b, h, w, c]``. The averages keep their axes, which saves
    an operator in int8 files.
    """
    import keras

    channels = x.shape[-1]
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    weights = keras.layers.Conv2D(
        max(1, channels // SQUEEZE), 1, activation="relu", name=f"{name}_reduce"
    )(weights)  # [b, 1, 1, c/16]
    weights = keras.layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_expand")(
        weights
    )  # [b, 1, 1, c]
    return keras.layers.Multiply(name=name)([x, weights])


SPECS = tuple(
    ModelSpec(
        name=f"mobileone_{variant}",
        summary=f"MobileOne {variant.upper()} 1.0/224, branches merged; any --alpha and --size",
        source="Vasu et al. 2022, arXiv:2206.04040",
        build=build,
        preprocessing=Preprocessing(
            size=(224, 224), resize_short_side=256, labels=imagenet_labels()
        ),
        stages=stages,
        details=branches,
        activation=Activation.RELU,
        deployed=plain_form,
    )
    for variant, (stages, branches) in VARIANTS.items()
)
