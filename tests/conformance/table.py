"""The conformance table: model x recipe x runtime, measured against the float Keras model.

``python -m tests.conformance.table`` (``make conformance``) writes ``reference.csv`` anew.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import edgequant  # noqa: F401 - makes the rooms ours
from calibration_data.contract import ContractRequest
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.stream import stream
from edgequant.pipeline import prepare, write_artifact
from edgequant.requests import CalibrationRequest, QuantizeRequest
from evaluation.metrics import evaluate
from evaluation.runner import predict_many
from evaluation.scores import Scores
from evaluation.session import Session, runtimes
from evaluation.sessions.keras_model import KerasSession
from models.loading import ModelRequest
from models.spec import ModelSpec, model_specs
from models.weights import shipped_weights
from quantize.recipes import RECIPES, Recipe, WeightRange

REFERENCE = Path(__file__).with_name("reference.csv")
LARGEST_SIZE = 64
SAMPLES = 32
IMAGES = 200


@dataclass(frozen=True)
class Cell:
    """One measured combination.

    Attributes:
        model: registered name.
        recipe: its name.
        runtime: its name.
        sqnr_db: signal to noise of the outputs against Keras float.
        agreement: percent of equal answers.
    """

    model: str
    recipe: str
    runtime: str
    sqnr_db: float
    agreement: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What is combined."""
        return self.model, self.recipe, self.runtime


def model_request(spec: ModelSpec) -> ModelRequest:
    """The shipped weights where there are any, else random ones; at a small size."""
    shipped = shipped_weights(spec)
    size = min(spec.input_shape[0], LARGEST_SIZE)
    return ModelRequest(
        spec.name,
        weights=shipped[0] if shipped else "random:1",
        size=size if size != spec.input_shape[0] else None,
        classes=None if shipped else 10,
        alpha=None if shipped else min(spec.alpha, 0.35),
    )


def cells(spec: ModelSpec, folder: Path) -> list[Cell]:
    """Write every recipe of a model and run it in every runtime that takes it."""
    request = QuantizeRequest(
        model_request(spec),
        # Images of the shipped set fit any contract once they are stretched to its size.
        ContractRequest(crop=None if shipped_weights(spec) else Crop.STRETCH),
        RECIPES,
        CalibrationRequest("fashion_mnist:calibration", SAMPLES),
        folder,
    )
    prepared = prepare(request, "fashion_mnist:calibration")
    keras_session = KerasSession(prepared.loaded.model)
    sessions: dict[str, partial[Session]] = {"keras": partial(_same, keras_session)}
    for recipe in RECIPES:
        artifact = write_artifact(request, recipe, prepared, "", lambda _: None)
        for runtime in runtimes().values():
            if artifact.path.suffix in runtime.suffixes and _portable(recipe, runtime.name):
                opener = partial(runtime.open, artifact.path, 1)
                sessions[f"{recipe.name} {runtime.name}"] = opener
    return list(_measured(spec.name, sessions, prepared.contract))


def _same(session: Session) -> Session:
    return session


def _portable(recipe: Recipe, runtime: str) -> bool:
    """Full-range ONNX files give other answers on x86 without VNNI, unless in precise mode."""
    full = recipe.target == "onnx" and recipe.weight_range is WeightRange.FULL
    return not full or runtime == "onnxruntime-precise"


def _measured(
    model: str, sessions: dict[str, partial[Session]], contract: Preprocessing
) -> Iterator[Cell]:
    results = predict_many(sessions, stream(_images(contract), contract, batch_size=8), workers=2)
    for name, outputs in results.outputs.items():
        if name != "keras":
            metrics = evaluate(Scores(outputs, results.labels, results.outputs["keras"]))
            recipe, runtime = name.split()
            assert metrics.sqnr_db is not None
            assert metrics.agreement is not None
            yield Cell(model, recipe, runtime, metrics.sqnr_db, metrics.agreement)


def _images(contract: Preprocessing) -> Dataset:
    images = IMAGES if contract.size[0] <= 32 else IMAGES // 4
    dataset = open_dataset("fashion_mnist:test").subset(np.arange(images))
    return replace(dataset, class_names=())


def read_reference() -> dict[tuple[str, str, str], Cell]:
    """The committed table."""
    with REFERENCE.open(newline="", encoding="utf-8") as handle:
        rows = [
            Cell(
                row["model"],
                row["recipe"],
                row["runtime"],
                float(row["sqnr_db"]),
                float(row["agreement"]),
            )
            for row in csv.DictReader(handle)
        ]
    return {row.key: row for row in rows}


def main() -> None:
    """Measure every cell and write the reference."""
    with (
        tempfile.TemporaryDirectory() as folder,
        REFERENCE.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("model", "recipe", "runtime", "sqnr_db", "agreement"))
        for spec in model_specs().values():
            for cell in cells(spec, Path(folder)):
                writer.writerow((*cell.key, f"{cell.sqnr_db:.2f}", f"{cell.agreement:.2f}"))


if __name__ == "__main__":
    main()
