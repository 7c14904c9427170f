"""The images of the study, as arrays for every network."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from studies.relu6.networks import variants

TEST = "fashion_mnist:test"
CALIBRATION = "fashion_mnist:calibration"
ORDER_SEED = 1
"""Seed of the order in which images are drawn where not all are used."""


@dataclass(frozen=True)
class Images:
    """Images that the study measures on.

    Attributes:
        contract: preprocessing contract of all its networks.
        test: test images, float32 ``[n, h, w, 3]``; accuracies are measured on these.
        labels: labels of the test images, int64 ``[n]``.
        calibration: calibration images, float32 ``[m, h, w, 3]``; every choice is made on these.
    """

    contract: Preprocessing
    test: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    calibration: np.ndarray = field(repr=False)

    def some(self, count: int) -> Images:
        """Same images with at most ``count`` test images, drawn from all of them."""
        order = np.random.default_rng(ORDER_SEED).permutation(len(self.test))[:count]
        numbers = np.sort(order)
        return Images(self.contract, self.test[numbers], self.labels[numbers], self.calibration)


def open_images(test: int | None = None, calibration: int | None = None) -> Images:
    """The bundled images, preprocessed.

    Args:
        test: largest number of test images; None for all.
        calibration: largest number of calibration images; None for all.
    """
    contract = variants()[0].spec().preprocessing
    measured, ranges = open_dataset(TEST), open_dataset(CALIBRATION)
    images = Images(
        contract,
        _tensors(measured, contract),
        measured.require_labels("the study"),
        _tensors(ranges, contract)[:calibration],
    )
    return images if test is None else images.some(test)


def _tensors(dataset: Dataset, contract: Preprocessing) -> np.ndarray:
    return np.concatenate([batch.images for batch in stream(dataset, contract, batch_size=500)])
