"""A file or model to evaluate: its contract, its outputs and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.contract import resolve_contract
from calibration_data.datasets.base import Dataset
from calibration_data.detection import DETECTIONS
from calibration_data.preprocessing import Preprocessing
from calibration_data.task_choice import Output
from edgequant.candidates import Candidate, file_candidate, model_candidate
from edgequant.loading import contract_of
from edgequant.measuring import check_limit, open_measured
from edgequant.outputs import (
    check_labels_and_limit,
    file_outputs,
    model_outputs,
    settled_contract,
    stated_names,
)
from edgequant.requests import EvaluateRequest
from evaluation.session import runtime_for
from evaluation.sessions.tensor_io import InputTensor
from export.foreign import admit
from export.target import target_of
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from models.loading.files import several_inputs
from models.loading.request import ModelRequest, load
from network.inspection import Inspection

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Evaluated:
    """What ``edgequant evaluate`` measures.

    Attributes:
        candidate: the file or model.
        reference: what it is compared with; None for nothing.
        dataset: images.
        contract: contract with the tasks of the outputs.
    """

    candidate: Candidate
    reference: Candidate | None
    dataset: Dataset
    contract: Preprocessing

    @property
    def everything(self) -> Sequence[Candidate]:
        """The networks, the reference first."""
        return [*([self.reference] if self.reference else []), self.candidate]


def open_evaluated(request: EvaluateRequest) -> Evaluated:
    """Open all that a request names, and check that it fits together.

    Raises:
        InvalidInputError: no such file, one that cannot be measured, or labels that do not fit.
    """
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
    return Evaluated(candidate, reference, dataset, contract)


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
        return contract, model_candidate(loaded.name, lambda: loaded.model), outputs
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
    return model_candidate(reference.name, lambda: _model(reference, contract))


def _model(reference: ModelRequest, contract: Preprocessing) -> keras.Model:
    """Model of a reference.

    Raises:
        InvalidInputError: as ``load``; an input of another shape.
    """
    loaded = load(reference)
    if loaded.input_shape != contract.shape:
        raise InvalidInputError(
            "reference and artifact take inputs of one shape",
            received=f"{list(loaded.input_shape)} and {list(contract.shape)}",
            remedy="give the model that the artifact was made from",
        )
    return loaded.model
