"""``edgequant lint``: faults of a foreign .tflite, .onnx or Keras model, by measurements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.channels import channels_of
from calibration_data.contract import (
    ContractRequest,
    resolve_contract,
    stated_contract,
)
from calibration_data.conversions import conversion_remarks
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.stream import converted
from edgequant.cli.terminal import Terminal
from edgequant.lint_outputs import Answers, answers_of
from edgequant.outputs import is_classifier
from evaluation.child.policy import Isolation
from evaluation.child.session import open_foreign
from evaluation.lint.check import CheckedFault, State, lint, lint_outputs
from evaluation.lint.hypotheses import gather
from evaluation.lint.judging import chance, matched
from evaluation.lint.subject import ScoreKind, Subject
from evaluation.session import RuntimeInfo, Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from export.foreign import admit
from export.input_layout import channels_last, file_layout
from export.target import target_of
from foundation.errors import GateFailedError, InvalidInputError
from models.loading.files import MODEL_SUFFIXES, load_keras_file, not_one_input
from network.inspection import Inspection
from quantize.settings import Layout

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class LintRequest:
    """Model to check.

    Attributes:
        model: path of a .tflite, .onnx, .keras or .h5, or of a SavedModel folder.
        data: DATA text of images; without labels some checks are not judged.
        limit: largest number of images, drawn at random.
        seed: seed of the drawing.
        contract: preprocessing for a file without a contract.
        isolation: how the file may be run.
        scores: kind of outputs that is expected.
    """

    model: Path
    data: str
    limit: int = 200
    seed: int = 0
    contract: ContractRequest = field(default_factory=ContractRequest)
    isolation: Isolation = field(default_factory=Isolation)
    scores: ScoreKind = ScoreKind.ANY


@dataclass(frozen=True)
class _Opened:
    """Opened file before any image is run.

    Attributes:
        shape: shape of the input; None for a free axis.
        layout: order of its axes.
        inspection: contents of a .tflite or .onnx; None for a Keras model.
        card: contract in the file; None without one.
        model: Keras model; None for other files.
    """

    shape: tuple[int | None, ...]
    layout: Layout
    inspection: Inspection | None
    card: Preprocessing | None
    model: keras.Model | None

    @property
    def example(self) -> tuple[int, ...] | None:
        """Shape of one example, channels last; None if some of its sizes are free."""
        sizes = channels_last(self.shape, self.layout)
        fixed = tuple(size for size in sizes if size is not None)
        return fixed if len(fixed) == len(sizes) else None


def lint_command(request: LintRequest, terminal: Terminal) -> None:
    """Run every check and print its outcome.

    Raises:
        InvalidInputError: no such file or data, or the file is not an image classifier.
        GateFailedError: a fault was found, or a check could not be judged.
    """
    opened = _open(request)
    dataset = open_dataset(request.data)
    contract, assumed = _contract(request, opened)
    dataset = _drawn(dataset, request)
    pixels = _pixels(dataset, contract, opened)
    session = _session(request, opened, contract)
    evidence, unjudged = None, ""
    answers: tuple[Answers, ...] = ()
    if session is not None and len(session.outputs) > 1:
        answers = answers_of(session, dataset, pixels, contract)
    elif session is not None:
        classes = session.predict(contract.normalize(pixels[:1])).shape[1]
        if is_classifier(contract):
            dataset, unjudged = matched(dataset, contract, classes)
        else:  # no class is right or wrong
            dataset = replace(dataset, labels=None, count=len(dataset), targets=())
            unjudged = f"a network for {contract.tasks.only.known} has no class to be right about"
        if not unjudged:
            _refuse_foreign_labels(dataset, classes)
        evidence = gather(session.predict, pixels, dataset.labels, contract)
        unjudged = unjudged or chance(evidence, classes)
    remarks = conversion_remarks(dataset)
    subject = Subject(
        path=request.model,
        shape=opened.shape,
        inspection=opened.inspection,
        contract=contract,
        pixels=pixels,
        labels=dataset.labels,
        evidence=evidence,
        scores=request.scores,
        unjudged=unjudged,
        isolation=request.isolation,
    )
    if answers:
        named = {a.name: a.seen_in(subject) for a in answers}
        main = next((a.name for a in answers if a.labels is not None), answers[0].name)
        faults = lint_outputs(named.pop(main), named)
    else:
        faults = lint(subject)
    for remark in remarks:
        terminal.note(f"{request.data}: {remark}")
    _show(request, faults, session.info if session else None, assumed, len(dataset), terminal)
    _refuse_faults(request.model.name, faults)


def _refuse_faults(name: str, faults: tuple[CheckedFault, ...]) -> None:
    wrong = [f.name for f in faults if f.outcome.state is State.FOUND]
    unknown = [f.name for f in faults if f.outcome.state is State.NOT_JUDGED]
    if wrong or unknown:
        parts = [", ".join(wrong)] if wrong else []
        parts += [f"{', '.join(unknown)} not judged"] if unknown else []
        raise GateFailedError(
            "a model passes every check of lint",
            received=f"{name} with {'; '.join(parts)}",
            remedy="follow the remedy below each of them",
        )


def _open(request: LintRequest) -> _Opened:
    path = request.model
    if not path.exists():
        raise InvalidInputError(
            "MODEL is an existing .tflite, .onnx or .keras",
            received=f"{path}, which does not exist",
            remedy="check the path",
        )
    if path.is_dir() or path.suffix in MODEL_SUFFIXES:
        model = load_keras_file(path, trust=request.isolation.trust)
        inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None)
        if len(inputs) != 1:
            raise not_one_input(path, len(inputs), len(outputs or []))
        shape = _input_shape(tuple(inputs[0].shape), path)
        return _Opened(shape, Layout.NHWC, None, None, model)
    target = target_of(path)
    if not request.isolation.trust:
        admit(path)
    inspection, card = target.inspect(path), target.read_card(path)
    if len(inspection.inputs) != 1:
        raise not_one_input(path, len(inspection.inputs), len(inspection.outputs))
    shape = _input_shape(inspection.inputs[0].shape, path)
    contract = None if card is None else card.preprocessing
    return _Opened(shape, file_layout(path, shape), inspection, contract, None)


def _input_shape(shape: tuple[int | None, ...], path: Path) -> tuple[int | None, ...]:
    if not 2 <= len(shape) <= 4:
        raise InvalidInputError(
            "the input of a network has one to three axes behind the batch, such as "
            "[batch, height, width, channels]",
            received=f"{path} with {[s if s is not None else 'free' for s in shape]}",
            remedy="export the classifying part alone",
        )
    return shape


def _contract(request: LintRequest, opened: _Opened) -> tuple[Preprocessing, bool]:
    """Contract, and whether it was assumed: [-1, 1] and stretched images."""
    stated = stated_contract(request.contract, own=opened.card, model_path=request.model)
    shape = opened.example or (None if stated is None else stated.shape)
    if shape is None:
        raise InvalidInputError(
            "a model with a free image size needs a contract that states one",
            received=f"{request.model} with {list(opened.shape)}",
            remedy="give --preprocessing FILE.toml with size, mean and std",
        )
    contract = resolve_contract(
        request.contract,
        own=stated or _assumed(shape, request.contract),
        model_path=request.model,
        shape=shape,
    )
    said = stated is not None or None not in (request.contract.mean, request.contract.std)
    return contract, not said and not contract.plain


def _assumed(shape: tuple[int, ...], request: ContractRequest) -> Preprocessing:
    """Contract of a file that states none: pixels in [-1, 1], or plain arrays as they are."""
    if request.plain or len(shape) != 3:
        return Preprocessing.of_arrays(shape)
    channels = request.channels or channels_of(shape[2])
    return Preprocessing(size=shape[:2], crop=Crop.STRETCH, channels=channels)


def _drawn(dataset: Dataset, request: LintRequest) -> Dataset:
    if request.limit >= len(dataset):
        return dataset
    order = np.random.default_rng(request.seed).permutation(len(dataset))
    return dataset.subset(np.sort(order[: request.limit]))


def _pixels(dataset: Dataset, contract: Preprocessing, opened: _Opened) -> np.ndarray:
    if opened.example is None and opened.model is None:
        return np.zeros((0, *contract.shape), np.uint8)
    return np.stack([converted(dataset, i, contract.pixels) for i in range(len(dataset))])


def _session(request: LintRequest, opened: _Opened, contract: Preprocessing) -> Session | None:
    """Session of the file; None if its size is free. A Keras model gets the contract's size."""
    if opened.model is not None:
        return KerasSession(opened.model if opened.example else _pinned(opened.model, contract))
    if opened.example is None:
        return None
    return open_foreign(runtime_for(request.model), request.model, 1, request.isolation)


def _pinned(model: keras.Model, contract: Preprocessing) -> keras.Model:
    import keras

    image = keras.Input(contract.shape)
    return keras.Model(image, model(image), name=model.name)


def _refuse_foreign_labels(dataset: Dataset, classes: int) -> None:
    highest = int(dataset.require_labels("lint").max())
    if highest > classes:  # label ``classes`` is a fault: labels from 1
        raise InvalidInputError(
            f"labels count the {classes} outputs from 0",
            received=f"label {highest} in {dataset.name}",
            remedy="give a dataset of the classes that the model was trained on",
        )


def _show(
    request: LintRequest,
    faults: tuple[CheckedFault, ...],
    runtime: RuntimeInfo | None,
    assumed: bool,
    images: int,
    terminal: Terminal,
) -> None:
    for fault in faults:
        outcome = fault.outcome
        terminal.say(f"{outcome.state.value:>12}  {fault.name}: {outcome.sentence}")
        if outcome.remedy:
            terminal.say(f"{'':>14}{outcome.remedy}")
    if assumed:
        terminal.say("no contract is stated: [-1, 1] and stretched images were assumed")
    kernels = "no image was run" if runtime is None else f"{runtime.runtime}, {runtime.kernels}"
    terminal.say(f"n = {images} images of {request.data}; {kernels}")
    terminal.result(
        {
            "file": str(request.model),
            "images": images if runtime else 0,
            "runtime": None if runtime is None else runtime.runtime,
            "kernels": None if runtime is None else runtime.kernels,
            "contract_assumed": assumed,
            "findings": sum(f.outcome.state is State.FOUND for f in faults),
            "not_judged": sum(f.outcome.state is State.NOT_JUDGED for f in faults),
            "checks": [fault.to_dict() for fault in faults],
        }
    )
