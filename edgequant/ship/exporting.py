"""Model files of a bundle: each is exported once, however many targets hold it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.calibration_set import CalibrationSet
from calibration_data.one_pair import OnePair
from calibration_data.preprocessing import Preprocessing
from edgequant.artifacts import read_json
from edgequant.cli.terminal import Terminal
from edgequant.pipeline import artifact_key, artifact_path, write_artifact
from edgequant.preparing import Inputs, Prepared
from edgequant.requests import QuantizeRequest
from export.bundles.target import ContractNeed, ShipFile
from models.rewriting.fold_contract import Folded, fold, is_one_pair_rgb
from network.fold_input import fold_input
from network.wrapping import as_model, wrapped_graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Exported:
    """An exported model file.

    Attributes:
        path: path of the file, in a scratch folder.
        contract: preprocessing of its input.
        folded: part of the contract that was folded into the network, as a sentence; "" for none.
        record: record that lies beside the file.
    """

    path: Path
    contract: Preprocessing
    folded: str
    record: dict[str, Any]


@dataclass
class Exporter:
    """Exports the model files that targets ask for.

    Attributes:
        base: request whose recipe and output folder each file replaces.
        prepared: model with its own contract and its calibration images.
        inputs: images of the request.
        scratch: folder that the files are written to.
        terminal: shows progress.
    """

    base: QuantizeRequest
    prepared: Prepared
    inputs: Inputs
    scratch: Path
    terminal: Terminal
    _files: dict[tuple[str, ...], Exported] = field(default_factory=dict, repr=False)
    _folded: tuple[Prepared, str] | None = field(default=None, repr=False)

    def export(self, file: ShipFile) -> Exported:
        """Export a file and add what its platform expects in it, unless it was exported before."""
        asked = file.recipe
        key = (asked.name, asked.io.value, asked.postprocess.value, file.need.value)
        if key not in self._files:
            prepared, folded = self._expressible(file.need)
            path, record = self._write(file, prepared)
            self._files[key] = Exported(path, prepared.contract, folded, record)
        return self._files[key]

    def _write(self, file: ShipFile, prepared: Prepared) -> tuple[Path, dict[str, Any]]:
        """Path and record of a file that is exported now."""
        folder = self.scratch / f"{len(self._files)}"
        request = replace(self.base, recipes=(file.recipe,), output=folder)
        images = prepared.calibration if file.recipe.takes_calibration else None
        total = None if images is None else len(images.dataset)
        with self.terminal.progress(file.recipe.name, total) as advance:
            key = artifact_key(request, file.recipe, self.inputs)
            artifact = write_artifact(request, file.recipe, prepared, key, advance)
        path = artifact_path(request, file.recipe)
        if file.dress is not None:
            path.write_bytes(file.dress(path, prepared.contract, prepared.loaded.name))
        return path, read_json(artifact.beside(".recipe.json"))

    def _expressible(self, need: ContractNeed) -> tuple[Prepared, str]:
        """Model whose contract the platform can express, and what was folded for that."""
        prepared = self.prepared
        if need is ContractNeed.ANY or is_one_pair_rgb(prepared.contract):
            return prepared, ""
        if self._folded is None:
            folding = _folded(prepared.loaded.model, prepared.contract)
            calibration = prepared.calibration
            if calibration is not None:
                calibration = CalibrationSet(calibration.dataset, folding.contract)
            loaded = prepared.loaded.with_model(folding.model)
            self._folded = (
                Prepared(loaded, folding.contract, calibration, float_share=prepared.float_share),
                folding.how,
            )
        return self._folded


def _folded(model: keras.Model, contract: Preprocessing) -> Folded:
    """Model, of layers or of a graph, that takes pixels with one mean and one std."""
    graph = wrapped_graph(model)
    if graph is None:
        return fold(model, contract)
    pair = OnePair.of(contract)
    folded, padded = fold_input(graph, pair)
    return Folded(as_model(folded, model.name), pair.contract, pair.how(padded=padded))
