"""The machine and the packages that a result was measured with."""

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
"""Instruction sets, by Linux' names, that decide which float16 and int8 kernels run."""

PACKAGES = (
    "ai-edge-litert",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "scipy",
    "tensorflow",
)
"""Distributions whose versions shape a result."""


@dataclass(frozen=True)
class Machine:
    """What a result was measured on.

    Attributes:
        cpu: model name.
        architecture: as ``platform.machine`` (``x86_64``, ``aarch64``).
        cores: logical processors.
        usable_cores: those that this process may use.
        flags: which of FLAGS the processor has; None where they cannot be read.
        system: operating system and release.
        python: version.
        packages: versions by distribution; only installed ones.
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
        """Whether x86's 8-bit dot product into 32 bits is there; None where it cannot be read.

        Without it, int8 ONNX files may saturate 16-bit sums on x86. Arm needs none.
        """
        if self.flags is None:
            return None
        return "avx512_vnni" in self.flags or "avx_vnni" in self.flags

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        flags = None if self.flags is None else list(self.flags)
        return {**asdict(self), "flags": flags, "has_vnni": self.has_vnni}


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """Describe the machine that runs this.

    Args:
        cpuinfo: Linux' description of the processors; without it, what Python knows is told.
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
    """Every feature that Linux names of the first processor; none where it cannot be read."""
    return _features(cpu_fields(cpuinfo))


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the distributions that are installed, by name."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def cpu_fields(cpuinfo: Path) -> dict[str, str]:
    """Fields of the first processor; none where the file cannot be read."""
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
    if part := fields.get("CPU part"):  # Arm Linux gives numbers only
        return f"Arm implementer {fields.get('CPU implementer', '?')} part {part}"
    return platform.processor() or "unknown"
