"""The same files from any number of cores, and from x86 of any make."""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.machine import cpu_features
from foundation.threads import OPERATOR_CORES

_BLAS_KERNELS = "OPENBLAS_CORETYPE"

_CPU = Path("/proc/cpuinfo")


def one_order_of_sums() -> None:
    """Have sums of floats made in one order, unless the user has set another one.

    Rounding to second order carries the last bit of a sum into the integers. TensorFlow shares a
    convolution's sums among its threads in a way that depends on their number: it is given one core
    an operator, and images are shared among the cores (``quantize.parallel``). OpenBLAS, which
    NumPy and SciPy multiply matrices with, has kernels for each kind of CPU: all that have AVX2 and
    FMA take those for Haswell. Both are read when the libraries are loaded. LiteRT's XNNPACK adds
    up each result in order by itself.
    """
    os.environ.setdefault(OPERATOR_CORES, "1")
    if _has("avx2", "fma"):
        os.environ.setdefault(_BLAS_KERNELS, "Haswell")


def _has(*features: str) -> bool:
    """Whether Linux names these among the CPU's; elsewhere OpenBLAS chooses."""
    return cpu_features(_CPU).issuperset(features)
