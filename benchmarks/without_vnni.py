"""Accuracy and latency of int8 ONNX files on an x86 CPU without VNNI.

Runs `edgequant evaluate` on this CPU and, if it has VNNI, also under QEMU's user emulation of a
Haswell (AVX2, no VNNI), whose arithmetic is exact; that needs qemu-x86_64 (Debian's qemu-user).
Times under emulation are meaningless and left out. ``python -m benchmarks.without_vnni --model
... --calibration ... --data ...`` for another network than the shipped one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.record import Figure, report
from evaluation.machine import this_machine
from foundation.errors import InvalidInputError

MODEL = "mobilenet_v2_small"
CALIBRATION = "fashion_mnist:calibration"
DATA = "fashion_mnist:test"
IMAGES = 300
EMULATOR = ("qemu-x86_64", "-cpu", "Haswell")
RUNTIMES = ("onnxruntime", "onnxruntime-precise")
_HERE = "--trust"
"""Run a file in the emulated process itself: a child would be started outside of the emulation."""
QUANTITIES = (
    ("top-1", "top1", "%"),
    ("drop", "drop", "points"),
    ("agreement", "agreement", "%"),
    ("SQNR", "sqnr_db", "dB"),
)


@dataclass(frozen=True)
class File:
    """File to measure.

    Attributes:
        subject: name in the table.
        recipe: recipe of the file.
        level: value of ``--optimize``.
    """

    subject: str
    recipe: str
    level: str = "default"


FILES = (
    File("onnx-int8", "onnx-int8"),
    File("onnx-int8-full-range", "onnx-int8-full-range"),
    File("ONNX Runtime's own, full range", "onnx-int8-full-range", "converter"),
    File("onnx-int8-per-tensor", "onnx-int8-per-tensor"),
    File("onnx-dynamic", "onnx-dynamic"),
)


def run(
    model: str = MODEL, calibration: str = CALIBRATION, data: str = DATA, images: int = IMAGES
) -> list[Figure]:
    """Compare with the float32 ONNX file on the same images; subject is FILE RUNTIME CPU.

    Args:
        model: file or name.
        calibration: DATA to calibrate on.
        data: DATA to measure on.
        images: largest number of images to measure on.

    Raises:
        InvalidInputError: the CPU has VNNI and there is no emulator, or it is not x86.
    """
    figures = []
    cpus = _cpus()
    with tempfile.TemporaryDirectory() as folder:
        float_file = _written(File("float", "onnx-float32"), model, calibration, folder)
        for file in FILES:
            path = _written(file, model, calibration, folder)
            for cpu, prefix in cpus.items():
                for runtime in RUNTIMES:
                    row = _edgequant(
                        prefix, "evaluate", path, "--data", data, "--limit", str(images),
                        "--reference", float_file, "--runtime", runtime, _HERE,
                    )  # fmt: skip
                    subject = f"{file.subject}, {runtime}, {cpu}"
                    figures += [
                        Figure(subject, quantity, row[key], unit, row["n"], 1)
                        for quantity, key, unit in QUANTITIES
                    ]
                    if not prefix:
                        p50 = row["latency_ms"]["p50"]
                        figures.append(Figure(subject, "p50", p50, "ms", row["n"], 1))
    return figures


def _cpus() -> dict[str, tuple[str, ...]]:
    """Prefix of a command by the name of the CPU that runs it."""
    if this_machine().has_vnni is False:
        return {"without VNNI": ()}
    if this_machine().has_vnni is None or shutil.which(EMULATOR[0]) is None:
        raise InvalidInputError(
            "this benchmark runs on x86 without VNNI, or emulates it",
            received=f"another CPU, and no {EMULATOR[0]} on PATH",
            remedy="install QEMU's user emulation (Debian: qemu-user) on x86",
        )
    return {"with VNNI": (), "emulated Haswell": EMULATOR}


def _written(file: File, model: str, calibration: str, folder: str) -> str:
    output = Path(folder) / f"{file.recipe}-{file.level}"
    _edgequant(
        (), "quantize", "--model", model, "--recipe", file.recipe, "--optimize", file.level,
        "--calibration", calibration, "--output", str(output),
    )  # fmt: skip
    (path,) = output.rglob("*.onnx")
    return str(path)


def _edgequant(prefix: tuple[str, ...], *arguments: str) -> dict[str, Any]:
    command = [*prefix, str(Path(sys.executable)), "-m", "edgequant", *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.without_vnni")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--calibration", default=CALIBRATION)
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--images", type=int, default=IMAGES)
    options = parser.parse_args(arguments)
    figures = run(options.model, options.calibration, options.data, options.images)
    report("without_vnni", figures)


if __name__ == "__main__":
    _main(sys.argv[1:])
