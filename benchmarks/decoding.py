"""Throughput of decoding and resizing photos, on one core and on all cores, in one run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.clusters.photos import write_photo
from benchmarks.record import Figure
from calibration_data.datasets.base import open_dataset
from calibration_data.preprocessing import Interpolation, Preprocessing
from calibration_data.stream import stream
from foundation.threads import cores

IMAGES = 200


def run() -> list[Figure]:
    """Measure on generated JPEGs of 500x375 pixels, the usual size in ImageNet."""
    contract = Preprocessing(
        size=(224, 224), resize_short_side=256, interpolation=Interpolation.BICUBIC
    )
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        _make_photos(Path(folder))
        dataset = open_dataset(folder)
        for threads in sorted({1, cores()}):
            start = time.perf_counter()
            done = sum(len(b.indices) for b in stream(dataset, contract, threads=threads))
            rate = done / (time.perf_counter() - start)
            figures.append(
                Figure(
                    f"folder to tensors, {threads} thread(s)",
                    "throughput",
                    rate,
                    "images/s",
                    done,
                    threads,
                )
            )
    return figures


def _make_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        path = folder / f"class_{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        write_photo(path, rng)
