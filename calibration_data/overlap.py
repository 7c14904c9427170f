"""Checks for equal images: between calibration and evaluation, and within a calibration set."""

from __future__ import annotations

import hashlib

import numpy as np

from calibration_data.datasets.base import Dataset
from foundation.errors import InvalidInputError

TOLERATED_SHARE = 0.01
"""Largest accepted share of shared images: public datasets have a few duplicates across splits."""


def shared_images(calibration: Dataset, measured: Dataset) -> int:
    """Number of images of ``measured`` that are also in ``calibration``, byte for byte.

    A file is read only if the other set has a file of the same size.
    """
    sizes = {_size(calibration, i) for i in range(len(calibration))}
    candidates = [i for i in range(len(measured)) if _size(measured, i) in sizes]
    if not candidates:
        return 0
    known = {_digest(calibration, i) for i in range(len(calibration))}
    return sum(_digest(measured, i) in known for i in candidates)


def refuse_shared_images(calibration: Dataset, measured: Dataset) -> None:
    """Raise InvalidInputError if more than 1 percent of the measured images are calibrated on."""
    shared = shared_images(calibration, measured)
    if shared > TOLERATED_SHARE * len(measured):
        raise InvalidInputError(
            "calibration never sees the images that accuracy is measured on",
            received=f"{shared} images that are both in {calibration.name} and {measured.name}",
            remedy="take the calibration images from the training split",
        )


def refuse_equal_images(calibration: Dataset) -> None:
    """Raise InvalidInputError if all images are equal, since they show no range.

    Images are decoded until one differs from the first, which is usually the second.
    """
    first = np.asarray(calibration.decode(0))
    for index in range(1, len(calibration)):
        if not np.array_equal(first, np.asarray(calibration.decode(index))):
            return
    raise InvalidInputError(
        "calibration images differ from each other",
        received=f"{len(calibration)} equal ones in {calibration.name}",
        remedy="give representative images of all classes",
    )


def _size(dataset: Dataset, index: int) -> int:
    return -1 if dataset.content_size is None else dataset.content_size(index)


def _digest(dataset: Dataset, index: int) -> bytes:
    if dataset.content is not None:
        content = dataset.content(index)
    else:
        content = np.asarray(dataset.decode(index)).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()
