"""Whole processes: ``edgequant evaluate`` and ``compare`` on one core and on all cores, in turn.

``python -m benchmarks.scaling --model FILE.keras --data FOLDER --calibration FOLDER --limit N`` for
another network than the shipped one. Python's start, TensorFlow's import and the loading of the
network are included: some of that takes one core, so that the ratio grows with the number of
images. Latency is not measured here, since its clock runs a file on one core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.costs import Cost, cost_of_edgequant
from benchmarks.record import Figure, report
from calibration_data.datasets.base import open_dataset
from foundation.errors import InvalidInputError
from foundation.threads import cores

MODEL = "mobilenet_v2_small"
DATA, CALIBRATION = "fashion_mnist:test", "fashion_mnist:calibration"
IMAGES = 10_000
REPEATS = 1
COMMANDS = ("evaluate", "compare")
RECIPES = "tflite-float32,tflite-int8,tflite-dynamic,onnx-float32,onnx-int8"
OPTIMIZE = "converter"


def run(
    model: str = MODEL,
    data: str = DATA,
    calibration: str = CALIBRATION,
    limit: int = IMAGES,
    repeats: int = REPEATS,
    optimize: str = OPTIMIZE,
    commands: Sequence[str] = COMMANDS,
) -> list[Figure]:
    """Measure `evaluate` of an int8 file beside its float model, and `compare` of five recipes.

    Args:
        model: registered name, or .keras file with its contract beside it.
        data: images to measure on.
        calibration: images to calibrate on.
        limit: largest number of images to measure on.
        repeats: number of runs of each command on each number of cores; the value is the median.
        optimize: value of ``--optimize``.
        commands: commands to measure, of ``COMMANDS``.

    Raises:
        InvalidInputError: a process that may use one core alone, or a system that cannot say so.
    """
    if cores() < 2 or not hasattr(os, "sched_setaffinity"):
        raise InvalidInputError(
            "scaling is measured on two cores at least, where a process can be held to one",
            received=f"{cores()} core(s)",
            remedy="run it on such a machine",
        )
    limit = min(limit, len(open_dataset(data)))
    taken: dict[tuple[str, int], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        engine = ["--model", model, "--calibration", calibration, "--optimize", optimize]
        lines = _lines(commands, model, engine, Path(name))
        measured = ["--data", data, "--limit", str(limit), "--no-latency"]
        for _ in range(repeats):  # in turn, so that slow periods of the machine affect all of them
            for command, line in lines.items():
                for count in (1, cores()):
                    with _held_to(count):
                        costs = taken.setdefault((command, count), [])
                        costs.append(cost_of_edgequant(*line, *measured))
    return [
        figure
        for command in lines
        for figure in _figures(command, taken[command, 1], taken[command, cores()], limit)
    ]


def _lines(
    commands: Sequence[str], model: str, engine: Sequence[str], folder: Path
) -> dict[str, list[str]]:
    """Words of each command; writes the file that ``evaluate`` measures."""
    lines: dict[str, list[str]] = {}
    if "evaluate" in commands:
        written = ["--recipe", "tflite-int8", *engine, "--output", str(folder / "int8")]
        cost_of_edgequant("quantize", *written)
        file = str(next((folder / "int8").glob("*.tflite")))
        lines["evaluate"] = ["evaluate", file, "--reference", model]
    if "compare" in commands:
        written = ["--recipes", RECIPES, *engine, "--output", str(folder / "all"), "--force"]
        lines["compare"] = ["compare", *written]
    return lines


@contextmanager
def _held_to(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, use a number of cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _figures(
    command: str, one: Sequence[Cost], every: Sequence[Cost], images: int
) -> Iterator[Figure]:
    """Medians on one core and on all, and the median of the ratios of the repeats."""
    subjects = {1: f"{command} on one core", cores(): f"{command} on {cores()} cores"}
    for costs, count in ((one, 1), (every, cores())):
        seconds = statistics.median(taken.seconds for taken in costs)
        yield Figure(subjects[count], "whole process", seconds, "s", images, count)
        seconds = statistics.median(taken.processor_seconds for taken in costs)
        yield Figure(subjects[count], "processor time", seconds, "s", images, count)
    ratios = [first.seconds / second.seconds for first, second in zip(one, every, strict=True)]
    ratio = statistics.median(ratios)
    yield Figure(subjects[cores()], "times one core", ratio, "x", images, cores())


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--model", default=MODEL, help=".keras file with its contract beside it")
    parser.add_argument("--data", default=DATA, help="images to measure on")
    parser.add_argument("--calibration", default=CALIBRATION, help="images to calibrate on")
    parser.add_argument("--limit", type=int, default=IMAGES, help="most images to measure on")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--optimize", default=OPTIMIZE)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    options = parser.parse_args(arguments)
    network = (options.model, options.data, options.calibration)
    others = [got != known for got, known in zip(network, (MODEL, DATA, CALIBRATION), strict=True)]
    if any(others) and not all(others):
        parser.error("--model, --data and --calibration go together")
    given = (*network, options.limit, options.repeats)
    report("scaling", run(*given, options.optimize, options.commands))


if __name__ == "__main__":
    _main(sys.argv[1:])
