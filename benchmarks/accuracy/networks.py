"""Networks as all quantizers receive them: float files, calibration tensors and their digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.accuracy.environments import PEERS
from benchmarks.accuracy.peer import Job, Source
from benchmarks.accuracy.subjects import Subject
from calibration_data.datasets.base import Dataset
from edgequant.artifacts import Artifact
from edgequant.cli.terminal import Terminal
from edgequant.measuring import open_measured
from edgequant.pipeline import quantize
from edgequant.preparing import Prepared, open_inputs, prepare_shown
from edgequant.requests import CalibrationRequest, MeasureRequest, QuantizeRequest
from foundation.atomic import write_whole
from foundation.digests import sha256_of
from quantize.recipes import recipe

FLOAT_RECIPES = ("tflite-float32", "onnx-float32")


@dataclass(frozen=True)
class Network:
    """Float network with the inputs of its quantizers.

    Attributes:
        subject: network, data and preprocessing as they were chosen.
        prepared: loaded network with contract and calibration images.
        calibration: DATA text of the calibration images.
        float_files: our float32 exports, TFLite and ONNX.
        images: path of the calibration tensors, float32 ``[n, height, width, 3]``.
        digest: digest of the float files and the tensors.
        measured: images to measure on.
    """

    subject: Subject
    prepared: Prepared
    calibration: str
    float_files: tuple[Artifact, ...]
    images: Path
    digest: str
    measured: Dataset

    @property
    def name(self) -> str:
        """Name in rows."""
        return self.subject.model.name

    def job(self, source: Source, setting: str, granularity: str) -> Job:
        """Job on this network, whose output is not set yet."""
        request, crop = self.subject.model, self.subject.contract.crop
        if source is Source.KERAS:
            model = request.reference
        else:
            model = next(str(a.path) for a in self.float_files if a.path.suffix == f".{source}")
        return Job(
            model,
            str(self.images),
            self.calibration,
            granularity,
            setting,
            output="",
            weights=request.weights or "",
            alpha=request.alpha,
            crop="" if crop is None else str(crop),
        )


def absolute(data: str) -> str:
    """DATA text with an absolute path, valid in any current folder."""
    head, _, split = data.rpartition(":")
    if Path(data).exists():
        return str(Path(data).resolve())
    return f"{Path(head).resolve()}:{split}" if head and Path(head).exists() else data


def open_network(subject: Subject, limit: int | None, terminal: Terminal) -> Network:
    """Load a network, export it in float and store its calibration tensors under .peers/inputs.

    Args:
        subject: what is quantized and measured.
        limit: largest number of test images; None for all.
        terminal: where progress is shown.

    Raises:
        InvalidInputError: as from ``edgequant quantize``, also if a calibration image is a test
            image.
    """
    folder = PEERS / "inputs" / subject.model.name
    measure = MeasureRequest(subject.data, limit=limit)
    request = QuantizeRequest(
        subject.model,
        subject.contract,
        tuple(recipe(name) for name in FLOAT_RECIPES),
        CalibrationRequest(subject.calibration),
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
        subject,
        prepared,
        absolute(subject.calibration),
        tuple(artifacts),
        images,
        whole.hexdigest(),
        open_measured(measure),
    )
