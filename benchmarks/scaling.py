"""Seconds of `evaluate` and `compare` on one core and on all cores, and their ratio, in one run.

Whole processes: with Python's start, TensorFlow's import and the loading of the network, which take
one core, so that the ratio grows with the number of images. Latency is not measured here, since its
clock runs a file on one core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.record import Figure
from foundation.errors import InvalidInputError
from foundation.threads import cores

MODEL = "mobilenet_v2_small"
DATA, CALIBRATION = "fashion_mnist:test", "fashion_mnist:calibration"
IMAGES = 10_000
RECIPES = "tflite-float32,tflite-int8,tflite-dynamic,onnx-float32,onnx-int8"


def run() -> list[Figure]:
    """Measure `evaluate` of an int8 file beside its float model, and `compare` of five recipes.

    Raises:
        InvalidInputError: a process that may use one core alone, or a system that cannot say so.
    """
    if cores() < 2 or not hasattr(os, "sched_setaffinity"):
        raise InvalidInputError(
            "scaling is measured on two cores at least, where a process can be held to one",
            received=f"{cores()} core(s)",
            remedy="run it on such a machine",
        )
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = ["--model", MODEL, "--calibration", CALIBRATION]
        engine += ["--optimize", "converter", "--output"]
        _seconds(["quantize", "--recipe", "tflite-int8", *engine, str(folder / "int8")], cores())
        file = str(next((folder / "int8").glob("*.tflite")))
        commands = {
            "evaluate": ["evaluate", file, "--reference", MODEL],
            "compare": ["compare", "--recipes", RECIPES, "--force", *engine, str(folder / "all")],
        }
        data = ["--data", DATA, "--limit", str(IMAGES), "--no-latency"]
        for subject, command in commands.items():
            times = {n: _seconds([*command, *data], n) for n in (1, cores())}
            figures += [
                Figure(subject, "whole process", t, "s", IMAGES, n) for n, t in times.items()
            ]
            ratio = times[1] / times[cores()]
            figures.append(Figure(subject, "times one core", ratio, "", IMAGES, cores()))
    return figures


def _seconds(arguments: Sequence[str], count: int) -> float:
    """Wall-clock time of a command on a number of cores."""
    chosen = sorted(os.sched_getaffinity(0))[:count]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "edgequant", *arguments],
        check=True,
        capture_output=True,
        preexec_fn=partial(os.sched_setaffinity, 0, chosen),
    )
    return time.perf_counter() - start
