"""The same files from any number of cores, and from x86 of any make."""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.machine import cpu_features, cpu_fields
from foundation.threads import OPERATOR_CORES

_BLAS_KERNELS = "OPENBLAS_CORETYPE"

_CPU = Path("/proc/cpuinfo")

_FIRST_OF_ZEN_2 = 0x30
"""Model of AMD's family 23 from which on XNNPACK takes the kernels of other CPUs with FMA."""


def one_order_of_sums() -> None:
    """Have sums of floats made in one order, unless the user has set another one.

    Rounding to second order carries the last bit of a sum into the integers. TensorFlow shares a
    convolution's sums among its threads in a way that depends on their number: it is given one core
    an operator, and images are shared among the cores (``quantize.parallel``). OpenBLAS, which
    NumPy and SciPy multiply matrices with, has kernels for each kind of CPU: all that have AVX2 and
    FMA take those for Haswell. Both are read when the libraries are loaded. LiteRT's XNNPACK adds
    up each result in order by itself, with FMA, whatever the width of the registers (but on AMD's
    first Zen); TensorFlow's inverse roots, which no setting makes equal, are not used
    (``network.exact_norms``).
    """
    os.environ.setdefault(OPERATOR_CORES, "1")
    if _has("avx2", "fma"):
        os.environ.setdefault(_BLAS_KERNELS, "Haswell")


def other_sums(architecture: str, cpu: Path = _CPU) -> str | None:
    """Why sums of floats are not those of x86 with AVX2 and FMA; None where they are.

    Args:
        architecture: as ``platform.machine`` gives it.
        cpu: what Linux says of the processor; without it, no reason is known.
    """
    if architecture.lower() not in ("x86_64", "amd64"):
        return f"sums of floats have another order on {architecture}"
    fields = cpu_fields(cpu)
    if not fields:
        return None
    if not cpu_features(cpu).issuperset({"avx2", "fma"}):
        return "sums of floats have another order on CPUs without AVX2 and FMA"
    family, model = fields.get("cpu family"), fields.get("model", "")
    early = fields.get("vendor_id") == "AuthenticAMD" and family == "23"
    first_zen = early and model.isdecimal() and int(model) < _FIRST_OF_ZEN_2
    if first_zen or fields.get("vendor_id") == "HygonGenuine":
        return "XNNPACK has another order of sums for AMD's first Zen"
    return None


def _has(*features: str) -> bool:
    """Whether Linux names these among the CPU's; elsewhere OpenBLAS chooses."""
    return cpu_features(_CPU).issuperset(features)
