"""Machine and installation, in figures and in sentences."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluation.machine import FLAGS, Machine, this_machine
from foundation.memory import Memory, memory
from models.spec import model_specs
from models.weights.named import checkpoint_folder

FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "f16c": "F16C",
    "fma": "FMA",
    "asimd": "NEON",
    "asimdhp": "NEON float16",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 matrices",
}
"""Names of the instruction sets of ``evaluation.machine.FLAGS``, as their makers call them."""

_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that limit the threads of the libraries."""

_GIB = 1 << 30


@dataclass(frozen=True)
class Weights:
    """Weights of registered networks that are on this machine.

    Attributes:
        shipped: number of checkpoints that come with the package.
        cache: Keras's folder for downloads.
        cached: names of the files and folders in it.
        absent: names of published weights that 'make coco-weights' would fetch, by network.
    """

    shipped: int
    cache: Path
    cached: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class Surroundings:
    """Machine, memory and installation.

    Attributes:
        edgequant: version of this package.
        place: folder that it runs from.
        machine: processor, system and libraries.
        memory: main memory.
        temporary: folder for temporary files.
        free: bytes that are free there.
        threads: set environment variables that limit threads.
        weights: weights on this machine.
    """

    edgequant: str
    place: Path
    machine: Machine
    memory: Memory
    temporary: Path
    free: int
    threads: dict[str, str]
    weights: Weights

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "edgequant": self.edgequant,
            "place": str(self.place),
            "machine": self.machine.to_dict(),
            "memory_bytes": asdict(self.memory),
            "temporary": {"folder": str(self.temporary), "free_bytes": self.free},
            "threads": self.threads,
            "weights": {
                "shipped": self.weights.shipped,
                "cache": str(self.weights.cache),
                "cached": list(self.weights.cached),
                "absent": list(self.weights.absent),
            },
        }

    def lines(self) -> Iterator[str]:
        """Sentences for the terminal."""
        machine, total = self.machine, self.memory.total
        yield f"edgequant  {self.edgequant} in {self.place}"
        yield f"system     {machine.system}, {machine.architecture}, Python {machine.python}"
        yield f"packages   {', '.join(f'{k} {v}' for k, v in machine.packages.items())}"
        yield f"processor  {machine.cpu}, {machine.usable_cores} of {machine.cores} cores"
        yield f"           {_features(machine)}"
        limits = ", ".join(f"{name}={value}" for name, value in self.threads.items())
        yield f"threads    {limits or f'{machine.usable_cores}, not limited by the environment'}"
        if total is not None:
            free = self.memory.available
            left = "" if free is None else f"{free / _GIB:.1f} GiB available of "
            yield f"memory     {left}{total / _GIB:.1f} GiB"
        yield f"temporary  {self.temporary}, {self.free / _GIB:.1f} GiB free"
        known = self.weights
        yield f"weights    {known.shipped} sets shipped; downloaded in {known.cache}:"
        yield f"           {', '.join(known.cached) or 'nothing yet'}"


def surroundings() -> Surroundings:
    """What this process runs on and from."""
    temporary = Path(tempfile.gettempdir())
    return Surroundings(
        edgequant=version("edgequant"),
        place=Path(__file__).resolve().parents[1],
        machine=this_machine(),
        memory=memory(),
        temporary=temporary,
        free=shutil.disk_usage(temporary).free,
        threads={name: os.environ[name] for name in _THREADS if os.environ.get(name)},
        weights=_weights(),
    )


def _features(machine: Machine) -> str:
    """Instruction sets, and what they mean for int8 files."""
    if machine.flags is None:
        return "instruction sets unknown: this system does not tell them"
    names = ", ".join(FEATURES[flag] for flag in FLAGS if flag in machine.flags) or "none of note"
    if machine.architecture not in ("x86_64", "AMD64"):
        return names
    if machine.has_vnni:
        return f"{names}; VNNI: onnxruntime computes int8 files exactly"
    return f"{names}; no VNNI: onnxruntime may saturate int8 files, onnxruntime-precise does not"


def _weights() -> Weights:
    home = os.environ.get("KERAS_HOME")
    cache = (Path(home) if home else Path.home() / ".keras") / "models"
    cached = sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []
    published = {
        f"{spec.name} {weights.name}": weights.place
        for spec in model_specs().values()
        for weights in spec.published
    }
    return Weights(
        shipped=len(list(checkpoint_folder().glob("*.weights.h5"))),
        cache=cache,
        cached=tuple(cached),
        absent=tuple(name for name, place in published.items() if not place.is_dir()),
    )
