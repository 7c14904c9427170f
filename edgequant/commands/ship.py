"""``edgequant ship``: one folder and zip with a file for every platform, proven by its runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.calibration_set import CalibrationSet
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import converted
from edgequant.artifacts import (
    SUMS,
    data_digest,
    key_of,
    read_json,
    versions,
    write_json,
    write_text,
)
from edgequant.cli.terminal import Terminal
from edgequant.pipeline import (
    Inputs,
    Prepared,
    artifact_key,
    artifact_path,
    open_inputs,
    prepare_shown,
    write_artifact,
)
from edgequant.requests import QuantizeRequest
from edgequant.ship.accuracy import accuracy
from edgequant.ship.bundle import (
    MANIFEST,
    changed_files,
    is_packed,
    pack,
    recover,
    refuse_foreign_beside,
    refuse_occupied,
    write_bundle,
    zip_path,
)
from edgequant.ship.docs import model_card, shipping_guide
from edgequant.ship.gates import Gates, check_applicable, check_gates
from edgequant.ship.pages import write_ship_page
from edgequant.ship.proving import Proven, prove, show_proofs
from evaluation.machine import PACKAGES
from evaluation.vectors import make_vectors
from export.bundles.labels import check_labels, write_labels
from export.bundles.target import (
    BundleRequest,
    ContractNeed,
    ShipFile,
    ShipTarget,
    Vectors,
    ship_target,
)
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.scratch import require_writable
from models.rewriting.fold_contract import fold, is_one_pair_rgb

_PROBABILITY_TOLERANCE = 1e-3
_RUNTIMES = ("mediapipe", "tflite_micro", "ethosu")
"""Modules of the platforms' runtimes: with one more installed, a bundle can be proven further."""


@dataclass(frozen=True)
class ShipRequest:
    """Make a bundle.

    Attributes:
        base: model, contract and calibration; its recipes are chosen by the targets.
        targets: names, in the order of the guide.
        output: folder of the bundle.
        data: DATA that the test vectors are drawn from; None for the calibration images.
        vectors: how many images.
        accelerators: configurations of Ethos-U.
        gates: limits.
        runtimes: where a runtime is, by name, when it is not in this environment.
        force: replace a bundle that is there.
    """

    base: QuantizeRequest
    targets: tuple[str, ...]
    output: Path
    data: str | None
    vectors: int
    accelerators: tuple[str, ...]
    gates: Gates
    runtimes: Mapping[str, Path]
    force: bool = False


@dataclass(frozen=True)
class _Made:
    """One model file: path, contract of its tensor, what was folded, and its record."""

    path: Path
    contract: Preprocessing
    how: str
    record: dict[str, Any]


def ship_command(request: ShipRequest, terminal: Terminal) -> None:
    """Write the bundle, prove it, and check the gates."""
    targets = [ship_target(name) for name in dict.fromkeys(request.targets)]
    check_applicable(request.gates, request.targets)
    recipes = tuple(file.recipe for target in targets for file in target.files)
    base = replace(request.base, recipes=recipes)
    inputs = open_inputs(base)
    key = _key(request, base, inputs)
    recover(request.output)
    if not request.force and _is_current(request.output, key):
        refuse_foreign_beside(request.output)
        if not is_packed(request.output):
            pack(request.output, zip_path(request.output))
        terminal.say("unchanged since the last run:")
    else:
        refuse_occupied(request.output, force=request.force)
        prepared = prepare_shown(base, inputs, terminal)
        check_labels(prepared.contract, prepared.loaded.classes)
        for target in targets:
            target.check(prepared.contract)
        require_writable(request.output.parent)
        builder = _Builder(request, base, prepared, inputs, key, terminal)
        write_bundle(request.output, lambda folder: builder.build(targets, folder))
        terminal.say("written:")
    manifest = read_json(request.output / MANIFEST)
    terminal.say(f"  {request.output}\n  {zip_path(request.output)}")
    digests = {
        "zip": sha256_of(zip_path(request.output)),
        "sums": sha256_of(request.output / SUMS),
    }
    terminal.say(
        f"sha256, for verify --sha256\n  {digests['zip']}  {zip_path(request.output).name}\n"
        f"  {digests['sums']}  {request.output.name}/{SUMS}"
    )
    path = write_ship_page(request.output, manifest, request.gates)
    terminal.say(f"page  {path}")
    for name, values in manifest["targets"].items():
        show_proofs(name, [Proven.from_dict(proof) for proof in values["proofs"]], terminal)
    terminal.result(
        {
            "bundle": str(request.output),
            "zip": str(zip_path(request.output)),
            "page": str(path),
            "sha256": digests,
            **manifest,
        }
    )
    check_gates(request.gates, request.output, manifest)


def _key(request: ShipRequest, base: QuantizeRequest, inputs: Inputs) -> str:
    return key_of(
        {
            "artifacts": [artifact_key(base, recipe, inputs) for recipe in base.recipes],
            "targets": request.targets,
            "vectors": (request.data, data_digest(request.data), request.vectors),
            "accelerators": request.accelerators,
            "runtimes": {name: str(path) for name, path in request.runtimes.items()},
            "versions": versions(PACKAGES),
            "installed": [name for name in _RUNTIMES if find_spec(name)],
        }
    )


def _is_current(folder: Path, key: str) -> bool:
    return read_json(folder / MANIFEST).get("key") == key and not changed_files(folder)


class _Builder:
    """Fills the folder of a bundle; files that targets share are exported once."""

    def __init__(
        self,
        request: ShipRequest,
        base: QuantizeRequest,
        prepared: Prepared,
        inputs: Inputs,
        key: str,
        terminal: Terminal,
    ) -> None:
        self._request = request
        self._base = base
        self._prepared = prepared
        self._inputs = inputs
        self._key = key
        self._terminal = terminal
        self._made: dict[tuple[str, str, ContractNeed], _Made] = {}
        self._folded: Prepared | None = None
        self._how = ""

    def build(self, targets: list[ShipTarget], folder: Path) -> None:
        """Write every target, the guide, the card and the manifest."""
        contract = self._prepared.contract
        pixels = self._pixels()
        write_labels(contract, folder)
        shown, sections = {}, []
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            files: dict[str, tuple[Path, Preprocessing]] = {}
            for target in targets:
                bundle, made = self._bundle(target, pixels, Path(scratch))
                files |= {
                    f"{target.name}/{role}": (one.path, one.contract) for role, one in made.items()
                }
                place = folder / target.name
                place.mkdir()
                values, section = self._deliver(target, bundle, made, place)
                shown[target.name] = values
                sections.append(section)
            measured = self._accuracy(files)
        manifest = {
            "bundle": 1,
            "model": self._prepared.loaded.name,
            "model_sha256": self._base.model.digest(),
            "preprocessing": contract.to_dict(),
            "vectors": {"data": self._source().name, "images": len(pixels)},
            "versions": versions(PACKAGES),
            "key": self._key,
            "accuracy": measured,
            "targets": shown,
        }
        write_text(folder / "SHIPPING.md", shipping_guide(manifest, sections))
        write_text(folder / "MODEL_CARD.md", model_card(manifest, folder))
        write_json(folder / MANIFEST, manifest)

    def _deliver(
        self, target: ShipTarget, bundle: BundleRequest, made: dict[str, _Made], place: Path
    ) -> tuple[dict[str, Any], str]:
        """Write one target and prove it: what the manifest says of it, and its guide."""
        with self._terminal.progress(target.name, None):
            target.write(bundle, place)
            with tempfile.TemporaryDirectory(dir=place.parent.parent) as scratch:
                runtimes = self._request.runtimes
                measured = prove(target.measurements, place, Path(scratch), runtimes)
                figures = {p.name: p.figures for p in measured if p.figures}
                target.finish(bundle, place, figures)
            later = tuple(name for name in target.proofs if name not in target.measurements)
            proofs = [*measured, *prove(later, place, None, self._request.runtimes)]
        values = {
            "title": target.title,
            "extra": target.extra,
            "files": {
                role: {
                    "recipe": one.record["recipe"],
                    "calibration": one.record["calibration"],
                    "preprocessing": one.contract.to_dict(),
                    "folded": one.how,
                }
                for role, one in made.items()
            },
            "proofs": [proof.to_dict() for proof in proofs],
            "budgets": [
                {"what": b.what, "flash": b.flash, "sram": b.sram}
                for b in target.budgets(place, figures)
            ],
        }
        return values, target.guide(bundle, place, figures)

    def _bundle(
        self, target: ShipTarget, pixels: np.ndarray, scratch: Path
    ) -> tuple[BundleRequest, dict[str, _Made]]:
        made: dict[str, _Made] = {}
        vectors: dict[str, Vectors] = {}
        for file in target.files:
            one = self._file(file, scratch)
            made[file.role] = one
            vectors[file.role] = make_vectors(one.path, pixels, one.contract, file.runtime)
        request = BundleRequest(
            name=self._prepared.loaded.name,
            contract=self._prepared.contract,
            contracts={role: one.contract for role, one in made.items()},
            files={role: one.path for role, one in made.items()},
            vectors=vectors,
            pixels=pixels,
            accelerators=self._request.accelerators,
            probabilities=self._gives_probabilities(pixels),
        )
        return request, made

    def _file(self, file: ShipFile, scratch: Path) -> _Made:
        """Export a file, dressed for its platform, unless another target had it made."""
        key = (file.recipe.name, file.recipe.io.value, file.need)
        if key not in self._made:
            prepared, how = self._fitting(file.need)
            folder = scratch / f"{len(self._made)}"
            request = replace(self._base, recipes=(file.recipe,), output=folder)
            images = prepared.calibration if file.recipe.needs_calibration else None
            total = None if images is None else len(images.dataset)
            with self._terminal.progress(file.recipe.name, total) as advance:
                key_text = artifact_key(request, file.recipe, self._inputs)
                artifact = write_artifact(request, file.recipe, prepared, key_text, advance)
            path = artifact_path(request, file.recipe)
            if file.dress is not None:
                path.write_bytes(file.dress(path, prepared.contract, prepared.loaded.name))
            record = read_json(artifact.beside(".recipe.json"))
            self._made[key] = _Made(path, prepared.contract, how, record)
        return self._made[key]

    def _fitting(self, need: ContractNeed) -> tuple[Prepared, str]:
        """The model with a contract that the platform can express, and what was folded."""
        prepared = self._prepared
        if need is ContractNeed.ANY or is_one_pair_rgb(prepared.contract):
            return prepared, ""
        if self._folded is None:
            folded = fold(prepared.loaded.model, prepared.contract)
            calibration = prepared.calibration
            if calibration is not None:
                calibration = CalibrationSet(calibration.dataset, folded.contract)
            loaded = replace(prepared.loaded, model=folded.model)
            self._folded = Prepared(loaded, folded.contract, calibration)
            self._how = folded.how
        return self._folded, self._how

    def _accuracy(self, files: dict[str, tuple[Path, Preprocessing]]) -> dict[str, Any]:
        """Measured on --data, if that was given: the calibration images are no measure."""
        if self._request.data is None:
            return {"reason": "no --data was given"}
        seed = self._base.calibration.seed
        with self._terminal.progress("accuracy", None):
            return accuracy(self._prepared, files, self._source(), seed)

    def _source(self) -> Dataset:
        calibration = self._inputs.calibration
        if self._request.data is not None:
            return open_dataset(self._request.data)
        if calibration is None:
            raise InvalidInputError(
                "test vectors are made from images",
                received="neither --data nor --calibration",
                remedy="give --data DATA",
            )
        return calibration

    def _pixels(self) -> np.ndarray:
        """uint8 ``[n, height, width, 3]``: images drawn at random, resized and cropped."""
        dataset = self._source()
        rng = np.random.default_rng(self._base.calibration.seed)
        chosen = rng.permutation(len(dataset))[: self._request.vectors]
        convert = self._prepared.contract.pixels
        return np.stack([converted(dataset, int(i), convert) for i in chosen])

    def _gives_probabilities(self, pixels: np.ndarray) -> bool:
        images = self._prepared.contract.normalize(pixels)
        scores = np.asarray(self._prepared.loaded.model(images, training=False))
        sums = np.abs(scores.sum(axis=1) - 1).max()
        return bool(scores.min() >= 0 and sums < _PROBABILITY_TOLERANCE)
