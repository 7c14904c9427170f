"""Commands that measure: pipeline, measurement, report and gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration_data.contract import resolve_contract
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.detection import DETECTIONS
from calibration_data.preprocessing import Preprocessing
from calibration_data.task_choice import Output
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
from edgequant.cli.terminal import Terminal
from edgequant.commands.compare_pages import write_compare_page
from edgequant.commands.written import artifact_row, say_artifact, say_kept, say_remarks
from edgequant.loading import contract_of
from edgequant.measuring import (
    Candidate,
    check_gate,
    check_limit,
    file_candidate,
    measure,
    model_candidate,
    open_measured,
)
from edgequant.outputs import (
    check_answered,
    check_labels_and_limit,
    file_outputs,
    model_outputs,
    settled_contract,
    stated_names,
)
from edgequant.pipeline import (
    Prepared,
    artifact_path,
    open_inputs,
    prepare_shown,
    quantize,
    raise_refused,
)
from edgequant.requests import EvaluateRequest, MeasureRequest, QuantizeRequest
from evaluation.child.policy import OURS, Isolation
from evaluation.machine import PACKAGES
from evaluation.session import runtime_for
from evaluation.sessions.tensor_io import InputTensor
from export.foreign import admit
from export.target import target_of
from foundation.delivery import require_free, staging
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.extras import PAGES
from models.loading.files import several_inputs
from models.loading.request import LoadedModel, ModelRequest, load
from network.inspection import Inspection
from reports import tables
from reports.task_rows import by_output


def quantize_command(request: QuantizeRequest, terminal: Terminal) -> None:
    """Write artifacts, measure them on --data, and print their paths."""
    check_limit(request.max_drop, has_reference=request.measure is not None)
    inputs = open_inputs(request)
    if inputs.measured is not None:
        check_answered(inputs.measured, request.max_drop)
    artifacts, prepared = quantize(request, inputs, terminal)
    rows: list[dict[str, Any]] = []
    reports: list[tables.Document] = []
    for artifact in artifacts:
        report: tables.Document | None = None
        if request.measure is not None:
            key = _report_key(artifact, request.measure)
            report = None if request.force else _stored(artifact.beside(".report.json"), key)
            if report is None:
                prepared = prepared or prepare_shown(request, inputs, terminal)
                report = _measure_artifact(artifact, prepared, request, terminal)
            _show(report, terminal)
            reports.append(report)
        say_artifact(artifact, terminal)
        rows.append({**artifact_row(artifact), **({"report": report} if report else {})})
    if request.measure is None or terminal.machine_readable:  # a shown report has its remarks
        say_remarks(artifacts, terminal)
    terminal.result({"artifacts": rows} if len(rows) > 1 else rows[0])
    check_gate(reports, request.max_drop)
    raise_refused(request, prepared)


def evaluate_command(request: EvaluateRequest, terminal: Terminal) -> None:
    """Measure one artifact and show its row."""
    if not request.artifact.exists():
        raise InvalidInputError(
            "ARTIFACT is an existing .tflite, .onnx or .keras",
            received=f"{request.artifact}, which does not exist",
            remedy="check the path",
        )
    check_limit(request.max_drop, has_reference=request.reference is not None)
    dataset = open_measured(request.measure)
    contract, candidate, outputs = _evaluated(request, dataset)
    names = stated_names([output.name for output in outputs], contract)
    outputs = tuple(replace(o, name=name) for o, name in zip(outputs, names, strict=True))
    check_labels_and_limit(dataset, contract, outputs, request.max_drop)
    reference = None if request.reference is None else _reference(request, contract)
    measurement = measure([candidate], reference, dataset, contract, request.measure, terminal)
    report = tables.document(measurement)
    _show(report, terminal)
    rows = [part["rows"][-1] for part in by_output(report)]  # the reference stands first
    more = {"artifact": str(request.artifact), "machine": report["machine"]}
    terminal.result({**rows[0], **more} if len(rows) == 1 else {**more, "outputs": rows})
    check_gate([report], request.max_drop)


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
    key = key_of({"of": [_report_key(artifact, request.measure) for artifact in artifacts]})
    stored = stem.parent / f"{stem.name}.json"
    names = [stored.with_suffix(ending).name for ending in _COMPARE_ENDINGS]
    whole = as_listed(request.output, names)
    edited = stored.name in read_sums(request.output) and not whole[stored.name]
    report = None if request.force or edited else _stored(stored, key)
    unchanged = report is not None and all(whole.values())
    if report is None:
        prepared = prepared or prepare_shown(request, inputs, terminal)
        report = _compared(artifacts, prepared, request.measure, key, terminal)
    if not unchanged:
        prepared = prepared or prepare_shown(request, inputs, terminal)
        say_kept(_write_comparison(report, prepared, request, stored.name), terminal)
    _show(report, terminal)
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
            (".csv", tables.csv_table(report)),
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
    reference = model_candidate(prepared.loaded)
    measurement = measure(candidates, reference, dataset, prepared.contract, request, terminal)
    return tables.document(measurement, model=prepared.loaded.name, key=key)


def _measure_artifact(
    artifact: Artifact, prepared: Prepared, request: QuantizeRequest, terminal: Terminal
) -> tables.Document:
    """Measure one artifact against the float model and write its report beside it."""
    assert request.measure is not None
    key = _report_key(artifact, request.measure)
    report = _compared([artifact], prepared, request.measure, key, terminal)
    title = f"{prepared.loaded.name}, {artifact.recipe.name}: float against quantized"
    texts = {".report.md": tables.markdown_report(title, report), ".report.json": _json(report)}
    say_kept(add_files(artifact, texts, force=request.force), terminal)
    return report


def _report_key(artifact: Artifact, request: MeasureRequest) -> str:
    return key_of(
        {
            "artifact": artifact.key,
            "measure": str(request),
            "data": data_digest(request.data),
            "versions": versions(PACKAGES),
        }
    )


def _stored(path: Path, key: str) -> tables.Document | None:
    report: tables.Document = read_json(path)
    return report if report.get("key") == key else None


def _evaluated(
    request: EvaluateRequest, dataset: Dataset
) -> tuple[Preprocessing, Candidate, tuple[Output, ...]]:
    """Contract, candidate and outputs of the artifact."""
    path = request.artifact
    if path.suffix == ".keras" or path.is_dir() or path.suffix == ".h5":
        runtime_for(Path("model.keras"), request.measure.runtime)
        loaded = load(ModelRequest(str(path), trust=request.trust))
        contract = contract_of(loaded, request.contract, own=None, path=path)
        outputs = model_outputs(loaded)
        contract = settled_contract(contract, outputs, [dataset], measured=True)
        return contract, model_candidate(loaded), outputs
    target = target_of(path)
    if not request.trust:
        admit(path)
    inspection, card = target.inspect(path), target.read_card(path)
    shape = _ends(inspection, path)
    contract = resolve_contract(
        request.contract,
        own=None if card is None else card.preprocessing,
        model_path=path,
        shape=shape,
    )
    outputs = file_outputs(inspection)
    contract = settled_contract(contract, outputs, [dataset], measured=True)
    name = None if card is None else card.recipe.name
    candidate = file_candidate(
        path, request.measure.runtime, sha256_of(path), name=name, isolation=request.isolation
    )
    return contract, candidate, outputs


def _ends(inspection: Inspection, path: Path) -> tuple[int, ...]:
    """Shape of an example (channels last) of a file whose outputs have a row for each one."""
    inputs, outputs = inspection.inputs, inspection.outputs
    if len(inputs) > 1:
        raise several_inputs(path, [tensor.name for tensor in inputs])
    decoded = {output.name for output in outputs} == set(DETECTIONS)
    rows = bool(outputs) and (decoded or all(len(output.shape) > 1 for output in outputs))
    if len(inputs) != 1 or not rows:
        raise InvalidInputError(
            "an artifact has one input, and outputs with a row for each example",
            received=f"{path} with {[list(t.shape) for t in inputs]} and "
            f"{[list(t.shape) for t in outputs]}",
            remedy="export the classifying part alone, with a fixed size",
        )
    return InputTensor.of_file(path, inputs[0].shape).shape


def _reference(request: EvaluateRequest, contract: Preprocessing) -> Candidate:
    reference = request.reference
    assert reference is not None
    path = Path(reference.reference)
    if path.suffix in (".tflite", ".onnx"):
        if not path.is_file():
            raise InvalidInputError(
                "--reference is an existing model or artifact",
                received=f"{path}, which does not exist",
                remedy="check the path",
            )
        name = f"reference {path.name}"
        return file_candidate(path, None, sha256_of(path), name=name, isolation=request.isolation)
    loaded: LoadedModel = load(reference)
    if loaded.input_shape != contract.shape:
        raise InvalidInputError(
            "reference and artifact take inputs of one shape",
            received=f"{list(loaded.input_shape)} and {list(contract.shape)}",
            remedy="give the model that the artifact was made from",
        )
    return model_candidate(loaded)


def _show(report: tables.Document, terminal: Terminal) -> None:
    for part in by_output(report):
        terminal.table(tables.screen_table(part), tables.DETAILS)
    for line in tables.conditions(report):
        terminal.say(line)
    terminal.say()
