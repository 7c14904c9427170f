"""The functions: each is a command of the command line, on objects of a program."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

from edgequant.api import data as given
from edgequant.api import models
from edgequant.api.data import Data
from edgequant.api.exchange import Job, Outcome
from edgequant.api.models import Model
from edgequant.api.options import (
    ApplyOptions,
    CompareOptions,
    EvaluateOptions,
    Preprocessing,
    QuantizeOptions,
    SweepOptions,
    option_words,
    preprocessing_words,
)
from edgequant.api.progress import OnProgress, listening
from edgequant.api.results import Artifact, Comparison, Plan, Report, Sweep, report_of, sweep_of
from edgequant.api.tables import Table
from edgequant.api.worker import in_python, work
from foundation.errors import EdgequantError, InvalidInputError

StatedPreprocessing = str | os.PathLike[str] | Preprocessing | None


def quantize(
    model: Model,
    calibration: Data = None,
    *,
    recipe: str = "tflite-int8",
    data: Data = None,
    preprocessing: StatedPreprocessing = None,
    output: str | os.PathLike[str] | None = None,
    progress: OnProgress = None,
    **options: Unpack[QuantizeOptions],
) -> Artifact:
    """Write a quantized file of a model.

    Arrays are what ``model.predict`` takes, unless ``preprocessing``, a contract beside the model
    or a registered model says how images become the model's input.

    Args:
        model: Keras model in memory, path of a .keras, .h5, SavedModel or float .tflite, or a
            registered name.
        calibration: examples that activation ranges are measured on, see ``Data``; not needed for
            recipes without integers.
        recipe: TARGET-PRECISION, such as ``tflite-int8`` or ``onnx-int8`` (docs/commands.md).
        data: test examples with labels; the file is measured on them against the float model.
        preprocessing: path of a contract, or its values; None for the model's own.
        output: folder of the file; by default ``artifacts/MODEL-RECIPE``.
        progress: function that takes each ``Progress``; False for no bar.
        options: see ``QuantizeOptions``.

    Raises:
        InvalidInputError: input that breaks a rule.
        UnsupportedError: a request that the target cannot honour.
        GateFailedError: the file lost more than ``max_drop``; it was written.
    """
    if "," in recipe:
        raise InvalidInputError(
            "quantize writes the file of one recipe",
            received=recipe,
            remedy="call it for each, or use compare",
        )
    words = option_words(options, QuantizeOptions, "quantize")
    with _call("quantize", model, preprocessing) as call:
        call.words += ["--recipe", recipe, *words, *_output(output)]
        call.data("calibration", calibration)
        call.data("data", data)
        outcome = call.run(progress)
    return _artifact(outcome)


def evaluate(
    artifact: Model | Artifact,
    data: Data,
    *,
    reference: Model | Artifact | None = None,
    preprocessing: StatedPreprocessing = None,
    progress: OnProgress = None,
    **options: Unpack[EvaluateOptions],
) -> Report:
    """Measure a file: accuracy with its interval, loss against a reference, latency.

    Args:
        artifact: an ``Artifact``, path of a .tflite, .onnx or Keras file, or a Keras model.
        data: test examples, with labels for accuracies; see ``Data``.
        reference: model or file to compare with, such as the float model.
        preprocessing: path of a contract, or its values; None for the file's own.
        progress: function that takes each ``Progress``; False for no bar.
        options: see ``EvaluateOptions``.

    Raises:
        InvalidInputError: input that breaks a rule.
        GateFailedError: the file lost more than ``max_drop``.
    """
    words = option_words(options, EvaluateOptions, "evaluate")
    with _call("evaluate", artifact, preprocessing, axes_of=reference) as call:
        call.words += words
        if reference is not None:
            call.words += ["--reference", models.model_text(reference, call.subfolder("reference"))]
        call.data("data", data)
        outcome = call.run(progress)
    rows = outcome.values.get("outputs") or [outcome.values]
    return report_of(outcome.values, rows, outcome)


def compare(
    model: Model,
    data: Data,
    *,
    calibration: Data = None,
    recipes: Sequence[str] | None = None,
    preprocessing: StatedPreprocessing = None,
    output: str | os.PathLike[str] | None = None,
    progress: OnProgress = None,
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Measure the float model and the file of each recipe on the same tensors.

    Args:
        model: see ``quantize``.
        data: test examples with labels; see ``Data``.
        calibration: examples that activation ranges are measured on; None for the calibration
            split beside registered data.
        recipes: names of recipes; None for all.
        preprocessing: path of a contract, or its values; None for the model's own.
        output: folder of the files; by default ``artifacts/MODEL-compare``.
        progress: function that takes each ``Progress``; False for no bar.
        options: see ``CompareOptions``.

    Raises:
        InvalidInputError: input that breaks a rule.
        UnsupportedError: a recipe whose file cannot hold the model; the others were written.
        GateFailedError: a file lost more than ``max_drop``.
    """
    words = option_words(options, CompareOptions, "compare")
    if recipes is not None:
        words += ["--recipes", recipes if isinstance(recipes, str) else ",".join(recipes)]
    with _call("compare", model, preprocessing) as call:
        call.words += [*words, *_output(output)]
        call.data("calibration", calibration)
        call.data("data", data)
        outcome = call.run(progress)
    report = report_of(outcome.values, _rows(outcome.values), outcome)
    paths = [Path(name) for name in outcome.files]
    return Comparison(
        report.rows,
        report.tables,
        tuple(line for line in report.conditions if line not in _SAID),
        report.remarks,
        report.values,
        files=MappingProxyType({path.name: path.read_bytes() for path in paths}),
        folder=paths[0].parent,
    )


def sweep(
    plan: str | os.PathLike[str] | Mapping[str, Any],
    *,
    output: str | os.PathLike[str] | None = None,
    progress: OnProgress = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Make and measure every file of a grid, on many cores or machines.

    Args:
        plan: path of a plan, or a mapping with its keys (docs/sweeps.md), whose paths are relative
            to the current folder.
        output: folder of table, page and finished tasks; by default ``artifacts/PLAN-sweep``.
        progress: function that takes each ``Progress``; False for no bar.
        options: see ``SweepOptions``.

    Raises:
        InvalidInputError: a plan that breaks a rule.
        GateFailedError: a task was set aside, or no file keeps the gates; the results of the
            others are written.
    """
    words = option_words(options, SweepOptions, "sweep")
    with _private_folder() as folder:
        if isinstance(plan, Mapping):
            path = folder / "plan.json"
            written = {"folder": str(Path.cwd()), **plan}
            path.write_text(json.dumps(written, default=os.fspath), encoding="utf-8")
        else:
            path = Path(plan)
        call = _Call(folder, "sweep", ["sweep", str(path), *words, *_output(output)])
        outcome = call.run(progress)
    return sweep_of(outcome)


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan, which lies beside each int8 file.

    Raises:
        InvalidInputError: no such file, or a damaged one.
    """
    with _private_folder() as folder:
        call = _Call(folder, "load_plan", ["plan", "show", os.fspath(path)])
        outcome = call.run(False)
    values = outcome.values
    return Plan(
        Path(path),
        values["graph"],
        Table.of(outcome.tables[0]),
        MappingProxyType(dict(values["settings"])),
        tuple(values["notes"]),
        MappingProxyType(dict(values)),
    )


def apply_plan(
    plan: Plan | str | os.PathLike[str],
    model: Model,
    *,
    recipe: str = "tflite-int8",
    preprocessing: StatedPreprocessing = None,
    output: str | os.PathLike[str] | None = None,
    progress: OnProgress = None,
    **options: Unpack[ApplyOptions],
) -> Artifact:
    """Write a file from a plan, without calibration.

    Args:
        plan: plan or its path.
        model: model that the plan was made for, with the same weights.
        recipe: int8 recipe of the plan's granularity and weight range.
        preprocessing: path of a contract, or its values; None for the model's own.
        output: folder of the file; by default ``artifacts/MODEL-RECIPE``.
        progress: function that takes each ``Progress``; False for no bar.
        options: see ``ApplyOptions``.

    Raises:
        InvalidInputError: a damaged plan, or one of another model.
    """
    words = option_words(options, ApplyOptions, "apply_plan")
    path = plan.path if isinstance(plan, Plan) else plan
    with _call("plan apply", model, preprocessing, first=(os.fspath(path),)) as call:
        call.words += ["--recipe", recipe, *words, *_output(output)]
        if preprocessing is None and models.is_in_memory(model):
            call.fed = call.model
        outcome = call.run(progress)
    return _artifact(outcome)


_SAID = ("written:", "unchanged since the last run:")
"""Lines before the paths of a comparison."""


@dataclass
class _Call:
    """A call in progress.

    Attributes:
        folder: private folder.
        name: name of the function.
        words: words of the command line.
        model: text of the model.
        axes: number of axes of one example; None if unknown.
        stated: whether the words say how inputs are made.
        fed: see ``Job``.
    """

    folder: Path
    name: str
    words: list[str]
    model: str = ""
    axes: int | None = None
    stated: bool = False
    fed: str | None = None

    def subfolder(self, name: str) -> Path:
        """A new folder inside the private one."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def data(self, name: str, value: Data) -> None:
        """Add the words of data, if any."""
        if value is None:
            return
        self.words += [f"--{name}", given.data_text(value, name, self.folder, self.axes)]
        if given.is_in_memory(value) and not self.stated:
            self.fed = self.model

    def run(self, progress: OnProgress) -> Outcome:
        """Run the command in its process."""
        job = Job(tuple(self.words), f"edgequant.{self.name}(...)", self.fed)
        with listening(progress) as listen:
            return work(self.folder, job, listen)


@contextmanager
def _call(
    command: str,
    model: Any,
    preprocessing: StatedPreprocessing,
    *,
    axes_of: Any = None,
    first: tuple[str, ...] = (),
) -> Iterator[_Call]:
    """A call with its private folder, the model and its preprocessing."""
    with _private_folder() as folder:
        try:
            (folder / "model").mkdir()
            text = models.model_text(model, folder / "model")
            named = [text] if command == "evaluate" else [*first, "--model", text]
            stated = preprocessing_words(preprocessing, folder)
        except EdgequantError as error:
            raise in_python(error, folder) from error
        axes = models.example_axes(model) or models.example_axes(axes_of)
        name = command.split()[0]
        yield _Call(folder, name, [*command.split(), *named, *stated], text, axes, bool(stated))


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Folder for the models and arrays of a call.

    Raises:
        InvalidInputError: there is no room for them.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edgequant-") as name:
            yield Path(name)
    except OSError as error:
        raise InvalidInputError(
            "models and arrays of a call have room in a temporary folder",
            received=f"{tempfile.gettempdir()} ({error.strerror or error})",
            remedy="free space there, or set TMPDIR",
        ) from error


def _output(output: str | os.PathLike[str] | None) -> list[str]:
    return [] if output is None else ["--output", os.fspath(output)]


def _rows(document: Any) -> list[Any]:
    rows: list[Any] = document["rows"]
    return rows


def _artifact(outcome: Outcome) -> Artifact:
    """The written file of a command."""
    values = outcome.values
    document = values.get("report")
    report = None
    if document is not None:
        conditions = Outcome(values, outcome.tables, _conditions(outcome.lines))
        report = report_of(document, _rows(document), conditions)
    mine = tuple(values["remarks"])
    said = (remark.removeprefix(f"{values['recipe']}: ") for remark in outcome.remarks)
    return Artifact(
        Path(values["artifact"]).absolute(),
        values["recipe"],
        values["size_bytes"],
        values["sha256"],
        values["unchanged"],
        tuple(Path(name).absolute() for name in values["files"]),
        tuple(dict.fromkeys((*said, *mine))),
        report,
    )


def _conditions(lines: list[str]) -> list[str]:
    """Lines about a measurement, without those that list the written files."""
    ends = (": written", ": unchanged since the last run")
    last = next((i for i, line in enumerate(lines) if line.endswith(ends)), len(lines))
    return lines[:last]
