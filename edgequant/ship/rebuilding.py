"""A bundle written again from its data by this version of edgequant, and compared with it.

Models, compiled models and test vectors are data: they are copied, and read by parsers. All other
files (sources, headers, guides, reports) are generated again and compared byte for byte, so that
nothing that is compiled or run comes from the bundle.
"""

from __future__ import annotations

import filecmp
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgequant.artifacts import SUMS
from edgequant.ship.bundle import MANIFEST
from edgequant.ship.docs import model_card, shipping_guide
from edgequant.ship.manifest import Manifest, TargetEntry
from edgequant.ship.survey import survey
from export.bundles.labels import LABELS, labels_text
from export.bundles.target import (
    VECTORS,
    BundleRequest,
    ContractNeed,
    ShipFile,
    Vectors,
    read_vectors,
)
from export.target import target_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.foreign import printable, reading, require_regular
from quantize.floating import floating_settings
from quantize.recipes import Recipe
from quantize.settings import FLOATING, Postprocess

_RULE = "a bundle has the files of its targets, and they can be read"
_REMEDY = "download the bundle again from whoever made it, or write it again"
_GUIDE, _CARD = "SHIPPING.md", "MODEL_CARD.md"
_SHOWN = 3
_DETECTING = (Postprocess.TFLITE, Postprocess.ONNX)


@dataclass(frozen=True)
class Rebuilt:
    """Folder that is written from the data of a bundle.

    Attributes:
        source: folder of the bundle.
        place: folder that is written.
        manifest: manifest of the bundle.
        guides: sections of the guide for outputs that are logits, and for probabilities.
    """

    source: Path
    place: Path
    manifest: Manifest
    guides: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))


def rebuild(source: Path, place: Path, manifest: Manifest) -> None:
    """Write a bundle again from its data, and refuse files that differ or belong to no target.

    Args:
        source: folder of the bundle, which holds regular files alone.
        place: empty folder to write to; gets a folder for each target.
        manifest: manifest of the bundle.

    Raises:
        InvalidInputError: a file of a target is missing or damaged.
        GateFailedError: a file is not what edgequant writes from this data.
    """
    rebuilt = Rebuilt(source, place, manifest)
    for name, entry in manifest.targets.items():
        with reading(source / name, _RULE, _REMEDY):
            _rebuild_target(rebuilt, name, entry)
    with reading(source / MANIFEST, _RULE, _REMEDY):
        if manifest.contract.labels:
            (place / LABELS).write_bytes(labels_text(manifest.contract))
        shutil.copyfile(source / MANIFEST, place / MANIFEST)
        (place / _CARD).write_text(model_card(manifest.values, place), encoding="utf-8")
        guides = [shipping_guide(manifest.values, sections) for sections in rebuilt.guides]
        (place / _GUIDE).write_text(guides[0], encoding="utf-8")
        if (source / _GUIDE).is_file() and (source / _GUIDE).read_bytes() == guides[1].encode():
            (place / _GUIDE).write_text(guides[1], encoding="utf-8")
        _compare(source, place)


def _rebuild_target(rebuilt: Rebuilt, folder: str, entry: TargetEntry) -> None:
    """Write the folder of one target, and its sections of the guides."""
    source, place, target = rebuilt.source / folder, rebuilt.place / folder, entry.target
    manifest = rebuilt.manifest
    place.mkdir()
    request = _request(rebuilt, source, entry)
    data = target.data(request, entry.figures)
    for name in data:
        require_regular(source / name, _RULE, _REMEDY)
        shutil.copyfile(source / name, place / name)
    for file in entry.files:
        _check_card(place / request.files[file.role].name, file, entry, manifest)
    for name, content in target.rebuild(request, source, entry.figures).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    for role, vectors in request.vectors.items():
        vectors.write(place / VECTORS, role)
    for probable, sections in enumerate(rebuilt.guides):
        asked = _request(rebuilt, place, entry, probabilities=bool(probable))
        sections.append(target.guide(asked, place, entry.figures))


def _request(
    rebuilt: Rebuilt, folder: Path, entry: TargetEntry, *, probabilities: bool = False
) -> BundleRequest:
    """Values that a target was written from, as its folder and the manifest state them."""
    manifest, target = rebuilt.manifest, entry.target
    vectors = {file.role: _vectors(folder, file, manifest) for file in entry.files}
    request = BundleRequest(
        name=manifest.model,
        contract=manifest.contract,
        contracts=entry.contracts,
        files={},
        vectors=vectors,
        pixels=np.zeros((0, *manifest.contract.shape), np.uint8),
        probabilities=probabilities,
    )
    names = target.data(request, entry.figures)
    files = {file.role: folder / name for file, name in zip(entry.files, names, strict=False)}
    for path in files.values():
        require_regular(path, _RULE, _REMEDY)
    return BundleRequest(**{**vars(request), "files": files})


def _check_card(path: Path, file: ShipFile, entry: TargetEntry, manifest: Manifest) -> None:
    """Refuse a model whose card has another contract or recipe than the manifest."""
    card = target_of(path).read_card(path)
    stated = entry.contracts[file.role]
    contracts = [stated, manifest.contract] if file.need is ContractNeed.ANY else [stated]
    if (
        card is None
        or _as_asked(card.recipe) not in _written_as(file.recipe)
        or any(card.preprocessing.to_dict() != contract.to_dict() for contract in contracts)
    ):  # as plain values, since a card has the outputs in alphabetical order
        raise GateFailedError(
            "each model of a bundle holds the contract and the recipe that the manifest states",
            received=f"{path.name} with another card" if card else f"{path.name} without a card",
            remedy="find out who changed it, or write the bundle again with this version",
        )


def _as_asked(recipe: Recipe) -> Recipe:
    """Recipe of a card without the operators that a network leaves in float32."""
    return replace(recipe, settings=replace(recipe.settings, float_ops=()))


def _written_as(recipe: Recipe) -> tuple[Recipe, ...]:
    """What a card can say of a recipe: float files may have weights of the engine."""
    if recipe.precision not in FLOATING:
        return (recipe,)
    return recipe, replace(recipe, settings=floating_settings(recipe))


def _vectors(folder: Path, file: ShipFile, manifest: Manifest) -> Vectors:
    """Test vectors of a file; their shapes and kernels must be those of the manifest."""
    vectors = read_vectors(folder / VECTORS, file.role)
    detector, inside = manifest.contract.detector, file.recipe.postprocess in _DETECTING
    most = detector.most if detector is not None and inside else 0
    if (vectors.detections, vectors.masks) != (most, file.masks):
        raise InvalidInputError(
            f"test vectors of {file.role} hold what its file gives",
            received=f"detections: {vectors.detections}, masks: {vectors.masks}",
            remedy=_REMEDY,
        )
    numbers = len(manifest.contract.labels) if vectors.classes else vectors.outputs.shape[1]
    expected = ((manifest.images, *manifest.contract.shape), (manifest.images, numbers))
    if (vectors.inputs.shape, vectors.outputs.shape) != expected or (
        vectors.kernels != file.runtime
    ):
        raise InvalidInputError(
            f"test vectors of {file.role} are {expected[0]} to {expected[1]} by {file.runtime}",
            received=f"{vectors.inputs.shape} to {vectors.outputs.shape} by {vectors.kernels}",
            remedy=_REMEDY,
        )
    return vectors


def _compare(source: Path, place: Path) -> None:
    """Refuse files of a bundle that differ from the files written again."""
    there, ours = set(survey(source)) - {SUMS}, set(survey(place))
    problems = [f"{name} is missing" for name in ours - there]
    problems += [f"{printable(name)} belongs to no target" for name in there - ours]
    problems += [
        f"{name} differs"
        for name in there & ours
        if not filecmp.cmp(source / name, place / name, shallow=False)
    ]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise GateFailedError(
            "every file of a bundle except models and vectors is what this version of edgequant "
            "writes from them",
            received="; ".join(sorted(problems)[:_SHOWN]) + more,
            remedy="find out who changed it, or write the bundle again with this version",
        )
