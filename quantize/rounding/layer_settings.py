"""How a layer is rounded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from network.graph import Op
from network.operators import OpKind
from quantize.settings import Granularity, WeightRange

FOUR_BIT_NARROWINGS = (1.0, 0.9, 0.8, 0.72, 0.64, 0.56, 0.5)
"""Factors on the widest scale of a weight in 4 bits, from which each channel takes the one of the
least error."""


@dataclass(frozen=True)
class LayerSettings:
    """How a layer is rounded.

    Attributes:
        granularity: one scale per channel of a convolution weight, or one per weight.
        weight_range: whether pairs of weights must not saturate 16-bit sums.
        damping: share of the mean variance that is added to the moments before they are inverted.
        sweeps: largest number of coordinate descent sweeps.
        narrowings: factors on the widest scale to choose from, by the error of each channel; for
            the one scale of a weight in 8 bits ``scales.SHARED_NARROWINGS`` take their place.
        refit: whether the float weight is first fitted to the quantized inputs.
        bits: bits of a weight's integers.
    """

    granularity: Granularity
    weight_range: WeightRange
    damping: float = 0.005
    sweeps: int = 3
    narrowings: tuple[float, ...] = (1.0,)
    refit: bool = False
    bits: int = 8

    @property
    def limit(self) -> int:
        """Largest magnitude of an integer: symmetric, so that the zero point is 0."""
        return int(2 ** (self.bits - 1)) - 1

    def per_channel(self, op: Op) -> bool:
        """Whether each channel of a weight has a scale; dense layers have one (TFLite's rule)."""
        return self.granularity is Granularity.PER_CHANNEL and op.kind != OpKind.DENSE

    def in_four_bits(self) -> LayerSettings:
        """The same for a weight in 4 bits.

        15 steps are so wide that the best scale cuts the largest weights off, and 16-bit sums have
        room for all of them.
        """
        full = WeightRange.FULL
        return replace(self, weight_range=full, narrowings=FOUR_BIT_NARROWINGS, bits=4)
