"""Models and files that are measured beside each other, with the remarks on their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.child.policy import OURS, Isolation
from evaluation.child.session import ForeignFile
from evaluation.lint.silent_float import FLOAT_ENDS
from evaluation.machine import Machine, this_machine
from evaluation.remembered import Answers, RememberedSession
from evaluation.result import Subject
from evaluation.session import Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from export.target import target_of
from foundation.heap import without_collections
from foundation.threads import cores
from network.inspection import Inspection
from quantize.recipes import Recipe
from quantize.settings import INT8_ACTIVATIONS, Postprocess, WeightRange

if TYPE_CHECKING:
    import keras


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


def model_candidate(
    name: str, model: Callable[[], keras.Model], answers: Answers | None = None
) -> Candidate:
    """Candidate of a float Keras model, which is loaded when a session is first opened.

    Args:
        name: name of the network.
        model: loads or returns the model.
        answers: its answers to batches that were run before; None for none.
    """

    @cache
    def session() -> Session:
        with without_collections():
            own = KerasSession(model())
        return own if answers is None else RememberedSession(own, answers)

    return Candidate(Subject("keras-float32", name), lambda _threads: session())


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
        (*decoding_remarks(path), *int8_remarks(path, runtime.name, this_machine())),
    )


def decoding_remarks(path: Path) -> tuple[str, ...]:
    """Remark on a file that we wrote with a detector's decoding inside; none for others."""
    card = target_of(path).read_card(path)
    detector = None if card is None else card.preprocessing.detector
    if card is None or detector is None or card.recipe.postprocess is Postprocess.NONE:
        return ()
    remark = (
        f"gives detections from a score of {detector.score_threshold:g} alone, {detector.most} at "
        "most: its AP lies below that of raw outputs, which keep weaker ones"
    )
    return (remark,)


def int8_remarks(path: Path, runtime: str, machine: Machine) -> tuple[str, ...]:
    """Remarks on an int8 file that we wrote; none for other and foreign files."""
    target = target_of(path)
    card = target.read_card(path)
    if card is None or card.recipe.precision not in INT8_ACTIVATIONS:
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
