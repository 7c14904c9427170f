"""True boxes and masks of photos, as a dataset gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from foundation.errors import InvalidInputError

IGNORED = 255
"""Value of a mask's pixel that belongs to no class and is not measured, as in Pascal VOC."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """True boxes of one photo.

    Attributes:
        corners: float32 ``[n, 4]``: top, left, bottom and right in pixels of the photo; bottom and
            right are the first row and column outside.
        labels: int64 ``[n]``, class of each box: its place in ``BoxTruth.class_names``.
        crowd: bool ``[n]``, whether a box is a crowd, in which detections count neither as right
            nor as wrong (COCO's ``iscrowd``, Pascal VOC's ``difficult``).
        areas: float64 ``[n]``, area of the object in pixels, by which AP is told by size.

    Raises:
        InvalidInputError: arrays of different lengths, or a box without area.
    """

    corners: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.corners.shape != (n, 4) or len(self.crowd) != n or len(self.areas) != n:
            raise ValueError("each box has four corners, a label, a crowd flag and an area")
        sides = self.corners[:, 2:] - self.corners[:, :2]
        if not (sides > 0).all():
            raise InvalidInputError(
                "a box has a height and a width above zero",
                received=str(self.corners[~(sides > 0).all(axis=1)][0].tolist()),
                remedy="correct the annotation, or leave this box out",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, corners: np.ndarray, labels: np.ndarray) -> Boxes:
        """Boxes of single objects that fill them.

        Args:
            corners: ``[n, 4]``.
            labels: ``[n]``.
        """
        edges = np.asarray(corners, np.float32).reshape(-1, 4)
        areas = np.prod(edges[:, 2:] - edges[:, :2], axis=1).astype(np.float64)
        return cls(edges, np.asarray(labels, np.int64), np.zeros(len(edges), bool), areas)


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """True boxes of a dataset.

    Attributes:
        of: image index -> its boxes, none for a photo without objects; called from several
            threads.
        class_names: names of the classes in the order of their numbers.
    """

    of: Callable[[int], Boxes] = field(repr=False)
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MaskTruth:
    """True masks of a dataset.

    Attributes:
        of: image index -> class of each pixel, uint8 ``[height, width]`` of the photo, or its
            colour, ``[height, width, 3]``; called from several threads.
        class_names: names of the classes in the order of their numbers; empty if unknown.
        ignored: value of pixels that are not measured in masks with names of classes; that of
            others is in the contract.
        others_are_ground: whether classes that a network does not have are its background, as in
            sets of more classes than it was trained on.
    """

    of: Callable[[int], np.ndarray] = field(repr=False)
    class_names: tuple[str, ...] = ()
    ignored: int = IGNORED
    others_are_ground: bool = False
