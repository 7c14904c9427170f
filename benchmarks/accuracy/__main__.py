"""``python -m benchmarks.accuracy``: quantize with every tool, measure in one run, write the table.

``make bench-accuracy MODELS=... CALIBRATION=... DATA=...``. Files of finished jobs are cached under
.peers/cache, so an interrupted run continues where it stopped. The rows of a network and
granularity are measured together and replace those of an earlier run.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.accuracy import rows as table
from benchmarks.accuracy.environments import environment
from benchmarks.accuracy.networks import Network, found_models, open_network
from benchmarks.accuracy.peer import GRANULARITIES, peers
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.runs import Effort, Limits, Outcome, run_job
from calibration_data.stream import stream
from edgequant.cli.terminal import Terminal, open_terminal
from edgequant.measuring import Candidate, file_candidate, measure, model_candidate
from edgequant.requests import MeasureRequest
from evaluation.machine import this_machine
from foundation.digests import sha256_of
from foundation.errors import EdgequantError, InvalidInputError

MODELS = ("mobilenet_v2_small",)
CALIBRATION = "fashion_mnist:calibration"
DATA = "fashion_mnist:test"
RUNTIMES = ("litert-xnnpack", "onnxruntime", "onnxruntime-precise")


@dataclass(frozen=True)
class Made:
    """Files of one tool for one network.

    Attributes:
        row: row with the columns that are known so far.
        outcome: files, or the reason why there are none.
    """

    row: Row
    outcome: Outcome


def make_all(
    network: Network, granularity: str, options: argparse.Namespace, terminal: Terminal
) -> list[Made]:
    """Run every setting of every chosen peer, or read its cached files."""
    limits = Limits(60 * options.minutes)
    made = []
    for module, peer in peers().items():
        if options.peers and module not in options.peers:
            continue
        for setting in peer.settings:
            job = network.job(peer.source, setting.name, granularity)
            outcome = run_job(
                module, peer, job, environment(module), limits=limits,
                inputs=network.digest, effort=Effort(options.effort),
            )  # fmt: skip
            took = outcome.reason or f"{outcome.seconds:.1f} s{' (kept)' * outcome.kept}"
            terminal.say(f"{network.name} {granularity} {peer.name}, {setting.name}: {took}")
            row = Row(
                network.name,
                granularity,
                peer.name,
                setting.name,
                setting.summary,
                table.versions_text(dict(outcome.versions)),
                seconds="" if outcome.seconds is None else f"{outcome.seconds:.1f}",
                calibration_images=_calibration_images(network),
                reason=outcome.reason,
            )
            made.append(Made(row, outcome))
    return made


def _calibration_images(network: Network) -> str:
    assert network.prepared.calibration is not None
    return str(len(network.prepared.calibration.dataset))


def candidates_of(
    made: list[Made], network: Network, runtimes: tuple[str, ...]
) -> tuple[list[tuple[Row, Candidate]], list[Row]]:
    """Candidates of every file in every runtime for it, and rows of what cannot be measured."""
    image = next(
        iter(stream(network.measured.subset(np.arange(1)), network.prepared.contract))
    ).images
    ready: list[tuple[Row, Candidate]] = []
    refused = []
    for one in made:
        if one.outcome.reason:
            refused.append(one.row)
        for path in one.outcome.files:
            for runtime in runtimes:
                if runtime.startswith("litert") != (path.suffix == ".tflite"):
                    continue
                name = f"{one.row.tool}, {one.row.setting}"
                candidate = file_candidate(path, runtime, sha256_of(path), name=name)
                if reason := _refusal(candidate, image):
                    refused.append(replace(one.row, runtime=runtime, reason=reason))
                else:
                    ready.append((one.row, candidate))
    return ready, refused


def _refusal(candidate: Candidate, image: np.ndarray) -> str:
    """Reason why a file cannot be measured, from a run on one image; empty if it can."""
    try:
        scores = candidate.open(1).predict(image)
    except InvalidInputError as error:
        return f"does not run: {error.received}"[:200]
    return "" if np.isfinite(scores).all() else "gives NaN or infinity"


def measure_network(
    network: Network, made: list[Made], options: argparse.Namespace, terminal: Terminal
) -> list[Row]:
    """Measure the float network, our float files and the tools' files on the same tensors."""
    granularity = made[0].row.granularity if made else ""
    floats = [
        Made(
            Row(network.name, granularity, "float32", artifact.recipe.name, "not quantized"),
            Outcome((artifact.path,)),
        )
        for artifact in network.float_files
    ]
    ready, refused = candidates_of([*floats, *made], network, options.runtimes)
    request = MeasureRequest(options.data, limit=options.limit)
    reference = model_candidate(network.prepared.loaded)
    measurement = measure(
        [candidate for _, candidate in ready],
        reference,
        network.measured,
        network.prepared.contract,
        request,
        terminal,
    )
    machine = table.where(measurement.machine)
    known = [Row(network.name, granularity, "float32", "Keras", "the float network")]
    known += [row for row, _ in ready]
    measured = [
        replace(row, **table.figures(evaluation), **machine)
        for row, evaluation in zip(known, measurement.rows, strict=True)
    ]
    where = table.where(this_machine())
    return [*measured, *(replace(row, **where) for row in refused)]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, help="files, names or folders")
    parser.add_argument("--calibration", default=CALIBRATION, help="DATA to calibrate on")
    parser.add_argument("--data", default=DATA, help="DATA to measure on")
    parser.add_argument("--peers", nargs="*", default=(), help=f"names from {', '.join(peers())}")
    parser.add_argument("--granularities", nargs="+", default=GRANULARITIES, choices=GRANULARITIES)
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES)
    parser.add_argument("--limit", type=int, help="largest number of test images")
    parser.add_argument("--minutes", type=float, default=10, help="time limit of a job")
    parser.add_argument("--effort", default="usual", choices=list(Effort), help="which jobs to run")
    parser.add_argument(
        "--only-make", action="store_true", help="write the files and measure nothing"
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Quantize and measure network by network, and write the table after each."""
    request = MeasureRequest(options.data, limit=options.limit)
    for reference in found_models(tuple(options.models)):
        network = open_network(reference, options.calibration, request, terminal)
        for granularity in options.granularities:
            made = make_all(network, granularity, options, terminal)
            if not options.only_make:
                rows = measure_network(network, made, options, terminal)
                table.merge(rows)
                for row in rows:
                    terminal.say(
                        f"  {row.tool:18} {row.setting:45} {row.runtime:20} {row.top1:>6} "
                        f"{row.agreement:>6} {row.sqnr_db:>6} {row.p50_ms:>8} {row.reason}"
                    )


def main(arguments: list[str]) -> int:
    """Run the comparison; returns the exit code."""
    options = _options(arguments)
    with open_terminal(machine_readable=False, debug=False) as terminal:
        try:
            run(options, terminal)
        except EdgequantError as error:
            terminal.note(str(error))
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
