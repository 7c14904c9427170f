"""Masks of classes from COCO's annotations: polygons and run lengths, or panoptic images."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.annotations import IGNORED, MaskTruth
from calibration_data.labels import BACKGROUND
from calibration_data.mask_files import read_mask
from foundation.errors import InvalidInputError, UnsupportedError
from foundation.foreign import printable, reading, require_regular

_RULE = (
    "COCO's annotations are a JSON object with images, categories, and annotations with "
    "segmentation or segments_info"
)
_REMEDY = "download or write the file again"
_MOST = IGNORED - 1
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True, eq=False)
class CocoMasks:
    """Masks of the images of a document.

    Pixels of no object are the background, class 0; those of a crowd, of two classes at once and,
    in panoptic images, of nothing are not measured.

    Attributes:
        path: path of the document.
        names: names of the categories in the order of their ids.
        numbers: class of each category id, from 1.
        images: name, height and width of each image.
        objects: annotations of each image; of a panoptic image, its only one.
        panoptic: whether the annotations name images of segments.
    """

    path: Path
    names: tuple[str, ...]
    numbers: dict[int, int]
    images: tuple[tuple[str, int, int], ...]
    objects: tuple[tuple[dict[str, Any], ...], ...]
    panoptic: bool

    @property
    def truth(self) -> MaskTruth:
        """The masks, in the order of ``images``."""
        return MaskTruth(
            self.mask, (BACKGROUND, *self.names), ignored=IGNORED, others_are_ground=True
        )

    def mask(self, index: int) -> np.ndarray:
        """Class of each pixel of an image, uint8 ``[height, width]``.

        Raises:
            InvalidInputError: a damaged annotation.
        """
        with reading(self.path, _RULE, _REMEDY):
            return self._segments(index) if self.panoptic else self._painted(index)

    def _painted(self, index: int) -> np.ndarray:
        _, height, width = self.images[index]
        painted = np.zeros((height, width), np.uint8)
        crowds = np.zeros((height, width), bool)
        for one in self.objects[index]:
            shape = one["segmentation"]
            inside = (_of_runs if isinstance(shape, dict) else _of_polygons)(shape, height, width)
            if one.get("iscrowd"):
                crowds |= inside
                continue
            number = self.numbers[one["category_id"]]
            claimed = inside & (painted != 0) & (painted != number)
            painted[inside] = number
            painted[claimed] = IGNORED
        painted[crowds & (painted == 0)] = IGNORED
        return painted

    def _segments(self, index: int) -> np.ndarray:
        (one,) = self.objects[index]
        folder = self.path.with_suffix("")
        colours = read_mask(folder / one["file_name"]).astype(np.int64)  # [height, width, 3]
        ids = colours @ np.array([1, 256, 65536])
        known, places = np.unique(ids, return_inverse=True)
        classes = {
            segment["id"]: IGNORED
            if segment.get("iscrowd")
            else self.numbers[segment["category_id"]]
            for segment in one["segments_info"]
        }
        table = np.array([classes.get(int(number), IGNORED) for number in known], np.uint8)
        return table[places].reshape(ids.shape)


def _of_polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    """Pixels inside of polygons, bool ``[height, width]``, as COCO's own library draws them.

    Raises:
        ValueError: corners that are no numbers, or far outside of the image.
    """
    from pycocotools import mask as rle

    corners = [[float(value) for value in polygon] for polygon in polygons]
    if not corners:
        return np.zeros((height, width), bool)
    reach = 2 * max(height, width)
    for polygon in corners:
        whole = len(polygon) >= 6 and len(polygon) % 2 == 0
        if not whole or not all(-reach <= value <= 2 * reach for value in polygon):
            raise ValueError("a polygon without three corners, or far outside of its image")
    inside: np.ndarray = rle.decode(rle.merge(rle.frPyObjects(corners, height, width))) > 0
    return inside


def _of_runs(runs: dict[str, Any], height: int, width: int) -> np.ndarray:
    """Pixels of run lengths, which alternate column by column and begin outside.

    Source: maskApi.c of https://github.com/cocodataset/cocoapi, ``rleFrString``: a run is 5 bits a
    letter, the lowest first, and from the third on the difference to the run before the last.

    Raises:
        ValueError: runs that do not fill the image.
    """
    counts = runs["counts"]
    lengths = _from_letters(counts) if isinstance(counts, str) else [int(n) for n in counts]
    fits = list(runs["size"]) == [height, width] and min(lengths, default=0) >= 0
    if not fits or sum(lengths) != height * width:
        raise ValueError("run lengths that do not fill their image")
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return inside.reshape(width, height).T


def _from_letters(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def read_coco_masks(path: Path) -> CocoMasks:
    """Read a document of instances or of panoptic segments.

    The images of panoptic segments lie in a folder beside the document that has its name without
    the ending, as COCO packs them.

    Raises:
        InvalidInputError: a document of another form.
        UnsupportedError: more categories than a mask in 8 bits can have.
    """
    require_regular(path, _RULE, _REMEDY)
    with reading(path, _RULE, _REMEDY):
        document = json.loads(path.read_bytes())
    return masks_in(document, path)


def has_shapes(document: Any) -> bool:
    """Whether a document of boxes tells the pixels of its objects, by categories of a name each."""
    names = [str(row["name"]) for row in document["categories"]]
    shapes = [one.get("segmentation") for one in document["annotations"]]
    known = all(isinstance(shape, list | dict) for shape in shapes) and any(shapes)
    return known and len(set(names)) == len(names) < _MOST


def masks_in(document: Any, path: Path) -> CocoMasks:
    """Masks of a document that has been read.

    Args:
        document: content of the JSON.
        path: its path, beside which the images of panoptic segments lie.

    Raises:
        InvalidInputError, UnsupportedError: as ``read_coco_masks``.
    """
    with reading(path, _RULE, _REMEDY):
        categories = sorted(document["categories"], key=lambda row: int(row["id"]))
        names = tuple(str(row["name"]) for row in categories)
        by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for one in document["annotations"]:
            by_image[one["image_id"]].append(one)
        panoptic = any("segments_info" in one for rows in by_image.values() for one in rows)
        rows = document["images"]
        if panoptic:
            rows = [row for row in rows if row["id"] in by_image]
        found = CocoMasks(
            path,
            names,
            {int(row["id"]): number for number, row in enumerate(categories, 1)},
            tuple((str(row["file_name"]), int(row["height"]), int(row["width"])) for row in rows),
            tuple(tuple(by_image[row["id"]]) for row in rows),
            panoptic,
        )
        if not all(0 < h * w <= _MOST_PIXELS and h > 0 for _, h, w in found.images):
            raise ValueError("an image without a size, or of more pixels than can be read")
        drawn = panoptic or all("segmentation" in o for many in found.objects for o in many)
        if not drawn or not names or len(set(names)) < len(names):
            raise ValueError("annotations without segmentation, or categories of one name")
    if len(names) >= _MOST:
        raise UnsupportedError(
            f"masks have at most {_MOST - 1} categories",
            received=f"{len(names)} in {printable(path)}",
            remedy="leave out categories that the network does not have",
        )
    if not found.images:
        raise InvalidInputError(
            "a dataset has at least one image",
            received=f"{printable(path)} with none",
            remedy="give another file",
        )
    return found
