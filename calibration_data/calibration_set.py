"""Calibration images, on which ranges are measured; test and development splits are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from foundation.errors import InvalidInputError

BATCH_SIZE = 32
"""Images per batch, where nothing else is asked for."""

_REFUSED = (SplitRole.TEST, SplitRole.DEVELOPMENT)


def refuse_role(dataset: Dataset) -> None:
    """Raise InvalidInputError for a split on which accuracy is measured."""
    if dataset.role in _REFUSED:
        raise InvalidInputError(
            "calibration never sees the images that accuracy is measured on",
            received=f"{dataset.name}, a {dataset.role.value} split",
            remedy="give a training or calibration split",
        )


@dataclass(frozen=True)
class CalibrationSet:
    """Representative images and the preprocessing of the network they calibrate.

    Attributes:
        dataset: images in the order in which they are used.
        preprocessing: contract of the network.

    Raises:
        InvalidInputError: a test or development split, a single image, or images of one class
            only; without labels, the classes are the user's to answer for.
    """

    dataset: Dataset
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        refuse_role(self.dataset)
        labels = self.dataset.labels
        if len(self.dataset) < 2:
            raise InvalidInputError(
                "calibration takes at least two images",
                received=f"{len(self.dataset)} in {self.dataset.name}",
                remedy="give representative images of all classes",
            )
        if labels is not None and len(np.unique(labels)) < 2:
            raise InvalidInputError(
                "calibration images belong to at least two classes",
                received=f"{len(self.dataset)} images of one class in {self.dataset.name}",
                remedy="give representative images of all classes",
            )

    @classmethod
    def draw(
        cls, dataset: Dataset, preprocessing: Preprocessing, samples: int | None, seed: int
    ) -> CalibrationSet:
        """Draw ``samples`` images at random without repetition; take all of them for None.

        Raises:
            InvalidInputError: fewer than two samples, or more than the dataset has.
        """
        if samples is None:
            return cls(dataset, preprocessing)
        if not 2 <= samples <= len(dataset):
            raise InvalidInputError(
                f"--samples is between 2 and the {len(dataset)} images of {dataset.name}",
                received=samples,
                remedy="choose another number",
            )
        chosen = np.random.default_rng(seed).permutation(len(dataset))[:samples]
        return cls(dataset.subset(chosen), preprocessing)

    def batches(
        self, batch_size: int = BATCH_SIZE, chosen: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Preprocessed images, float32 ``[b, *shape]``, in the same order at each call.

        Args:
            batch_size: images per batch; the last batch may be smaller.
            chosen: indices of the images to decode, in this order; None for all.
        """
        dataset = self.dataset if chosen is None else self.dataset.subset(chosen)
        for batch in stream(dataset, self.preprocessing, batch_size=batch_size):
            yield batch.images

    def first(self, most: int) -> np.ndarray:
        """First ``most`` images, or fewer if there are fewer, without decoding any other."""
        return next(self.batches(most, np.arange(min(most, len(self.dataset)))))
