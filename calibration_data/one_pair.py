"""A contract as platforms with one mean and one standard deviation can express it.

Platforms such as MediaPipe's tasks take RGB pixels with one mean m and one standard deviation s.
For a pixel p, let

    y   = (p - m) / s                              the platform's tensor
    x_c = (p - mean_c) / std_c                     channel c of the network's tensor
        = gain_c * y + shift_c
    gain_c  = s / std_c
    shift_c = (m - mean_c) / std_c
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calibration_data.preprocessing import ChannelOrder, Preprocessing

PAIR = 128.0
"""Mean and std after folding: a scale of 1/128 and the zero point 128 express them exactly."""

PADDED = (
    "std folded into the first convolution, mean added in front of it, because its zero "
    "padding is the mean colour, which no constant pixel is"
)
UNPADDED = "mean and std folded into the first convolution"


@dataclass(frozen=True)
class OnePair:
    """What remains for the network to do when the platform uses one mean and one std.

    Attributes:
        contract: contract with RGB, one mean and one std, otherwise unchanged.
        gain: factor of each channel in the network's order, float64 ``[channels]``.
        shift: added to each channel afterwards, float64 ``[channels]``.
        order: slice that brings channels of the network's order into RGB.
        reordered: whether that changes anything.
    """

    contract: Preprocessing
    gain: np.ndarray
    shift: np.ndarray
    order: slice
    reordered: bool

    @classmethod
    def of(cls, contract: Preprocessing) -> OnePair:
        """The pair of 128 and 128 for a contract of colour images."""
        std = np.array(contract.std, np.float64)
        reordered = contract.channels is ChannelOrder.BGR
        return cls(
            replace(contract, channels=ChannelOrder.RGB, mean=(PAIR,) * 3, std=(PAIR,) * 3),
            PAIR / std,
            (PAIR - np.array(contract.mean, np.float64)) / std,
            slice(None, None, -1 if reordered else 1),
            reordered,
        )

    def how(self, *, padded: bool) -> str:
        """Description of the change, for the model card."""
        order = ", channel order too" if self.reordered else ""
        return (PADDED if padded else UNPADDED) + order
