"""Artifacts of a request: each is looked up by its key, or planned, written and delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.contract import contract_values
from edgequant.artifacts import (
    Artifact,
    Making,
    check_folder,
    deliver,
    find_artifact,
    key_of,
    versions,
)
from edgequant.cli.terminal import Terminal
from edgequant.digests import Digests, plan_digest, record_of, remark_on
from edgequant.loading import graph_read, own_contract
from edgequant.origin import origin_of
from edgequant.preparing import Inputs, Prepared, prepare_shown
from edgequant.requests import QuantizeRequest
from export.target import ExportRequest, export_targets
from foundation.digests import sha256_of
from foundation.scratch import require_writable
from quantize.islands import note
from quantize.plans.plan import PlannedNetwork
from quantize.recipes import Recipe
from quantize.settings import Optimization

if TYPE_CHECKING:
    from edgequant.narrowing import Narrowing
    from edgequant.repair.repairer import Repair, Repairer


def artifact_key(request: QuantizeRequest, recipe: Recipe, inputs: Inputs) -> str:
    """Hash of everything that an artifact depends on, computed without loading an SDK."""
    own, model_path = own_contract(request.model)
    target = export_targets()[recipe.target]
    calibration: tuple[str, str] | None = None
    if recipe.takes_calibration and inputs.calibration is not None:
        asked = replace(request.calibration, data=inputs.calibration_text)
        calibration = (str(asked), inputs.calibration_digest)
    return key_of(
        {
            "model": request.model_digest,
            "contract": contract_values(request.contract, own=own, model_path=model_path),
            "class_names": () if inputs.named is None else inputs.named.class_names,
            "told": inputs.told,
            "recipe": recipe.to_dict(),
            "calibration": calibration,
            "repair": (request.max_drop, request.most_float, request.repair_with.value)
            if _repairs(request, recipe)
            else None,
            "float_share": request.float_share,
            **({} if request.max_size is None else {"max_size": request.max_size}),
            "qat": asdict(request.qat) if _is_trained(recipe) else None,
            "versions": versions(target.packages),
        }
    )


def artifact_path(request: QuantizeRequest, recipe: Recipe) -> Path:
    """Path of the artifact of a recipe."""
    suffix = export_targets()[recipe.target].suffix
    return request.folder(recipe) / f"{request.model.name}-{recipe.name}{suffix}"


def write_artifact(
    request: QuantizeRequest,
    recipe: Recipe,
    prepared: Prepared,
    key: str,
    advance: Callable[[int], None],
    repair: Repair | None = None,
    narrowing: Narrowing | None = None,
) -> Artifact:
    """Export one recipe, as repaired or narrowed, and deliver it with its companions."""
    if repair is not None:
        recipe = repair.applied(recipe)
    if narrowing is not None:
        recipe = narrowing.recipe
    if recipe.takes_calibration:
        recipe = prepared.planner.completed(recipe)
    target = export_targets()[recipe.target]
    reads = recipe.needs_calibration or recipe.planned
    calibration = prepared.calibration if reads else None
    planned = prepared.planner.planned(recipe, advance) if recipe.planned else None
    read = graph_read(prepared.loaded) is not None
    export = ExportRequest(
        None if planned is not None and read else prepared.loaded.model,
        recipe,
        prepared.contract,
        None if calibration is None else lambda: _images(prepared, planned, advance),
        request.calibration.seed,
        planned,
        lambda: prepared.planner.written_from(recipe),
        request.float_share,
    )
    origin = origin_of(request, recipe, prepared, planned, repair)
    origin["remarks"] += [] if narrowing is None else [narrowing.remark()]
    made = Making(
        artifact_path(request, recipe),
        recipe,
        key,
        prepared.contract,
        origin,
        None if planned is None else planned.plan,
        request.force,
    )

    def write(part: Path) -> None:
        target.write(export, part)
        if planned is None and recipe.needs_calibration and target.found_in_float is not None:
            origin["remarks"] += note(target.found_in_float(part))
        differs = _difference(request, recipe, prepared, part, planned)
        origin["remarks"] += [] if differs is None else [differs]

    return deliver(made, write)


def quantize(
    request: QuantizeRequest, inputs: Inputs, terminal: Terminal
) -> tuple[list[Artifact], Prepared | None]:
    """Write the artifacts of a request, except those that are up to date.

    Returns:
        Artifacts without those of recipes that cannot hold the network (``raise_refused``), and
        the loaded model; None if all artifacts are up to date.

    Raises:
        InvalidInputError: among others, the output folder holds a folder or pipe in the way; this
            is checked before anything is made.
    """
    for recipe in request.recipes:
        path = artifact_path(request, recipe)
        for kept in check_folder(path.parent, path.stem, path.suffix):
            terminal.note(f"a foreign file was in the way and was renamed to {kept}")
    prepared: Prepared | None = None
    artifacts: list[Artifact] = []
    repairer: Repairer | None = None
    for recipe in request.recipes:
        key = artifact_key(request, recipe, inputs)
        path = artifact_path(request, recipe)
        artifact = None if request.force else find_artifact(path, recipe, key)
        if artifact is None:
            prepared = prepared or _prepared_to_write(request, inputs, terminal)
            if recipe.name in prepared.refused(request):
                continue
            require_writable(path.parent)
            images = prepared.calibration if recipe.takes_calibration else None
            total = None if images is None else len(images.dataset)
            repair: Repair | None = None
            if _repairs(request, recipe):
                repairer = repairer or _repairer(request, prepared)
                with terminal.progress(f"{recipe.name} on held-out images", None) as advance:
                    repair = repairer.repaired(recipe, advance)
            narrowing = _narrowing(request, recipe, prepared, terminal)
            if total is not None and _is_trained(recipe):
                total *= 1 + request.qat.epochs
            with terminal.progress(recipe.name, total) as advance:
                artifact = write_artifact(
                    request, recipe, prepared, key, advance, repair, narrowing
                )
        artifacts.append(artifact)
    return artifacts, prepared


def _difference(
    request: QuantizeRequest,
    recipe: Recipe,
    prepared: Prepared,
    path: Path,
    planned: PlannedNetwork | None,
) -> str | None:
    """Remark if a file of a shipped network differs from the recorded one, else None."""
    if planned is None or prepared.calibration is None:
        return None
    images = prepared.calibration.dataset.name
    if record_of(request, recipe, prepared.contract, images) is None:
        return None
    made = Digests(plan_digest(planned.plan), sha256_of(path))
    return remark_on(request, recipe, prepared.contract, images, made)


def _prepared_to_write(request: QuantizeRequest, inputs: Inputs, terminal: Terminal) -> Prepared:
    """``prepare_shown``; names what a target cannot write, before the first plan is made.

    Raises:
        UnsupportedError: none of the files can be written.
    """
    prepared = prepare_shown(request, inputs, terminal)
    if prepared.runner is not None:
        prepared.planner.require_passes(request.recipes)
    refused = prepared.refused(request)
    if request.max_size is not None:
        from edgequant.narrowing import require_fitting

        for recipe in request.recipes:
            if recipe.name not in refused:
                require_fitting(prepared.planner, recipe, request.max_size)
    if len(refused) == len(request.recipes):
        raise next(iter(refused.values()))
    for name, error in refused.items():
        terminal.note(f"{name} is left out: {error}")
    return prepared


def raise_refused(request: QuantizeRequest, prepared: Prepared | None) -> None:
    """End a command whose other files were written.

    Raises:
        UnsupportedError: the first recipe that cannot hold the network.
    """
    refused = {} if prepared is None else prepared.refused(request)
    if refused:
        raise next(iter(refused.values()))


def _narrowing(
    request: QuantizeRequest, recipe: Recipe, prepared: Prepared, terminal: Terminal
) -> Narrowing | None:
    """Bits that ``--max-size`` chooses; None without it."""
    if request.max_size is None:
        return None
    from edgequant.narrowing import narrowed_to

    with terminal.progress(f"{recipe.name}, bits of each weight", None) as advance:
        return narrowed_to(prepared.planner, recipe, prepared.outputs, request.max_size, advance)


def _repairs(request: QuantizeRequest, recipe: Recipe) -> bool:
    return request.repairs and recipe.plans_integers


def _repairer(request: QuantizeRequest, prepared: Prepared) -> Repairer:
    from edgequant.repair.repairer import Limits, Repairer

    assert request.max_drop is not None
    assert request.most_float is not None
    limits = Limits(request.max_drop, request.most_float, request.repair_with)
    return Repairer(prepared.planner, prepared.outputs, limits)


def _is_trained(recipe: Recipe) -> bool:
    return recipe.plans_integers and recipe.settings.optimization is Optimization.QAT


def _images(
    prepared: Prepared, planned: PlannedNetwork | None, advance: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """Images that a target reads: all to calibrate on, or with a plan a few to check the file."""
    if planned is not None:
        yield prepared.tried
        return
    assert prepared.calibration is not None
    for images in prepared.calibration.batches():
        yield images
        advance(len(images))
