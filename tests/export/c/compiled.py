"""Generated sources, compiled and run with their own self-test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from export.c.names import Prefix
from export.c.program import Program, program_of
from export.c.sources import c_sources
from export.c.testing import test_sources as self_test_sources
from network.affine import QuantParams
from network.graph import Op
from network.oracle.model import IntegerModel, IntegerTensor
from network.oracle.reader import read_operators
from tests.network.oracle import files
from tests.network.oracle.files import Options, Slot, write_operator

COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler is installed")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
ACLE = Path(__file__).parent / "acle"
"""Folder with Arm's DSP intrinsics in C."""
DSP = ("-D__ARM_FEATURE_DSP=1", f"-I{ACLE}")
"""Flags for the kernels with Arm's DSP instructions, which a header computes on any processor."""
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def write_all(
    program: Program,
    folder: Path,
    inputs: np.ndarray,
    outputs: np.ndarray,
    prefix: str = "net",
) -> list[Path]:
    """Write sources and self-test into one folder; the .c files."""
    folder.mkdir(exist_ok=True)
    texts = {
        **c_sources(program, Prefix(prefix), "a test"),
        **self_test_sources(Prefix(prefix), inputs, outputs),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")
    return sorted(folder / name for name in texts if name.endswith(".c"))


@cache
def _object(kernels: str, headers: tuple[tuple[str, str], ...], command: tuple[str, ...]) -> bytes:
    """Compiled kernels, which many networks share; empty where the compiler refuses them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in (("kernels.c", kernels), *headers):
            (folder / file).write_text(text, encoding="ascii")
        made = folder / "kernels.o"
        line = [*command, "-c", "-o", str(made), str(folder / "kernels.c")]
        done = subprocess.run(line, capture_output=True, check=False)
        return b"" if done.returncode else made.read_bytes()


def run(sources: Sequence[Path], *flags: str, compiler: str | None = COMPILER) -> str:
    """What the compiler or the program says against the sources; empty if all is well."""
    folder = sources[0].parent
    program, command = folder / "program", [str(compiler), *STRICT, *flags, "-I", str(folder)]
    files = [str(source) for source in sources]
    kernels = folder / "net_kernels.c"
    if kernels in sources:
        names = ("net_kernels.h", "net_fixed_point.h", "net_sums.h")
        headers = tuple((name, (folder / name).read_text()) for name in names)
        content = _object(kernels.read_text(), headers, (str(compiler), *STRICT, *flags))
        if content:
            (folder / "kernels.o").write_bytes(content)
            files[files.index(str(kernels))] = str(folder / "kernels.o")
    done = subprocess.run(
        [*command, "-o", str(program), *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return done.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else f"{ran.returncode} {ran.stdout} {ran.stderr}"


def expected_of(path: Path, count: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs of a file of one input, and what LiteRT's reference kernels make of them."""
    from network.oracle.reader import read_integers

    network = read_integers(path)
    shape = network.tensors[network.input].shape
    rng = np.random.default_rng(seed)
    inputs = rng.integers(-128, 128, (count, *shape)).astype(np.int8)
    outputs = [np.concatenate([r.reshape(-1) for r in files.reference(path, [x])]) for x in inputs]
    return inputs, np.stack(outputs)


def differing_in_c(
    kind: str,
    inputs: Sequence[Slot],
    outputs: Sequence[Slot],
    options: Options,
    feeds: Sequence[np.ndarray],
) -> list[str]:
    """Differences between compiled C and LiteRT's reference kernels; in the place of ``differing``.

    Operators in 16 bits and with floats have no C kernel, and are left out.
    """
    slots = [slot for slot in (*inputs, *outputs) if slot.params is not None]
    if any(slot.dtype not in ("int8", "int32") for slot in slots) or not feeds:
        return []
    if any(feed.dtype != np.int8 for feed in feeds) or not all(o.params for o in outputs):
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_operator(folder / "one.tflite", kind, inputs, outputs, options)
        expected = files.reference(path, feeds)
        network = _of_one_input(path, [i for i, slot in enumerate(inputs) if slot.value is None])
        flat = [feed.reshape(-1) for feed in feeds]
        results = [result.reshape(-1) for result in expected]
        wanted = np.concatenate(results)[None]
        sources = write_all(program_of(network), folder, np.concatenate(flat)[None], wanted)
        fault = run(sources, "-O0", *SANITIZED)
        if not fault and _has_sums(folder):
            fault = run(sources, "-O0", *SANITIZED, *DSP)
    return [f"{kind}: {fault[:1500]}"] if fault else []


def _has_sums(folder: Path) -> bool:
    """Whether a kernel has another form with Arm's DSP instructions."""
    kernels = (folder / "net_kernels.c").read_text(encoding="ascii")
    return re.search(r"\bnet_(dot|dot4|scale4)\(", kernels) is not None


def _of_one_input(path: Path, fed: list[int]) -> IntegerModel:
    """The operator behind a SPLIT_V of one flat input into what it is fed with."""
    operators = read_operators(path)
    tensors, names = dict(operators.tensors), [f"t{i}" for i in fed]
    sizes = [int(np.prod(tensors[n].shape)) for n in names]
    anything = QuantParams((1.0,), (0,))
    parts = [f"part {n}" for n in names]
    tensors["all"] = IntegerTensor("all", (sum(sizes),), "int8", anything)
    for part, size in zip(parts, sizes, strict=True):
        tensors[part] = IntegerTensor(part, (size,), "int8", anything)
    for name, value in (("sizes", np.array(sizes)), ("axis", np.array(0))):
        stored = value.astype(np.int32)
        tensors[name] = IntegerTensor(name, stored.shape, "int32", None, stored)
    before = [Op("SPLIT_V", ("all", "sizes", "axis"), tuple(parts), {"numSplits": len(parts)})]
    before += [Op("RESHAPE", (part,), (name,)) for part, name in zip(parts, names, strict=True)]
    outputs = tuple(name for op in operators.ops for name in op.outputs)
    return IntegerModel((*before, *operators.ops), tensors, "all", outputs)
