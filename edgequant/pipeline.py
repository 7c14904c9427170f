"""The flow on one screen: model -> contract -> calibration -> artifact -> measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.atomic import write_whole
from calibration_data.calibration_set import CalibrationSet
from calibration_data.contract import complete_labels, resolve_contract
from calibration_data.datasets.base import open_dataset
from calibration_data.errors import InvalidInputError
from calibration_data.overlap import refuse_shared_images
from calibration_data.preprocessing import Preprocessing
from calibration_data.splits import calibration_beside
from edgequant.artifacts import Artifact, data_digest, deliver, find_artifact, key_of, versions
from edgequant.requests import CalibrationRequest, QuantizeRequest
from edgequant.terminal import Terminal
from export.target import ExportRequest, export_targets
from models.loading import LoadedModel, load
from quantize.recipes import Recipe

MOST_SAMPLES = 1000
"""Calibration images drawn from a larger set unless the user asks for another number."""


@dataclass(frozen=True)
class Prepared:
    """A model with its contract and calibration images."""

    loaded: LoadedModel
    contract: Preprocessing
    calibration: CalibrationSet | None


def calibration_text(request: QuantizeRequest) -> str | None:
    """The DATA to calibrate on: as given, or the calibration split beside the evaluation data.

    Raises:
        InvalidInputError: a recipe needs calibration and there is no data for it.
    """
    if not any(recipe.needs_calibration for recipe in request.recipes):
        return request.calibration.data
    if request.calibration.data is not None:
        return request.calibration.data
    found = calibration_beside(request.measure.data) if request.measure is not None else None
    if found is None:
        needing = next(r.name for r in request.recipes if r.needs_calibration)
        raise InvalidInputError(
            f"{needing} measures ranges on representative images",
            received="no --calibration",
            remedy="give --calibration DATA, a folder of class folders or a registered name",
        )
    return found


def prepare(request: QuantizeRequest, calibration_data: str | None) -> Prepared:
    """Load the model, settle its contract and open its calibration images."""
    # The images first: a wrong split is refused before a second is spent on a network.
    dataset = None if calibration_data is None else open_dataset(calibration_data)
    loaded = load(request.model)
    contract = resolve_contract(
        request.contract,
        own=None if loaded.spec is None else loaded.spec.preprocessing,
        model_path=Path(request.model.reference) if request.model.is_file else None,
        size=loaded.size,
    )
    if dataset is None and request.measure is not None:
        contract = complete_labels(contract, loaded.classes, open_dataset(request.measure.data))
    else:
        contract = complete_labels(contract, loaded.classes, dataset)
    calibration = None
    if dataset is not None:
        asked = request.calibration
        samples = asked.samples
        if samples is None and len(dataset) > MOST_SAMPLES:
            samples = MOST_SAMPLES
        calibration = CalibrationSet.draw(dataset, contract, samples, asked.seed)
        if request.measure is not None:
            refuse_shared_images(calibration.dataset, open_dataset(request.measure.data))
        _refuse_non_finite_activations(loaded, calibration)
    return Prepared(loaded, contract, calibration)


def artifact_key(request: QuantizeRequest, recipe: Recipe, calibration_data: str | None) -> str:
    """A hash of everything that shapes an artifact, found without loading an SDK."""
    target = export_targets()[recipe.target]
    asked = replace(request.calibration, data=calibration_data)
    if not recipe.needs_calibration:
        asked = CalibrationRequest()
    contract_file = request.contract.file
    beside = Path(request.model.reference).with_suffix(".toml")
    return key_of(
        {
            "model": request.model.digest(),
            "contract": str(replace(request.contract, file=None)),
            "contract_file": data_digest(str(contract_file)) if contract_file else "",
            "contract_beside": data_digest(str(beside)) if request.model.is_file else "",
            "labels": data_digest(str(request.contract.labels)) if request.contract.labels else "",
            "recipe": recipe.to_dict(),
            "calibration": (str(asked), data_digest(asked.data)),
            "versions": versions(target.packages),
        }
    )


def artifact_path(request: QuantizeRequest, recipe: Recipe) -> Path:
    """Where the artifact of a recipe goes."""
    suffix = export_targets()[recipe.target].suffix
    return request.folder(recipe) / f"{request.model.name}-{recipe.name}{suffix}"


def write_artifact(
    request: QuantizeRequest,
    recipe: Recipe,
    prepared: Prepared,
    key: str,
    advance: Callable[[int], None],
) -> Artifact:
    """Export one recipe and deliver it with what goes with it."""
    target = export_targets()[recipe.target]
    calibration = prepared.calibration if recipe.needs_calibration else None
    export = ExportRequest(
        prepared.loaded.model,
        recipe,
        prepared.contract,
        None if calibration is None else lambda: _counted(calibration, advance),
        request.calibration.seed,
    )
    path = artifact_path(request, recipe)
    write_whole(path, lambda part: target.write(export, part))
    origin: dict[str, Any] = {
        "model": {"name": prepared.loaded.name, "sha256": request.model.digest()},
        "calibration": None
        if calibration is None
        else {
            "data": calibration.dataset.name,
            "images": len(calibration.dataset),
            "seed": request.calibration.seed,
        },
        "versions": versions(target.packages),
    }
    return deliver(path, recipe, key, prepared.contract, origin)


def quantize(
    request: QuantizeRequest, terminal: Terminal
) -> tuple[list[Artifact], Prepared | None]:
    """Write the artifacts of a request, except those that are there already.

    Returns:
        The artifacts, and the loaded model unless nothing was to be done.
    """
    data = calibration_text(request)
    keys = {recipe: artifact_key(request, recipe, data) for recipe in request.recipes}
    found = {
        recipe: None
        if request.force
        else find_artifact(artifact_path(request, recipe), recipe, key)
        for recipe, key in keys.items()
    }
    prepared: Prepared | None = None
    artifacts: list[Artifact] = []
    for recipe, key in keys.items():
        artifact = found[recipe]
        if artifact is None:
            if prepared is None:
                with terminal.progress(f"load {request.model.name}", None):
                    prepared = prepare(request, data)
            images = prepared.calibration
            total = len(images.dataset) if images is not None and recipe.needs_calibration else None
            with terminal.progress(recipe.name, total) as advance:
                artifact = write_artifact(request, recipe, prepared, key, advance)
        artifacts.append(artifact)
    return artifacts, prepared


def _counted(calibration: CalibrationSet, advance: Callable[[int], None]) -> Iterator[np.ndarray]:
    for images in calibration.batches():
        yield images
        advance(len(images))


def _refuse_non_finite_activations(loaded: LoadedModel, calibration: CalibrationSet) -> None:
    images = next(iter(calibration.batches(8)))
    scores = np.asarray(loaded.model(images, training=False))
    if not np.isfinite(scores).all():
        raise InvalidInputError(
            "the float model gives finite scores on calibration images",
            received=f"{loaded.name} with NaN or Inf in its output",
            remedy="check the weights, and that the preprocessing is the one it was trained with",
        )
