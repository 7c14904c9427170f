"""Seconds to quantize: our engine at each level and the plain TFLite converter, in one run.

``python -m benchmarks.quantizing --models ... --calibration ... --data ...`` for other networks
than the shipped one. Each job is a separate process, whose libraries are loaded before the clock
starts; ``converter calibration`` is the part of the converter's time in which it runs the images,
``edgequant float pass`` the time in which our engine runs all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.accuracy.environments import environment
from benchmarks.accuracy.networks import Network, open_network
from benchmarks.accuracy.peer import PER_CHANNEL, load_images, peers
from benchmarks.accuracy.runs import Effort, Limits, run_job
from benchmarks.accuracy.subjects import chosen
from benchmarks.peers.tflite_converter import one_by_one, plain_converter
from benchmarks.record import Figure, report
from edgequant.cli.terminal import open_terminal
from foundation.errors import InvalidInputError
from foundation.threads import cores
from quantize.ranges.float_pass import CalibrationImages, float_pass

MODELS = ("mobilenet_v2_small",)
CALIBRATION = "fashion_mnist:calibration"
DATA = "fashion_mnist:test"
REPEATS = 3
LEVELS = ("fast", "default", "best")
_CONVERTER = "tflite_converter"
_OURS = "edgequant"


def run(
    models: tuple[str, ...] = MODELS,
    calibration: str = CALIBRATION,
    data: str = DATA,
    repeats: int = REPEATS,
    levels: tuple[str, ...] = LEVELS,
) -> list[Figure]:
    """Measure; the subject is NETWORK TOOL SETTING, the value the median of all repeats.

    Args:
        models: files, names or folders.
        calibration: DATA to calibrate on.
        data: DATA of the test images, which nothing is measured on here.
        repeats: number of runs of each job.
        levels: values of ``--optimize`` to time.

    Raises:
        InvalidInputError: a job failed.
    """
    figures: list[Figure] = []
    with open_terminal(machine_readable=False, debug=False) as terminal:
        for subject in chosen(models, calibration, data):
            network = open_network(subject, None, terminal)
            figures += _network_figures(network, repeats, levels)
    return figures


def _network_figures(network: Network, repeats: int, levels: tuple[str, ...]) -> list[Figure]:
    assert network.prepared.calibration is not None
    n = len(network.prepared.calibration.dataset)
    names = [(_CONVERTER, "default"), *((_OURS, level) for level in levels)]
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in names}
    calibrating: list[float] = []
    passing: list[float] = []
    for _ in range(repeats):  # in turns, so that slow periods of the machine affect all of them
        for name in names:
            seconds[name].append(_job_seconds(network, *name))
        calibrating.append(_calibration_seconds(network))
        passing.append(_float_pass_seconds(network))
    medians = {" ".join(name): statistics.median(times) for name, times in seconds.items()}
    plain = medians[f"{_CONVERTER} default"]
    calibration = statistics.median(calibrating)
    rows = [(subject, median, plain) for subject, median in medians.items()]
    rows.append(("converter calibration", calibration, plain))
    rows.append(
        (
            "edgequant float pass, of the converter's calibration",
            statistics.median(passing),
            calibration,
        )
    )
    return [
        Figure(f"{network.name} {subject}", quantity, value, unit, n, cores())
        for subject, median, whole in rows
        for quantity, value, unit in (
            ("quantize", median, "s"),
            ("of the converter's time", median / whole, "x"),
        )
    ]


def _job_seconds(network: Network, module: str, setting: str) -> float:
    """Seconds of one run of a job without cached files."""
    peer = peers()[module]
    with tempfile.TemporaryDirectory() as cache:
        outcome = run_job(
            module,
            peer,
            network.job(peer.source, setting, PER_CHANNEL),
            environment(module),
            limits=Limits(),
            inputs=network.digest,
            effort=Effort.SLOW,
            cache=Path(cache),
        )
    if outcome.seconds is None:
        raise InvalidInputError(
            "a job that is timed succeeds",
            received=f"{peer.name}, {setting}: {outcome.reason}",
            remedy="run make bench-accuracy for this network first",
        )
    return outcome.seconds


def _calibration_seconds(network: Network) -> float:
    """Seconds from the converter's request for the first image to that after the last image."""
    images = load_images(str(network.images))
    job = network.job(peers()[_CONVERTER].source, "default", PER_CHANNEL)
    converter = plain_converter(replace(job, output=""), images)
    marks: list[float] = []

    def timed() -> Iterator[list[Any]]:
        start = time.perf_counter()
        yield from one_by_one(images)
        marks.append(time.perf_counter() - start)

    converter.representative_dataset = timed
    converter.convert()
    return sum(marks)


def _float_pass_seconds(network: Network) -> float:
    """Seconds of all images through the engine's float network, writing of its file included."""
    images = load_images(str(network.images))
    graph = network.prepared.planner.graph
    calibration = CalibrationImages(len(images), lambda: [images])
    start = time.perf_counter()
    float_pass(graph, calibration, 1, len(images))
    return time.perf_counter() - start


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantizing")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--calibration", default=CALIBRATION)
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    options = parser.parse_args(arguments)
    models, levels = tuple(options.models), tuple(options.levels)
    figures = run(models, options.calibration, options.data, options.repeats, levels)
    report("quantizing", figures)


if __name__ == "__main__":
    _main(sys.argv[1:])
