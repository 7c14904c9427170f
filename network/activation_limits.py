"""Integers that a fused activation lets through."""

from __future__ import annotations

import math

import numpy as np

from network.affine import QuantParams, round_away
from network.operators import Fused


def activation_limits(fused: Fused, params: QuantParams) -> tuple[int, int]:
    """Integers that a fused activation lets through.

    Source: CalculateActivationRangeQuantized, tensorflow/lite/kernels/kernel_util.cc.

    Args:
        fused: fused activation.
        params: parameters of the operator's result, one scale.

    Returns:
        Smallest and largest integer of the result.
    """
    return limits_in_steps(fused.limits, params)


def limits_in_steps(limits: tuple[float, float], params: QuantParams) -> tuple[int, int]:
    """Integers of the type between two limits.

    Args:
        limits: smallest and largest number; may be infinite.
        params: parameters with one scale.

    Returns:
        Smallest and largest integer.
    """
    first, last = params.dtype.limits
    low, high = limits
    if math.isfinite(low):
        first = max(first, _step(low, params))
    if math.isfinite(high):
        last = min(last, _step(high, params))
    return first, last


def _step(value: float, params: QuantParams) -> int:
    exact = np.float32(value) / np.float32(params.scale[0])
    return params.zero_point[0] + int(round_away(np.asarray(exact, np.float64)))
