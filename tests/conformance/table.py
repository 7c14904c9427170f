"""The conformance table: model x recipe x runtime, measured against the float Keras model.

``python -m tests.conformance.table`` (``make conformance``) writes all tables anew, or one
(``reference``, ``full_size`` or ``networks``):
``reference.csv``, of small variants, which the tests repeat, ``full_size.csv``, of every
network as it is registered, which takes long, and ``networks.csv``, of networks that are not
registered (``tests.conformance.networks``; names after ``networks`` choose among them).
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import edgequant.process  # noqa: F401 - makes the rooms ours
from calibration_data.contract import ContractRequest
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.stream import stream
from calibration_data.task import Task
from edgequant.pipeline import write_artifact
from edgequant.preparing import open_inputs, prepare
from edgequant.requests import CalibrationRequest, QuantizeRequest
from evaluation.runner import predict_many
from evaluation.scores import Scores
from evaluation.session import Session, runtimes
from evaluation.sessions.keras_model import KerasSession
from evaluation.task import evaluate
from foundation.atomic import write_whole
from models.loading.request import ModelRequest
from models.spec import ModelSpec, model_specs, specs_of
from models.weights.named import build_with_weights, shipped_weights
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import WeightRange
from tests.conformance.networks.cells import NETWORKS
from tests.conformance.networks.walk import write_networks

if TYPE_CHECKING:
    import keras

REFERENCE = Path(__file__).with_name("reference.csv")
FULL_SIZE = Path(__file__).with_name("full_size.csv")
LARGEST_SIZE = 64
LARGEST_WIDTH = 0.35
ESSENTIAL = ("tflite-float32", "tflite-float16", "tflite-int8", "onnx-float32", "onnx-int8")
"""Recipes that every network is held to, in the default runtimes."""
EVERY_RECIPE = ("mobilenet_v2", "mobilenet_v2_small")
"""Networks that are held to every recipe in every runtime."""
NOISE = {"mobileone_s4": 4}
"""Images of noise among those that settle a network at full size. Batch norms that have seen smooth
images alone multiply the noise that written files are checked on, over so many layers by thousands.
"""
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


@dataclass(frozen=True)
class Walk:
    """What is written and run of a model.

    Attributes:
        recipes: to write.
        every_runtime: run each file in every runtime that takes it, not in the default one alone.
        full_size: the network as it is registered, not a small variant.
    """

    recipes: tuple[Recipe, ...]
    every_runtime: bool = False
    full_size: bool = False


def walk_of(model: str, *, full_size: bool = False) -> Walk:
    """The rows of a model in the reference, or in the table of full size."""
    if model in EVERY_RECIPE and not full_size:
        return Walk(RECIPES, every_runtime=True)
    return Walk(tuple(recipe(name) for name in ESSENTIAL), full_size=full_size)


def model_request(spec: ModelSpec, folder: Path, *, full_size: bool = False) -> ModelRequest:
    """The shipped weights where there are any, else random ones, usually in a small variant."""
    shipped = shipped_weights(spec)
    if shipped:
        return ModelRequest(spec.name, weights=shipped[0])
    request = ModelRequest(spec.name, weights="random:1")
    if not full_size:
        size = min(spec.input_shape[0], LARGEST_SIZE)
        request = replace(request, size=size, classes=10, alpha=min(spec.alpha, LARGEST_WIDTH))
    path = folder / f"{spec.name}.weights.h5"
    model = _settled(request.spec(), NOISE.get(spec.name, 0) if full_size else 0)
    if full_size:
        _tame(model)
    model.save_weights(path)
    return replace(request, weights=str(path))


def _settled(spec: ModelSpec, noise: int) -> keras.Model:
    """Random weights whose batch norms have seen images: untrained ones leave outputs near 0."""
    import keras

    model = build_with_weights(spec, "random:1")
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    contract = replace(spec.preprocessing, crop=Crop.STRETCH, resize_short_side=None)
    dataset = open_dataset("fashion_mnist:calibration").subset(np.arange(SAMPLES))
    (batch,) = stream(dataset, contract, batch_size=SAMPLES)
    low, high = contract.value_range
    shape = (noise, *batch.images.shape[1:])
    noisy = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    model(np.concatenate([batch.images[noise:], noisy]), training=True)
    return model


def _tame(model: keras.Model) -> None:
    """Raise the least variances of each batch norm to a hundredth of its median.

    Channels that 32 images leave still would multiply any other image's rounding errors, layer by
    layer.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            variance = np.asarray(layer.moving_variance)
            layer.moving_variance.assign(np.maximum(variance, np.median(variance) / 100))


def cells(spec: ModelSpec, folder: Path, walk: Walk) -> list[Cell]:
    """Write the recipes of a walk and run each in the runtimes that take it."""
    request = QuantizeRequest(
        model_request(spec, folder, full_size=walk.full_size),
        # Images of the shipped set fit any contract once they are stretched to its size.
        ContractRequest(crop=None if shipped_weights(spec) else Crop.STRETCH),
        walk.recipes,
        CalibrationRequest("fashion_mnist:calibration", SAMPLES),
        folder,
    )
    prepared = prepare(request, open_inputs(request))
    keras_session = KerasSession(prepared.loaded.model)
    sessions: dict[str, partial[Session]] = {"keras": partial(_same, keras_session)}
    for chosen in walk.recipes:
        artifact = write_artifact(request, chosen, prepared, "", lambda _: None)
        for runtime in runtimes().values():
            wanted = walk.every_runtime or runtime.default
            takes = artifact.path.suffix in runtime.suffixes and _portable(chosen, runtime.name)
            if wanted and takes:
                opener = partial(runtime.open, artifact.path, 1)
                sessions[f"{chosen.name} {runtime.name}"] = opener
    return list(_measured(spec.name, sessions, prepared.contract))


def _same(session: Session) -> Session:
    return session


def _portable(chosen: Recipe, runtime: str) -> bool:
    """Full-range ONNX files give other answers on x86 without VNNI, unless in precise mode."""
    full = chosen.target == "onnx" and chosen.settings.weight_range is WeightRange.FULL
    if runtime == "oracle":  # takes int8 files alone, and gives the bits of litert-reference
        return False
    return not full or runtime == "onnxruntime-precise"


def _measured(
    model: str, sessions: dict[str, partial[Session]], contract: Preprocessing
) -> Iterator[Cell]:
    results = predict_many(sessions, stream(_images(contract), contract, batch_size=8), workers=2)
    for name, outputs in results.outputs.items():
        if name != "keras":
            metrics = evaluate(Scores(outputs, results.labels, results.outputs["keras"]))
            written, runtime = name.split()
            assert metrics.sqnr_db is not None
            assert metrics.agreement is not None
            yield Cell(model, written, runtime, metrics.sqnr_db, metrics.agreement)


def image_count(contract: Preprocessing) -> int:
    """Images that a model is measured on."""
    return IMAGES if contract.size[0] <= 32 else IMAGES // 4


def _images(contract: Preprocessing) -> Dataset:
    dataset = open_dataset("fashion_mnist:test").subset(np.arange(image_count(contract)))
    return replace(dataset, class_names=())


def read_table(path: Path) -> dict[tuple[str, str, str], Cell]:
    """A committed table."""
    with path.open(newline="", encoding="utf-8") as handle:
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
    """Measure every cell and write all tables, or the ones whose names are given."""
    chosen = tuple(sys.argv[1:])
    if not chosen or chosen[0] == NETWORKS.stem:
        write_networks(chosen[1:])
    for path in (REFERENCE, FULL_SIZE):
        if path.stem in (sys.argv[1:] or (REFERENCE.stem, FULL_SIZE.stem)):
            _write(path, full_size=path is FULL_SIZE)


def _write(path: Path, *, full_size: bool) -> None:
    """Measure model by model; each is written when it is done, and the others keep their rows."""
    known = read_table(path) if path.is_file() else {}
    rows = {key: cell for key, cell in known.items() if key[0] in model_specs()}
    for spec in specs_of(Task.CLASSIFICATION).values():
        sys.stderr.write(f"{path.stem}: {spec.name}\n")
        with tempfile.TemporaryDirectory() as folder:
            found = cells(spec, Path(folder), walk_of(spec.name, full_size=full_size))
        rows = {key: cell for key, cell in rows.items() if key[0] != spec.name}
        rows |= {cell.key: cell for cell in found}
        text = _csv(sorted(rows.values(), key=lambda cell: cell.model))
        write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))


def _csv(rows: list[Cell]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("model", "recipe", "runtime", "sqnr_db", "agreement"))
    for cell in rows:
        writer.writerow((*cell.key, f"{cell.sqnr_db:.2f}", f"{cell.agreement:.2f}"))
    return table.getvalue()


if __name__ == "__main__":
    main()
