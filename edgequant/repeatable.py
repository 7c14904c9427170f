"""Settings under which every number of cores, and every make of x86, writes the same files."""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.machine import cpu_features, cpu_fields
from foundation.threads import OPERATOR_CORES

BLAS_KERNELS = "OPENBLAS_CORETYPE"
"""Variable that OpenBLAS reads when NumPy is loaded."""

_CPU = Path("/proc/cpuinfo")

_FIRST_OF_ZEN_2 = 0x30
"""First model of AMD's family 23 on which XNNPACK uses the kernels of other CPUs with FMA."""


def one_order_of_sums() -> None:
    """Fix the order of float sums, unless the user has set another one.

    Second-order rounding carries the last bit of a sum into the integers. TensorFlow divides the
    sums of a convolution among its threads in a way that depends on their number, so each operator
    gets one core and images are divided among the cores (``quantize.parallel``). OpenBLAS, which
    multiplies matrices for NumPy and SciPy, has kernels for each kind of CPU: all CPUs with AVX2
    and FMA use those for Haswell. Both settings are read when the libraries are loaded. XNNPACK in
    LiteRT computes each sum in one order, with FMA, whatever the width of the registers (except on
    AMD's first Zen); TensorFlow's inverse roots, which no setting makes equal, are not used
    (``network.exact_norms``).
    """
    os.environ.setdefault(OPERATOR_CORES, "1")
    if _has("avx2", "fma"):
        os.environ.setdefault(BLAS_KERNELS, "Haswell")


def other_sums(architecture: str, cpu: Path = _CPU) -> str | None:
    """Reason why float sums differ from those of x86 with AVX2 and FMA; None if they do not.

    Args:
        architecture: architecture as ``platform.machine`` returns it.
        cpu: file in which Linux describes the processor; without it, no reason is known.
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
    """Whether Linux lists these features of the CPU; on other systems OpenBLAS chooses."""
    return cpu_features(_CPU).issuperset(features)
