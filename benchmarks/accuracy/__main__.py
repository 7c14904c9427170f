"""``python -m benchmarks.accuracy``: quantize with every tool, measure in one run, write the table.

``make bench-accuracy MODELS=... CALIBRATION=... DATA=...``, or ``make bench-dense`` for the suite
of detectors and segmenters. Files of finished jobs and finished measurements are cached under
.peers/cache, so an interrupted run continues where it stopped. The rows of a network and
granularity are measured together and replace those of an earlier run.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.accuracy import rows as table
from benchmarks.accuracy.environments import environment
from benchmarks.accuracy.measured import kept_rows
from benchmarks.accuracy.networks import Network, open_network
from benchmarks.accuracy.peer import GRANULARITIES, PER_TENSOR, peers
from benchmarks.accuracy.published import with_scores
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.runs import Effort, Limits, Outcome, run_job
from benchmarks.accuracy.subjects import SUITES, Folders, Subject, chosen, suite
from calibration_data.stream import stream
from edgequant.candidates import Candidate, file_candidate, model_candidate
from edgequant.cli.terminal import Terminal, open_terminal
from edgequant.measuring import measure
from edgequant.requests import MeasureRequest
from evaluation.machine import this_machine
from foundation.digests import sha256_of
from foundation.errors import EdgequantError, InvalidInputError
from foundation.scratch import require_writable

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
    limits = Limits(60 * options.minutes, int(options.gibibytes * 1024**3))
    made = []
    for module, peer in peers().items():
        if options.peers and module not in options.peers:
            continue
        for setting in peer.settings:
            if options.settings and setting.name not in options.settings:
                continue
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
    if network.subject.published is not None and granularity == PER_TENSOR:
        made.append(_published(network, network.subject.published))
    return made


def _published(network: Network, source: Path) -> Made:
    """Integer file of the network's own source, which nobody calibrates."""
    path = with_scores(source, network.images.parent / f"{source.stem}_scores.tflite")
    summary = f"{source.name}, measured at its map of scores"
    row = Row(network.name, PER_TENSOR, "source's own file", "uint8, trained", summary)
    return Made(row, Outcome((path,)))


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
        outputs = candidate.open(1).run(image)
    except InvalidInputError as error:
        return f"does not run: {error.received}"[:200]
    return "" if all(np.isfinite(o).all() for o in outputs) else "gives NaN or infinity"


def measure_network(
    network: Network, made: list[Made], options: argparse.Namespace, terminal: Terminal
) -> list[Row]:
    """Measure the float network, our float files and the tools' files on the same tensors."""
    granularity = made[0].row.granularity if made else ""
    ready, refused = candidates_of(made, network, options.runtimes)
    request = MeasureRequest(network.subject.data, limit=options.limit)
    loaded = network.prepared.loaded
    reference = model_candidate(loaded.name, lambda: loaded.model)
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


def _with_floats(network: Network, granularity: str, made: list[Made]) -> list[Made]:
    """Our float files before the files of the tools."""
    floats = [
        Made(
            Row(network.name, granularity, "float32", artifact.recipe.name, "not quantized"),
            Outcome((artifact.path,)),
        )
        for artifact in network.float_files
    ]
    return [*floats, *made]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, help="files, names or folders")
    parser.add_argument("--calibration", default=CALIBRATION, help="DATA to calibrate on")
    parser.add_argument("--data", default=DATA, help="DATA to measure on")
    parser.add_argument("--suite", choices=SUITES, help="networks and data in place of these three")
    parser.add_argument("--photos", type=Path, help="folder of photos for the suite")
    parser.add_argument("--published", type=Path, help="folder of published files for the suite")
    parser.add_argument("--table", type=Path, help="CSV to write in place of the stored results")
    parser.add_argument("--only", nargs="+", help="names of the networks of the suite to measure")
    parser.add_argument("--peers", nargs="*", default=(), help=f"names from {', '.join(peers())}")
    parser.add_argument("--settings", nargs="+", help="settings to run; others are left out")
    parser.add_argument("--granularities", nargs="+", default=GRANULARITIES, choices=GRANULARITIES)
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES)
    parser.add_argument("--limit", type=int, help="largest number of test images")
    parser.add_argument("--minutes", type=float, default=10, help="time limit of a job")
    parser.add_argument("--gibibytes", type=float, default=5, help="memory limit of a job")
    parser.add_argument("--effort", default="usual", choices=list(Effort), help="which jobs to run")
    parser.add_argument(
        "--only-make", action="store_true", help="write the files and measure nothing"
    )
    return parser.parse_args(arguments)


def _subjects(options: argparse.Namespace) -> tuple[Subject, ...]:
    if options.suite is None:
        return chosen(tuple(options.models), options.calibration, options.data)
    found = suite(options.suite, Folders(options.photos, options.published))
    return tuple(s for s in found if not options.only or s.model.name in options.only)


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Quantize and measure network by network, and write the table after each."""
    stored = table.TABLE if options.suite is None else table.table_of(options.suite)
    path = stored if options.table is None else options.table.resolve()
    require_writable(path.parent)
    for subject in _subjects(options):
        network = open_network(subject, options.limit, terminal)
        for granularity in options.granularities:
            made = make_all(network, granularity, options, terminal)
            if options.only_make:
                continue
            made = _with_floats(network, granularity, made)
            rows = kept_rows(
                network.digest,
                [made_one.row for made_one in made],
                [file for made_one in made for file in made_one.outcome.files],
                (subject.data, options.limit, options.runtimes),
                partial(measure_network, network, made, options, terminal),
            )
            table.merge(rows, path)
            for row in rows:
                terminal.say(
                    f"  {row.tool:18} {row.setting:25} {row.runtime:20} "
                    f"{row.top1 or row.ap or row.miou:>6} {row.drop:>6} {row.agreement:>6} "
                    f"{row.sqnr_db:>6} {row.p50_ms:>8} {row.reason}"
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
