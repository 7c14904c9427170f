"""Telling equal images: to calibrate on and to measure on, or all of a set."""

from __future__ import annotations

import hashlib

import numpy as np

from calibration_data.datasets.base import Dataset
from foundation.errors import InvalidInputError

TOLERATED_SHARE = 0.01
"""Public datasets hold a few duplicates across their splits."""


def shared_images(calibration: Dataset, measured: Dataset) -> int:
    """How many images of ``measured`` are also in ``calibration``, byte for byte.

    Files are read only where a file of the same size is in the other set.
    """
    sizes = {_size(calibration, i) for i in range(len(calibration))}
    candidates = [i for i in range(len(measured)) if _size(measured, i) in sizes]
    if not candidates:
        return 0
    known = {_digest(calibration, i) for i in range(len(calibration))}
    return sum(_digest(measured, i) in known for i in candidates)


def refuse_shared_images(calibration: Dataset, measured: Dataset) -> None:
    """Raise InvalidInputError if more than one in a hundred measured images is calibrated on."""
    shared = shared_images(calibration, measured)
    if shared > TOLERATED_SHARE * len(measured):
        raise InvalidInputError(
            "calibration never sees the images that accuracy is measured on",
            received=f"{shared} images that are both in {calibration.name} and {measured.name}",
            remedy="take the calibration images from the training split",
        )


def refuse_equal_images(calibration: Dataset) -> None:
    """Raise InvalidInputError if all images are one and the same: they show no range.

    Reads on until two differ, which is the second image as a rule.
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
