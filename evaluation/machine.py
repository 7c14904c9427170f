"""Description of the machine and the packages with which a result was measured."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FLAGS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "f16c", "fma",
    "asimd", "asimdhp", "asimddp", "i8mm",
)  # fmt: skip
"""Instruction sets, by Linux's names, that decide which float16 and int8 kernels run."""

PACKAGES = (
    "ai-edge-litert",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "scipy",
    "tensorflow",
)
"""Distributions whose versions influence a result."""


@dataclass(frozen=True)
class Machine:
    """Machine on which a result was measured.

    Attributes:
        cpu: model name of the processor.
        architecture: value of ``platform.machine`` (``x86_64``, ``aarch64``).
        cores: number of logical processors.
        usable_cores: number of processors that this process may use.
        flags: the members of FLAGS that the processor has; None where they cannot be read.
        system: operating system and release.
        python: version of Python.
        packages: version of each installed distribution.
    """

    cpu: str
    architecture: str
    cores: int
    usable_cores: int
    flags: tuple[str, ...] | None
    system: str
    python: str
    packages: dict[str, str]

    @property
    def has_vnni(self) -> bool | None:
        """Whether the processor has x86's 8-bit dot product into 32 bits; None if unknown.

        Without it, int8 ONNX files may saturate 16-bit sums on x86. Arm does not need it.
        """
        if self.flags is None:
            return None
        return "avx512_vnni" in self.flags or "avx_vnni" in self.flags

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        flags = None if self.flags is None else list(self.flags)
        return {**asdict(self), "flags": flags, "has_vnni": self.has_vnni}


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """Describe the machine that runs this process.

    Args:
        cpuinfo: Linux's description of the processors; without it, Python's values are used.
    """
    fields = cpu_fields(cpuinfo)
    words = _features(fields)
    cores = os.cpu_count() or 1
    return Machine(
        cpu=_cpu_name(fields),
        architecture=platform.machine(),
        cores=cores,
        usable_cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else cores,
        flags=tuple(flag for flag in FLAGS if flag in words) if words else None,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        packages=package_versions(PACKAGES),
    )


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Features of the first processor by Linux's names; empty where they cannot be read."""
    return _features(cpu_fields(cpuinfo))


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the installed ones of these distributions, by name."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def cpu_fields(cpuinfo: Path) -> dict[str, str]:
    """Fields of the first processor; empty where the file cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.strip().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _features(fields: dict[str, str]) -> frozenset[str]:
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())


def _cpu_name(fields: dict[str, str]) -> str:
    if name := fields.get("model name"):
        return name
    if part := fields.get("CPU part"):  # Linux on Arm has only numbers
        return f"Arm implementer {fields.get('CPU implementer', '?')} part {part}"
    return platform.processor() or "unknown"
