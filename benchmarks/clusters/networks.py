"""Weights of a network at several widths, for measurements of time alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calibration_data.datasets.base import open_dataset
from models.spec import model_spec
from models.weights.named import build_with_weights


def lively_weights(
    model: str, alphas: Sequence[float], data: str, folder: Path, count: int = 256
) -> list[Path]:
    """Random weights whose batch norms have the statistics of some images, a file for each width.

    Without these, activations fade from layer to layer, and ONNX Runtime refuses their scales.

    Args:
        model: registered name.
        alphas: widths.
        data: DATA text of the images.
        folder: folder to write to.
        count: number of images.
    """
    import keras

    files = []
    for alpha in alphas:
        spec = replace(model_spec(model), alpha=alpha)
        dataset = open_dataset(data).subset(np.arange(count))
        images = np.stack([spec.preprocessing.tensor(dataset.decode(n)) for n in range(count)])
        network = build_with_weights(spec, "random")
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        network(images, training=True)
        files.append(folder / f"{alpha:g}.weights.h5")
        network.save_weights(files[-1])
    return files
