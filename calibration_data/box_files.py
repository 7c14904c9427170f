"""Photos with true boxes from annotation files: checked boxes, and the dataset of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.annotations import Boxes, BoxTruth
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.image_files import decode_file, from_paths, spread, upright_size
from foundation.errors import InvalidInputError
from foundation.foreign import printable

if TYPE_CHECKING:
    from PIL import Image

SLACK = 1.0
"""Pixels by which a box may leave its photo: tools round its edges outwards."""
_PROBED = 4096
"""Largest number of photos whose size is compared with the annotations before any work is done."""


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    """One photo as its annotations describe it.

    Attributes:
        path: path of the photo.
        size: height and width in pixels that the annotations state; None where they do not.
        boxes: true boxes with an area.
        empty: number of boxes without one, which are left out.
    """

    path: Path
    size: tuple[int, int] | None
    boxes: Boxes
    empty: int = 0


def checked_boxes(
    source: str,
    size: tuple[int, int],
    corners: np.ndarray,
    labels: np.ndarray,
    crowd: np.ndarray | None = None,
    areas: np.ndarray | None = None,
) -> tuple[Boxes, int]:
    """Boxes of one photo, and the number of those that were left out because they have no area.

    Args:
        source: photo and file of the annotations, for messages.
        size: height and width of the photo in pixels.
        corners: top, left, bottom, right in pixels, ``[n, 4]``.
        labels: int64 ``[n]``.
        crowd: bool ``[n]``; None for none.
        areas: areas of the objects, ``[n]``; None for those of the boxes.

    Raises:
        InvalidInputError: a box that is not finite, ends before it begins or leaves the photo by
            more than ``SLACK``, or an area that is not finite or below zero.
    """
    edges = np.asarray(corners, np.float64).reshape(-1, 4)
    if areas is not None and not ((values := np.asarray(areas, np.float64)) >= 0).all():
        raise InvalidInputError(
            "the area of an object is a number of pixels from 0 on",
            received=f"{values[~(values >= 0)][0]:g} ({source})",
            remedy="correct that annotation, or delete its area",
        )
    limits = np.array(size * 2, np.float64)
    rules = (
        ("the edges of a box are finite numbers", ~np.isfinite(edges).all(axis=1)),
        ("a box has no negative height or width", (edges[:, 2:] < edges[:, :2]).any(axis=1)),
        (
            f"a box lies in its photo, up to {SLACK:g} pixel",
            (edges < -SLACK).any(axis=1) | (edges > limits + SLACK).any(axis=1),
        ),
    )
    for rule, broken in rules:
        if broken.any():
            top, left, bottom, right = edges[int(broken.argmax())]
            raise InvalidInputError(
                rule,
                received=f"left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g} in a "
                f"photo of {size[1]}x{size[0]} pixels ({source})",
                remedy="correct that annotation, or delete it",
            )
    inside = np.clip(edges, 0, limits).astype(np.float32)
    kept = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    plain = Boxes.of(inside[kept], np.asarray(labels, np.int64)[kept])
    boxes = Boxes(
        plain.corners,
        plain.labels,
        plain.crowd if crowd is None else np.asarray(crowd, bool)[kept],
        plain.areas if areas is None else np.asarray(areas, np.float64)[kept],
    )
    return boxes, int((~kept).sum())


def photos_with_boxes(
    name: str,
    role: SplitRole,
    photos: Sequence[AnnotatedPhoto],
    class_names: tuple[str, ...],
    remarks: tuple[str, ...] = (),
) -> Dataset:
    """Dataset of photos with true boxes.

    Args:
        name: DATA as the user wrote it.
        role: purpose for which the split may be used.
        photos: the photos in order; those without boxes are kept.
        class_names: names of the classes that the labels count.
        remarks: sentences for the reader of a measurement.

    Raises:
        InvalidInputError: a photo of another size than its annotations state; here for some of
            them, for the others when they are decoded.
    """
    for i in spread(len(photos), _PROBED):
        _refuse_other_photo(photos[i], upright_size(photos[i].path))

    def decode(i: int) -> Image.Image:
        image = decode_file(photos[i].path)
        _refuse_other_photo(photos[i], (image.height, image.width))
        return image

    empty = sum(photo.empty for photo in photos)
    if empty:
        what = "1 box without an area is" if empty == 1 else f"{empty} boxes without an area are"
        remarks = (*remarks, f"{what} left out of the annotations of {name}")
    return replace(
        from_paths(name, role, [photo.path for photo in photos]),
        decode=decode,
        boxes=BoxTruth(lambda i: photos[i].boxes, class_names),
        remarks=remarks,
    )


def _refuse_other_photo(photo: AnnotatedPhoto, size: tuple[int, int]) -> None:
    if photo.size is not None and photo.size != size:
        raise InvalidInputError(
            "annotations are of photos of the stated size, turned as they are shown",
            received=f"{printable(photo.path)} with {size[1]}x{size[0]} pixels, annotated as "
            f"{photo.size[1]}x{photo.size[0]}",
            remedy="give the photos that were annotated",
        )
