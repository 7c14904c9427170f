"""Folder of a bundle: every target with its proofs, then guide, model card and manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import converted
from calibration_data.task import Task
from edgequant.artifacts import versions, write_json, write_text
from edgequant.cli.terminal import Terminal
from edgequant.loading import float_answers
from edgequant.preparing import Inputs, Prepared
from edgequant.ship.accuracy import accuracy
from edgequant.ship.bundle import MANIFEST
from edgequant.ship.contents import BundleContents, FileContents, TargetContents
from edgequant.ship.docs import model_card, shipping_guide
from edgequant.ship.exporting import Exported, Exporter
from edgequant.ship.proving import prove
from edgequant.ship.request import ShipRequest
from evaluation.machine import PACKAGES
from evaluation.vectors import make_vectors
from export.bundles.labels import write_labels
from export.bundles.target import BundleRequest, ShipTarget, is_classifier, is_yes_or_no
from foundation.errors import InvalidInputError

_PROBABILITY_TOLERANCE = 1e-3
"""Distance from 1 that a sum of probabilities may have."""


@dataclass
class Builder:
    """Fills the folder of a bundle.

    Attributes:
        request: bundle that was asked for; its base names the recipes of all targets.
        prepared: model with its contract and calibration images.
        inputs: images of the request.
        key: hash of everything that the bundle is made from.
        terminal: shows progress.
    """

    request: ShipRequest
    prepared: Prepared
    inputs: Inputs
    key: str
    terminal: Terminal

    def build(self, targets: list[ShipTarget], folder: Path) -> None:
        """Write every target, the guide, the card and the manifest into an empty folder."""
        if self.prepared.contract.labels:
            write_labels(self.prepared.contract, folder)
        contents: dict[str, TargetContents] = {}
        guide: list[str] = []
        files: dict[str, tuple[Path, Preprocessing]] = {}
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            base = self.request.base
            exporter = Exporter(base, self.prepared, self.inputs, Path(scratch), self.terminal)
            contract = self.prepared.contract
            for target in targets:
                exported = {file.role: exporter.export(file) for file in target.files_of(contract)}
                for role, file in exported.items():
                    files[f"{target.name}/{role}"] = (file.path, file.contract)
                contents[target.name], section = self._deliver(target, exported, folder)
                guide.append(section)
            figures = self._accuracy(files)
        manifest = self._contents(contents, figures).to_dict()
        write_text(folder / "SHIPPING.md", shipping_guide(manifest, guide))
        write_text(folder / "MODEL_CARD.md", model_card(manifest, folder))
        write_json(folder / MANIFEST, manifest)

    def _contents(
        self, targets: Mapping[str, TargetContents], figures: Mapping[str, Any]
    ) -> BundleContents:
        return BundleContents(
            model=self.prepared.loaded.name,
            model_sha256=self.request.base.model.digest(),
            preprocessing=self.prepared.contract,
            vectors_data=self._source.name,
            vectors_images=len(self._pixels),
            versions=versions(PACKAGES),
            key=self.key,
            accuracy=figures,
            targets=targets,
        )

    def _deliver(
        self, target: ShipTarget, exported: Mapping[str, Exported], folder: Path
    ) -> tuple[TargetContents, str]:
        """Write the folder of a target and prove it: its contents, and its section of the guide."""
        bundle = self._bundle_request(target, exported)
        target_folder = folder / target.name
        target_folder.mkdir()
        runtimes = self.request.runtimes
        with self.terminal.progress(target.name, None):
            target.write(bundle, target_folder)
            # Figures may name files of the measurements, which finish() reads.
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                measured = prove(target.measurements, target_folder, Path(scratch), runtimes)
                figures = {proven.name: proven.figures for proven in measured if proven.figures}
                target.finish(bundle, target_folder, figures)
            later = tuple(name for name in target.proofs if name not in target.measurements)
            proofs = [*measured, *prove(later, target_folder, None, runtimes)]
        contents = TargetContents(
            title=target.title,
            extra=target.extra,
            files={role: _file_contents(file) for role, file in exported.items()},
            proofs=tuple(proofs),
            budgets=tuple(target.budgets(target_folder, figures)),
        )
        return contents, target.guide(bundle, target_folder, figures)

    def _bundle_request(
        self, target: ShipTarget, exported: Mapping[str, Exported]
    ) -> BundleRequest:
        """Values that a target is written from, test vectors of each file included."""
        vectors = {}
        for file in target.files_of(self.prepared.contract):
            model = exported[file.role]
            vectors[file.role] = make_vectors(
                model.path, self._pixels, model.contract, file.runtime, masks=file.masks
            )
        return BundleRequest(
            name=self.prepared.loaded.name,
            contract=self.prepared.contract,
            contracts={role: file.contract for role, file in exported.items()},
            files={role: file.path for role, file in exported.items()},
            vectors=vectors,
            pixels=self._pixels,
            accelerators=self.request.accelerators,
            probabilities=self._gives_probabilities,
            prefix=self.request.prefix,
            patches=self.request.patches,
        )

    def _accuracy(self, files: dict[str, tuple[Path, Preprocessing]]) -> dict[str, Any]:
        """Figures on --data; a reason without it, since calibration images measure nothing."""
        if self.request.data is None:
            return {"reason": "no --data was given"}
        with self.terminal.progress("accuracy", None):
            return accuracy(self.prepared, files, self._source, self._seed)

    @property
    def _seed(self) -> int:
        return self.request.base.calibration.seed

    @cached_property
    def _source(self) -> Dataset:
        """Images that test vectors are drawn from."""
        calibration = self.inputs.calibration
        if self.request.data is not None:
            return open_dataset(self.request.data)
        if calibration is None:
            raise InvalidInputError(
                "test vectors are made from images",
                received="neither --data nor --calibration",
                remedy="give --data DATA",
            )
        return calibration

    @cached_property
    def _pixels(self) -> np.ndarray:
        """``[n, *shape]``: examples drawn at random, as ``Preprocessing.pixels`` returns them."""
        order = np.random.default_rng(self._seed).permutation(len(self._source))
        convert = self.prepared.contract.pixels
        return np.stack(
            [converted(self._source, int(i), convert) for i in order[: self.request.vectors]]
        )

    @cached_property
    def _gives_probabilities(self) -> bool:
        """Whether the scores of every image in the test vectors are probabilities."""
        contract = self.prepared.contract
        shapes = [output.shape for output in self.prepared.loaded.outputs]
        if not (is_classifier(shapes, contract) or is_yes_or_no(shapes, contract)):
            return False
        images = contract.normalize(self._pixels)  # [n, *shape]
        scores = float_answers(self.prepared.loaded, images)  # [n, classes]
        if contract.tasks.only.known is not Task.CLASSIFICATION:  # one sigmoid each
            return bool(scores.min() >= 0 and scores.max() <= 1)
        distance = np.abs(scores.sum(axis=1) - 1).max()
        return bool(scores.min() >= 0 and distance < _PROBABILITY_TOLERANCE)


def _file_contents(file: Exported) -> FileContents:
    record = file.record
    return FileContents(record["recipe"], record["calibration"], file.contract, file.folded)
