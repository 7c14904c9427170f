"""The networks of the study: one architecture, varied in one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.blocks import Activation, Bottleneck, Shortcut
from models.spec import ModelSpec, model_spec

ALPHA = 0.25
SIZE = 28
STEM_STRIDE = 2
"""Stride of the stem: the paper's, not 1 as in ``mobilenet_v2_small``. A step costs 2.3 times less,
so that eighteen networks can be trained for longer and measured on more images in the same time."""
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Kind:
    """One architecture of the study, to be trained with several seeds.

    Attributes:
        activation: non-linearity between convolutions.
        bottleneck: whether the bottlenecks are linear.
        shortcut: layers that the shortcuts join.
        began: activation that the network was first trained with, before it was fine-tuned with
            ``activation``; None for a network without fine-tuning.
    """

    activation: Activation = Activation.RELU6
    bottleneck: Bottleneck = Bottleneck.LINEAR
    shortcut: Shortcut = Shortcut.BOTTLENECKS
    began: Activation | None = None

    @property
    def before(self) -> Kind:
        """Kind that fine-tuning begins with; the kind itself without fine-tuning."""
        return self if self.began is None else replace(self, activation=self.began, began=None)

    @property
    def name(self) -> str:
        """Name: activation, then the choices that are not the paper's, as ``relu6-non_linear``."""
        usual = Kind()
        parts = [self.activation.value]
        if self.bottleneck is not usual.bottleneck:
            parts.append(self.bottleneck.value)
        if self.shortcut is not usual.shortcut:
            parts.append(self.shortcut.value)
        if self.began is not None:
            parts.append(f"from_{self.began.value}")
        return "-".join(parts)


ACTIVATIONS = (
    Kind(Activation.RELU6),
    Kind(Activation.RELU),
    Kind(Activation.SWISH),
    Kind(Activation.HARD_SWISH),
)
"""Part 1: the effect of the activation."""

ABLATIONS = (
    Kind(bottleneck=Bottleneck.NON_LINEAR),
    Kind(shortcut=Shortcut.EXPANSIONS),
)
"""Part 4: the two choices of the MobileNetV2 paper (section 6.4, figure 6), undone."""

TUNED = (Kind(began=Activation.SWISH),)
"""Part 3: the repairs by fine-tuning. Each kind comes after the kind that it begins as."""

KINDS = ACTIVATIONS + ABLATIONS + TUNED


@dataclass(frozen=True)
class Variant:
    """A network of the study: a kind, trained from a seed."""

    kind: Kind
    seed: int

    @property
    def origin(self) -> Variant | None:
        """Network whose weights the training begins with; None where they are random."""
        if self.kind.began is None:
            return None
        return Variant(self.kind.before, self.seed)

    @property
    def name(self) -> str:
        """Name of its checkpoint, such as ``hard_swish-2``."""
        return f"{self.kind.name}-{self.seed}"

    def spec(self) -> ModelSpec:
        """Spec of ``--model mobilenet_v2_small --alpha 0.25 --size 28`` with the kind's choices."""
        return replace(
            model_spec("mobilenet_v2_small").resized(SIZE),
            alpha=ALPHA,
            activation=self.kind.activation,
            bottleneck=self.kind.bottleneck,
            shortcut=self.kind.shortcut,
            stem_stride=STEM_STRIDE,
            weights="random",
        )


def variants(kinds: tuple[Kind, ...] = KINDS, seeds: tuple[int, ...] = SEEDS) -> list[Variant]:
    """All networks in the order of training: every kind with the first seed, then the next."""
    return [Variant(kind, seed) for seed in seeds for kind in kinds]
