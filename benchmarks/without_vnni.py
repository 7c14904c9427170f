"""int8 ONNX files on an x86 CPU without VNNI: does the default file lose nothing there?

Runs `edgequant evaluate` under QEMU's user emulation of a Haswell (AVX2, no VNNI), whose
arithmetic is exact, and natively in the same run. Needs qemu-x86_64 (Debian's qemu-user).
Times under emulation mean nothing and are left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import Figure
from calibration_data.errors import InvalidInputError

MODEL = "mobilenet_v2_small"
DATA = "fashion_mnist:test"
IMAGES = 300
FILES = ("onnx-int8", "onnx-int8-full-range", "onnx-int8-per-tensor", "onnx-dynamic")
EMULATOR = ("qemu-x86_64", "-cpu", "Haswell")


def run() -> list[Figure]:
    """Compare with the float32 ONNX file on the same images; subject is FILE RUNTIME CPU."""
    if shutil.which(EMULATOR[0]) is None:
        raise InvalidInputError(
            "this benchmark emulates a CPU without VNNI",
            received=f"no {EMULATOR[0]} on PATH",
            remedy="install QEMU's user emulation (Debian: qemu-user)",
        )
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        recipes = ("onnx-float32", *FILES)
        calibration = ("--calibration", "fashion_mnist:calibration")
        _edgequant(
            (), "quantize", "--model", MODEL, "--recipe", ",".join(recipes), *calibration,
            "--output", folder,
        )  # fmt: skip
        files = {r: f"{folder}/{r}/{MODEL}-{r}.onnx" for r in recipes}
        for name in FILES:
            for cpu, prefix in (("native", ()), ("Haswell", EMULATOR)):
                for runtime in ("onnxruntime", "onnxruntime-precise"):
                    row = _edgequant(
                        prefix, "evaluate", files[name], "--data", DATA, "--limit", str(IMAGES),
                        "--reference", files["onnx-float32"], "--runtime", runtime,
                    )  # fmt: skip
                    subject = f"{name} {runtime} {cpu}"
                    figures += [
                        Figure(subject, quantity, row[key], unit, row["n"], 1)
                        for quantity, key, unit in (
                            ("top-1", "top1", "%"),
                            ("drop", "drop", "points"),
                            ("agreement", "agreement", "%"),
                            ("SQNR", "sqnr_db", "dB"),
                        )
                    ]
    return figures


def _edgequant(prefix: tuple[str, ...], *arguments: str) -> dict[str, Any]:
    command = [*prefix, str(Path(sys.executable)), "-m", "edgequant", *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, Any] = json.loads(done.stdout)
    return values
