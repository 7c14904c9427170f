"""Hit rate and false alarms of lint's calibration check for calibration on one class.

TensorFlow's converter writes int8 files of the shipped network, calibrated on images of the first
half of the calibration set: on the 50 of one class, and on 50 drawn at random. The check's
statistic is computed on images of the second half, where its limit was chosen, and on test images.
"""

from __future__ import annotations

import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import converted
from evaluation.lint.calibration import CLIPPED, shares_by_class
from evaluation.lint.saturation import ranges
from export.target import target_of
from models.spec import model_spec
from models.weights.named import build_with_weights

MODEL = "mobilenet_v2_small"
CALIBRATION, TEST = "fashion_mnist:calibration", "fashion_mnist:test"
A_CLASS, DRAWINGS, MEASURED = 50, 10, 25


def run() -> list[Figure]:
    """Share in percent for each file, and hits and false alarms of the limit."""
    data = open_dataset(CALIBRATION)
    labels = data.require_labels("a balanced drawing")
    first, second = _halves(labels)
    model, contract = _network()
    rng = np.random.default_rng(0)
    subsets = {f"class {c}": first[labels[first] == c][:A_CLASS] for c in np.unique(labels)}
    subsets |= {f"drawing {i}": rng.permutation(first)[:A_CLASS] for i in range(DRAWINGS)}
    test = open_dataset(TEST)
    test_labels = test.require_labels("a balanced drawing")
    images = {
        CALIBRATION: _images(data, _balanced(labels, second), contract),
        TEST: _images(test, _balanced(test_labels, np.arange(len(test))), contract),
    }
    figures = []
    shares: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, subset in subsets.items():
            path = Path(folder, f"{name}.tflite")
            _convert(model, _images(data, subset, contract)[0], contract, path)
            wanted = ranges(target_of(path).inspect(path), contract.value_range)
            for source, (pixels, labels) in images.items():
                result = shares_by_class(path, wanted, contract, pixels, labels)
                share = float(result.by_class.mean())
                shares.setdefault((source, name.split()[0]), []).append(share)
                subject = f"calibrated on {name}, images of {source}"
                figures.append(Figure(subject, "clipped", 100 * share, "%", result.images, 1))
    for (source, kind), values in shares.items():
        what = "one-class files found" if kind == "class" else "false alarms"
        share = 100 * float(np.mean([value >= CLIPPED for value in values]))
        figures.append(Figure(f"images of {source}", what, share, "%", len(values), 1))
    return figures


def _halves(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the two halves, drawn within each class."""
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    return (
        np.concatenate([places[: len(places) // 2] for places in drawn]),
        np.concatenate([places[len(places) // 2 :] for places in drawn]),
    )


def _balanced(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.concatenate([places[labels[places] == c][:MEASURED] for c in np.unique(labels)])


def _network() -> tuple[Any, Preprocessing]:
    spec = model_spec(MODEL)
    return build_with_weights(spec, "fashion_mnist"), spec.preprocessing


def _images(
    data: Dataset, places: np.ndarray, contract: Preprocessing
) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.stack([converted(data, int(i), contract.pixels) for i in places])
    return pixels, data.require_labels("lint")[places]


def _convert(model: Any, pixels: np.ndarray, contract: Preprocessing, path: Path) -> None:
    import keras
    import tensorflow as tf

    fixed = keras.Input(batch_shape=(1, *contract.shape))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    tensors = contract.normalize(pixels)
    converter.representative_dataset = lambda: ([image[None]] for image in tensors)
    with redirect_stdout(StringIO()):  # the converter lists every variable
        path.write_bytes(converter.convert())
