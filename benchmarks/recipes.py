"""Quantization seconds, images per second, latency and size of every recipe of a model."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.record import Figure
from calibration_data.contract import ContractRequest
from calibration_data.datasets.base import open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from edgequant.pipeline import artifact_key, write_artifact
from edgequant.preparing import open_inputs, prepare
from edgequant.requests import CalibrationRequest, QuantizeRequest
from evaluation.latency import ClockPlan, latency
from evaluation.runner import predict_all
from evaluation.session import runtimes
from foundation.threads import cores
from models.loading.request import ModelRequest
from quantize.recipes import RECIPES, Recipe

MODEL = "mobilenet_v2_small"
CALIBRATION = "fashion_mnist:calibration"
DATA = "fashion_mnist:test"
IMAGES = 1000
_EXACT = "oracle"
"""Runtime that is there for its bits: it has no speed to speak of, and takes int8 files alone."""


def run(images: int = IMAGES, clock: ClockPlan | None = None) -> list[Figure]:
    """Measure; the subject is RECIPE, or RECIPE in RUNTIME.

    Args:
        images: number of images to run.
        clock: how each latency is measured; None for the usual plan.
    """
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        request = QuantizeRequest(
            ModelRequest(MODEL),
            ContractRequest(),
            RECIPES,
            CalibrationRequest(CALIBRATION),
            Path(folder),
        )
        inputs = open_inputs(request)
        prepared = prepare(request, inputs)
        for recipe in RECIPES:
            start = time.perf_counter()
            artifact = write_artifact(
                request,
                recipe,
                prepared,
                artifact_key(request, recipe, inputs),
                lambda _: None,
            )
            seconds = time.perf_counter() - start
            read = 1000 if recipe.takes_calibration else 0
            figures.append(Figure(recipe.name, "quantize", seconds, "s", read, cores()))
            figures.append(Figure(recipe.name, "size", artifact.size_bytes, "bytes", 1, 0))
            figures += _runtime_figures(recipe, artifact.path, prepared.contract, images, clock)
    return figures


def _runtime_figures(
    recipe: Recipe, path: Path, contract: Preprocessing, images: int, clock: ClockPlan | None
) -> list[Figure]:
    dataset = open_dataset(DATA).subset(np.arange(images))
    batches = list(stream(dataset, contract))
    figures = []
    for runtime in runtimes().values():
        if path.suffix not in runtime.suffixes or runtime.name == _EXACT:
            continue
        start = time.perf_counter()
        predict_all(partial(runtime.open, path, 1), batches, workers=cores())
        rate = images / (time.perf_counter() - start)
        subject = f"{recipe.name} in {runtime.name}"
        figures.append(Figure(subject, "throughput", rate, "images/s", images, cores()))
        timed = latency(partial(runtime.open, path, 1), batches[0].images[:1], 1, clock)
        for name, value in (("p50", timed.p50_ms), ("p90", timed.p90_ms), ("p99", timed.p99_ms)):
            figures.append(Figure(subject, f"latency {name}", value, "ms", timed.runs, 1))
    return figures
