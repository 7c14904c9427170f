"""Networks as all quantizers receive them: float files, calibration tensors and their digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.accuracy.environments import PEERS
from benchmarks.accuracy.peer import Job, Source
from calibration_data.contract import ContractRequest
from calibration_data.datasets.base import Dataset
from edgequant.artifacts import Artifact
from edgequant.cli.terminal import Terminal
from edgequant.measuring import open_measured
from edgequant.pipeline import Prepared, open_inputs, prepare_shown, quantize
from edgequant.requests import CalibrationRequest, MeasureRequest, QuantizeRequest
from foundation.atomic import write_whole
from foundation.digests import sha256_of
from models.loading.files import MODEL_SUFFIXES
from models.loading.request import ModelRequest
from quantize.recipes import recipe

FLOAT_RECIPES = ("tflite-float32", "onnx-float32")


@dataclass(frozen=True)
class Network:
    """Float network with the inputs of its quantizers.

    Attributes:
        name: name in rows.
        reference: path or registered name.
        prepared: loaded network with contract and calibration images.
        calibration: DATA text of the calibration images.
        float_files: our float32 exports, TFLite and ONNX.
        images: path of the calibration tensors, float32 ``[n, height, width, 3]``.
        digest: digest of the float files and the tensors.
        measured: images to measure on.
    """

    name: str
    reference: str
    prepared: Prepared
    calibration: str
    float_files: tuple[Artifact, ...]
    images: Path
    digest: str
    measured: Dataset

    def job(self, source: Source, setting: str, granularity: str) -> Job:
        """Job on this network, whose output is not set yet."""
        if source is Source.KERAS:
            model = self.reference
        else:
            model = next(str(a.path) for a in self.float_files if a.path.suffix == f".{source}")
        return Job(model, str(self.images), self.calibration, granularity, setting, output="")


def found_models(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Model files and names; a folder that is no SavedModel stands for its model files."""
    models: list[str] = []
    for text in texts:
        path = Path(text)
        if path.is_dir() and not (path / "saved_model.pb").is_file():
            models += sorted(str(p) for p in path.iterdir() if p.suffix in MODEL_SUFFIXES)
        else:
            models.append(str(path.resolve()) if path.exists() else text)
    return tuple(models)


def absolute(data: str) -> str:
    """DATA text with an absolute path, valid in any current folder."""
    head, _, split = data.rpartition(":")
    if Path(data).exists():
        return str(Path(data).resolve())
    return f"{Path(head).resolve()}:{split}" if head and Path(head).exists() else data


def open_network(
    reference: str, calibration: str, measure: MeasureRequest, terminal: Terminal
) -> Network:
    """Load a network, export it in float and store its calibration tensors under .peers/inputs.

    Raises:
        InvalidInputError: as from ``edgequant quantize``, also if a calibration image is a test
            image.
    """
    model = ModelRequest(reference)
    folder = PEERS / "inputs" / model.name
    request = QuantizeRequest(
        model,
        ContractRequest(),
        tuple(recipe(name) for name in FLOAT_RECIPES),
        CalibrationRequest(calibration),
        folder,
        measure,
    )
    inputs = open_inputs(request)
    artifacts, prepared = quantize(request, inputs, terminal)
    prepared = prepared or prepare_shown(request, inputs, terminal)
    assert prepared.calibration is not None
    tensors = np.concatenate(list(prepared.calibration.batches()))
    images = folder / "calibration.npy"
    write_whole(images, partial(np.save, arr=tensors))
    whole = hashlib.sha256()
    for path in (*(a.path for a in artifacts), images):
        whole.update(sha256_of(path).encode())
    return Network(
        model.name,
        reference,
        prepared,
        absolute(calibration),
        tuple(artifacts),
        images,
        whole.hexdigest(),
        open_measured(measure),
    )
