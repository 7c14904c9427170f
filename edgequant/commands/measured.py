"""Commands that measure: pipeline, measurement, report and gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration_data.datasets.base import open_dataset
from edgequant.artifacts import (
    Artifact,
    add_files,
    as_listed,
    check_folder,
    data_digest,
    deliver_files,
    key_of,
    read_json,
    read_sums,
    remarks_of,
    versions,
)
from edgequant.candidates import file_candidate, model_candidate
from edgequant.cli.terminal import Terminal
from edgequant.commands.compare_pages import write_compare_page
from edgequant.commands.written import say_kept
from edgequant.measuring import check_gate, check_limit, measure, open_measured
from edgequant.outputs import (
    check_answered,
)
from edgequant.pipeline import artifact_path, quantize, raise_refused
from edgequant.preparing import Prepared, open_inputs, prepare_shown
from edgequant.requests import MeasureRequest, QuantizeRequest
from edgequant.sweeping.floats import known_answers
from evaluation.child.policy import OURS, Isolation
from evaluation.machine import PACKAGES
from foundation.delivery import require_free, staging
from foundation.extras import PAGES
from models.loading.request import ModelRequest
from reports import tables
from reports.csv_rows import csv_table
from reports.task_rows import by_output


def compare_command(request: QuantizeRequest, terminal: Terminal) -> None:
    """Write every recipe, measure all of them on the same tensors, and write the comparison."""
    PAGES.require("measure one file: edgequant quantize --data")
    assert request.measure is not None
    check_limit(request.max_drop, has_reference=True)
    stem = request.output / f"{request.model.name}-compare"
    inputs = open_inputs(request)
    assert inputs.measured is not None
    check_answered(inputs.measured, request.max_drop)
    say_kept(check_folder(request.output, stem.name), terminal)
    for ending in _COMPARE_ENDINGS:
        require_free(stem.with_name(f"{stem.name}{ending}"))
    artifacts, prepared = quantize(request, inputs, terminal)
    key = key_of({"of": [report_key(artifact, request.measure) for artifact in artifacts]})
    stored = stem.parent / f"{stem.name}.json"
    names = [stored.with_suffix(ending).name for ending in _COMPARE_ENDINGS]
    whole = as_listed(request.output, names)
    edited = stored.name in read_sums(request.output) and not whole[stored.name]
    report = None if request.force or edited else stored_report(stored, key)
    unchanged = report is not None and all(whole.values())
    if report is None:
        prepared = prepared or prepare_shown(request, inputs, terminal)
        report = _compared(artifacts, prepared, request.measure, key, terminal)
    if not unchanged:
        prepared = prepared or prepare_shown(request, inputs, terminal)
        say_kept(_write_comparison(report, prepared, request, stored.name), terminal)
    show_report(report, terminal)
    terminal.say("unchanged since the last run:" if unchanged else "written:")
    for ending in (".md", ".json", ".csv"):
        terminal.say_file(stored.with_suffix(ending))
    terminal.say_file(stored.with_suffix(".html"), "page")
    terminal.result(report)
    check_gate([report], request.max_drop)
    raise_refused(request, prepared)


_COMPARE_ENDINGS = (".md", ".csv", ".json", ".html")


def _write_comparison(
    report: tables.Document, prepared: Prepared, request: QuantizeRequest, name: str
) -> tuple[Path, ...]:
    """Write table, CSV, JSON and page together; returns foreign files under their new names."""
    assert request.measure is not None
    title = f"{request.model.name}: Keras float against every recipe"
    with staging(request.output) as staged:
        part = staged.path(name)
        texts = (
            (".md", tables.markdown_report(title, report)),
            (".csv", csv_table(report)),
            (".json", _json(report)),
        )
        for ending, text in texts:
            part.with_suffix(ending).write_text(text, encoding="utf-8")
        files = {recipe.name: artifact_path(request, recipe) for recipe in request.recipes}
        write_compare_page(report, prepared, request.measure, part, files)
        return deliver_files(staged, force=request.force)


def _json(report: tables.Document) -> str:
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def train_command(model: ModelRequest, values: dict[str, Any], terminal: Terminal) -> None:
    """Train a registered network on a training split."""
    from models.training.objective import objective_of
    from models.training.run import train

    names = ("epochs", "batch_size", "learning_rate", "holdout", "seed")
    changes = {name: values[name] for name in names if values[name] is not None}
    dataset = open_dataset(values["data"])
    spec = model.spec()
    recipe = replace(objective_of(spec).recipe, **changes)

    def tell(epoch: int, figures: dict[str, float]) -> None:
        if not terminal.interactive:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            terminal.note(f"epoch {epoch}/{recipe.epochs}: {shown}")

    result = train(
        spec,
        dataset,
        recipe,
        values["output"],
        verbose=int(terminal.interactive),
        on_epoch=tell,
        force=values["force"],
    )
    score = result.development_accuracy
    terminal.say(
        f"{result.score} {score:.2f} % on {result.development_images:,} development images\n"
        f"weights  {result.weights}\ncard     {result.card}"
    )
    terminal.result(
        {
            "weights": str(result.weights),
            "card": str(result.card),
            f"development_{result.score.lower().replace('-', '')}": score,
            "development_images": result.development_images,
        }
    )


def _compared(
    artifacts: list[Artifact],
    prepared: Prepared,
    request: MeasureRequest,
    key: str,
    terminal: Terminal,
    answers: str | None = None,
) -> tables.Document:
    dataset = open_measured(request)
    files = [
        file_candidate(
            a.path,
            request.runtime,
            a.sha256,
            name=a.recipe.name,
            isolation=Isolation(time_limit=request.time_limit) if a.unchanged else OURS,
        )
        for a in artifacts
    ]
    candidates = [
        replace(candidate, remarks=(*candidate.remarks, *remarks_of(artifact)))
        for candidate, artifact in zip(files, artifacts, strict=True)
    ]
    loaded = prepared.loaded
    reference = model_candidate(loaded.name, lambda: loaded.model, known_answers(answers))
    measurement = measure(candidates, reference, dataset, prepared.contract, request, terminal)
    return tables.document(measurement, model=loaded.name, key=key)


def measure_artifact(
    artifact: Artifact, prepared: Prepared, request: QuantizeRequest, terminal: Terminal
) -> tables.Document:
    """Measure one artifact against the float model and write its report beside it."""
    assert request.measure is not None
    key = report_key(artifact, request.measure)
    report = _compared([artifact], prepared, request.measure, key, terminal, request.answers)
    title = f"{prepared.loaded.name}, {artifact.recipe.name}: float against quantized"
    texts = {".report.md": tables.markdown_report(title, report), ".report.json": _json(report)}
    say_kept(add_files(artifact, texts, force=request.force), terminal)
    return report


def report_key(artifact: Artifact, request: MeasureRequest) -> str:
    """Hash of everything that the report of an artifact depends on."""
    return key_of(
        {
            "artifact": artifact.key,
            "measure": str(request),
            "data": data_digest(request.data),
            "versions": versions(PACKAGES),
        }
    )


def stored_report(path: Path, key: str) -> tables.Document | None:
    """Report in a file, if it has this key."""
    report: tables.Document = read_json(path)
    return report if report.get("key") == key else None


def show_report(report: tables.Document, terminal: Terminal) -> None:
    """Print the tables of a report, and the conditions of the measurement."""
    for part in by_output(report):
        terminal.table(tables.screen_table(part), tables.DETAILS)
    for line in tables.conditions(report):
        terminal.say(line)
    terminal.say()
