"""Measurements of the float model and its files on the same tensors, and their latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.contract import align_labels
from calibration_data.conversions import conversion_remarks
from calibration_data.datasets.base import GIVE_LABELS, Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from edgequant.cli.terminal import Terminal
from edgequant.requests import MeasureRequest
from evaluation.child.policy import OURS, Isolation
from evaluation.child.session import ForeignFile
from evaluation.flips import flips
from evaluation.latency import ClockPlan, Latency, latency
from evaluation.lint.silent_float import FLOAT_ENDS
from evaluation.machine import Machine, this_machine
from evaluation.metrics import evaluate
from evaluation.result import Evaluation, Measurement, Subject
from evaluation.runner import predict_many
from evaluation.scores import Scores
from evaluation.session import RuntimeInfo, Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from export.target import target_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.threads import cores
from models.loading.request import LoadedModel
from network.inspection import Inspection
from quantize.recipes import Precision, Recipe, WeightRange

LATENCY_PLAN = ClockPlan(warmup=10, repeats=300, seconds=3.0)


@dataclass(frozen=True)
class Candidate:
    """Model or file to measure.

    Attributes:
        subject: name, file, size and digest for its row.
        open: opens a session with a number of threads.
        remarks: sentences for its row.
    """

    subject: Subject
    open: Callable[[int], Session]
    remarks: tuple[str, ...] = ()


def model_candidate(loaded: LoadedModel) -> Candidate:
    """Candidate of the float Keras model."""
    session = KerasSession(loaded.model)
    return Candidate(Subject("keras-float32", loaded.name), lambda _threads: session)


def file_candidate(
    path: Path,
    runtime_name: str | None,
    sha256: str,
    *,
    name: str | None = None,
    isolation: Isolation = OURS,
) -> Candidate:
    """Candidate of a file in a runtime.

    Args:
        path: path of the file.
        runtime_name: registered name; None for the default runtime of the file's kind.
        sha256: digest of the file.
        name: name in the row; None for the file's.
        isolation: how the file may be run; by default in this process, as files that we wrote.
    """
    runtime = runtime_for(path, runtime_name)
    file = ForeignFile(runtime, path, isolation, workers=cores())
    subject = Subject(name or path.stem, path.name, path.stat().st_size, sha256)
    return Candidate(
        subject,
        file.open,
        int8_remarks(path, runtime.name, this_machine()),
    )


def int8_remarks(path: Path, runtime: str, machine: Machine) -> tuple[str, ...]:
    """Remarks on an int8 file that we wrote; none for other and foreign files."""
    target = target_of(path)
    card = target.read_card(path)
    if card is None or card.recipe.precision is not Precision.INT8:
        return ()
    remarks = (
        _saturation_remark(card.recipe, runtime, machine),
        _float_remark(target.inspect(path)),
    )
    return tuple(remark for remark in remarks if remark)


def _saturation_remark(recipe: Recipe, runtime: str, machine: Machine) -> str:
    """Remark on the saturation of 16-bit sums (WeightRange); empty without one."""
    if recipe.target != "onnx" or machine.architecture not in ("x86_64", "AMD64"):
        return ""
    if recipe.settings.weight_range is not WeightRange.FULL or runtime == "onnxruntime-precise":
        return ""
    if machine.has_vnni:
        return (
            "full-range int8 weights: fine on this CPU (VNNI); x86 without VNNI saturates "
            "unless session.x64quantprecision=1 is set"
        )
    return (
        "full-range int8 weights saturate 16-bit sums on this CPU (no VNNI): set "
        "session.x64quantprecision=1 (--runtime onnxruntime-precise), or ship onnx-int8"
    )


def _float_remark(inspection: Inspection) -> str:
    """Remark on operators of an int8 file that its format computes in float; empty without one.

    Operators at input and output that convert floats and integers, or only move values, do not
    count.
    """
    floats = [
        f"{operator.count} {operator.name}"
        for operator in inspection.operators
        if operator.compute.startswith("float") and operator.name not in FLOAT_ENDS
    ]
    return f"computes in float: {', '.join(floats)}" if floats else ""


def open_measured(request: MeasureRequest, contract: Preprocessing, classes: int) -> Dataset:
    """Images to measure on; their labels, if any, are indices of the outputs."""
    dataset = align_labels(open_dataset(request.data), contract, classes)
    if request.limit is not None and request.limit < len(dataset):
        order = np.random.default_rng(request.seed).permutation(len(dataset))
        dataset = dataset.subset(np.sort(order[: request.limit]))
    return dataset


def measure(
    candidates: list[Candidate],
    reference: Candidate | None,
    dataset: Dataset,
    contract: Preprocessing,
    request: MeasureRequest,
    terminal: Terminal,
) -> Measurement:
    """Measure candidates, each against the reference, on the same preprocessed tensors.

    Returns:
        Rows in the order of the candidates, after the reference.
    """
    everything = [*([reference] if reference else []), *candidates]
    names = [f"{number}" for number in range(len(everything))]
    openers = {
        name: partial(candidate.open, 1) for name, candidate in zip(names, everything, strict=True)
    }
    with terminal.progress("images", len(dataset)) as advance:
        results = predict_many(
            openers,
            stream(dataset, contract),
            workers=cores(),
            progress=_increments(advance),
        )
    baseline = results.outputs[names[0]] if reference else None
    first = next(iter(stream(dataset.subset(np.arange(1)), contract))).images
    rows = []
    with terminal.progress("latency" if request.latency else "scores", len(everything)) as advance:
        for name, candidate in zip(names, everything, strict=True):
            compared = None if candidate is reference else baseline
            scores = Scores(results.outputs[name], results.labels, compared)
            runtime, timed = _clocked(candidate, first, request)
            rows.append(
                Evaluation(
                    candidate.subject,
                    request.data,
                    runtime,
                    evaluate(scores),
                    timed,
                    candidate.remarks,
                    () if compared is None else flips(scores, dataset.describe),
                )
            )
            advance(1)
    remarks = conversion_remarks(dataset)
    return Measurement(tuple(rows), this_machine(), contract.labels, remarks)


def _clocked(
    candidate: Candidate, image: np.ndarray, request: MeasureRequest
) -> tuple[RuntimeInfo, Latency | None]:
    """Runtime of a candidate, and its latency for one image; None with --no-latency."""
    if not request.latency:
        return candidate.open(request.threads).info, None
    timed = latency(partial(candidate.open, request.threads), image, request.threads, LATENCY_PLAN)
    return timed.runtime, timed


def check_limit(max_drop: float | None, *, has_reference: bool) -> None:
    """Raise InvalidInputError for a gate that cannot fail, before any work is done."""
    if max_drop is not None and not (has_reference and math.isfinite(max_drop)):
        raise InvalidInputError(
            "--max-drop is a number of points, and needs a float reference to compare with",
            received=f"--max-drop {max_drop:g}" + ("" if has_reference else " without a reference"),
            remedy="give --data to quantize, or --reference to evaluate",
        )


def check_limit_on(dataset: Dataset, max_drop: float | None) -> None:
    """Raise InvalidInputError for a limit on the drop of images whose right answers are unknown."""
    if max_drop is not None and dataset.labels is None:
        raise InvalidInputError(
            "--max-drop limits points of top-1, which images without labels do not have",
            received=f"{dataset.name}, which has none",
            remedy=f"leave --max-drop out, or {GIVE_LABELS}",
        )


def check_gate(reports: Iterable[dict[str, Any]], max_drop: float | None) -> None:
    """Raise GateFailedError if a measured row lost more than ``max_drop`` points of top-1."""
    rows = [row for report in reports for row in report["rows"]]
    compared = [row for row in rows if "drop" in row]
    failed = [row for row in compared if max_drop is not None and row["drop"] > max_drop]
    if failed:
        raise GateFailedError(
            f"top-1 falls by at most {max_drop:g} points (--max-drop)",
            received=", ".join(f"{row['name']} {row['drop']:.2f}" for row in failed),
            remedy="choose a recipe that loses less, or give more calibration images",
        )


def _increments(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Callback for a running total that calls ``advance`` with its increments."""
    done = 0

    def report(total: int) -> None:
        nonlocal done
        advance(total - done)
        done = total

    return report
