"""COCO JSON with a folder of photos.

Source: https://cocodataset.org/#format-data, "Object Detection".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.box_files import AnnotatedPhoto, checked_boxes, photos_with_boxes
from calibration_data.coco_masks import has_shapes, masks_in
from calibration_data.datasets.base import (
    Dataset,
    DatasetKind,
    SplitRole,
    refuse_unknown_split,
)
from calibration_data.datasets.image_folder import open_folder
from calibration_data.datasets.image_list import refuse_split
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_bytes, reading, require_regular

_FILES = ("instances.json", "_annotations.coco.json")
_KEYS = re.compile(rb'\s*\{\s*"(info|licenses|images|annotations|categories|type)"\s*:')
_MOST_BYTES = 1 << 30
_RULE = 'a COCO JSON has the lists "images", "annotations" and "categories"'
_REMEDY = "write it as https://cocodataset.org/#format-data describes"


def _looks_like(path: Path) -> bool:
    """Whether a file begins as an object with COCO's keys does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _KEYS.match(file.read(4096)) is not None


def _direct(folder: Path) -> Path | None:
    """The only annotation file of a folder of photos; None without one."""
    found = [folder / name for name in _FILES if _looks_like(folder / name)]
    found += list(_in_annotations(folder).values()) if not found else []
    return found[0] if len(found) == 1 else None


def _in_annotations(folder: Path) -> dict[str, Path]:
    """Files of a folder ``annotations`` by split; of the standard ones, those with boxes."""
    found = [path for path in sorted((folder / "annotations").glob("*.json")) if _looks_like(path)]
    chosen = [path for path in found if path.stem.startswith("instances")] or found
    return {path.stem.removeprefix("instances_"): path for path in chosen}


def _splits(folder: Path) -> dict[str, Path]:
    """Annotation files by the name of their split."""
    inside = {
        child.name: direct
        for child in sorted(folder.iterdir())
        if child.is_dir() and (direct := _direct(child)) is not None
    }
    return inside | _in_annotations(folder)


def _matches(text: str) -> bool:
    path = Path(text)
    if path.is_dir():
        return _direct(path) is not None or bool(_splits(path))
    return path.suffix == ".json" and _looks_like(path)


def _source(text: str, split: str | None) -> Path | None:
    """Annotation file of a split; None for a split that is a folder of images alone."""
    path = Path(text)
    if path.is_file():
        refuse_split(text, split)
        return path
    direct = _direct(path)
    if split is None and direct is not None:
        return direct
    splits = _splits(path)
    if split is None:
        refuse_unknown_split(text, split, tuple(splits))
    return splits.get(split or "")


def _open(text: str, split: str | None) -> Dataset:
    source = _source(text, split)
    if source is None:
        return open_folder(text, split)
    content = read_bytes(source, _RULE, _REMEDY, most_bytes=_MOST_BYTES)
    with reading(source, _RULE, _REMEDY):
        values = json.loads(content)
        photos, class_names = _read(values, source)
        shapes = has_shapes(values)
    word = split or (source.parent.name if source.name in _FILES else source.stem)
    role = SplitRole.of(re.sub(r"^instances_|\d+$", "", word))
    name = text if split is None else f"{text}:{split}"
    found = photos_with_boxes(name, role, photos, class_names)
    return replace(found, masks=masks_in(values, source).truth) if shapes else found


def _read(values: Any, source: Path) -> tuple[list[AnnotatedPhoto], tuple[str, ...]]:
    """Photos and class names, numbered in the order of the ids.

    Raises:
        InvalidInputError: ids that nothing has, or a box that breaks a rule.
        TypeError, ValueError, LookupError: damaged JSON.
    """
    categories = sorted((int(c["id"]), str(c["name"])) for c in values["categories"])
    numbers = {identity: number for number, (identity, _) in enumerate(categories)}
    images = {image["id"]: image for image in values["images"]}
    if len(numbers) != len(categories) or len(images) != len(values["images"]):
        raise ValueError("an id of a category or an image that occurs twice")
    by_image: dict[Any, list[Any]] = {identity: [] for identity in images}
    for annotation in values["annotations"]:
        if annotation["image_id"] not in images:
            raise _unknown(source, "image_id", annotation["image_id"], "images")
        if annotation["category_id"] not in numbers:
            raise _unknown(source, "category_id", annotation["category_id"], "categories")
        by_image[annotation["image_id"]].append(annotation)
    names = [str(image["file_name"]) for image in images.values()]
    paths = _paths(source, names)
    photos = [
        _photo(path, images[identity], annotations, numbers, source)
        for path, (identity, annotations) in zip(paths, by_image.items(), strict=True)
    ]
    return photos, tuple(name for _, name in categories)


def _photo(
    path: Path, image: Any, annotations: list[Any], numbers: dict[int, int], source: Path
) -> AnnotatedPhoto:
    size = int(image["height"]), int(image["width"])
    rectangles = np.array([_rectangle(a, image, source) for a in annotations]).reshape(-1, 4)
    left, top, width, height = rectangles.T
    filled = width * height
    boxes, empty = checked_boxes(
        f"{printable(image['file_name'])} of {printable(source)}",
        size,
        np.stack([top, left, top + height, left + width], axis=1),
        np.array([numbers[a["category_id"]] for a in annotations], np.int64),
        np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool),
        np.array([float(a.get("area", area)) for a, area in zip(annotations, filled, strict=True)]),
    )
    return AnnotatedPhoto(path, size, boxes, empty)


def _rectangle(annotation: Any, image: Any, source: Path) -> list[float]:
    """Left, top, width and height of a box in pixels."""
    box = annotation.get("bbox")
    try:
        left, top, width, height = map(float, box)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            "an annotation of COCO has a bbox = [left, top, width, height]",
            received=f"{'none' if box is None else printable(box)[:80]} for "
            f"{printable(image['file_name'])} in {printable(source)}",
            remedy="correct that annotation, or delete it",
        ) from error
    return [left, top, width, height]


def _paths(source: Path, names: list[str]) -> list[Path]:
    """Paths of the photos: beside the JSON, in a folder beside it, or above it.

    Raises:
        InvalidInputError: a photo that does not exist there, or a name outside the folder.
    """
    if not names:
        return []
    base = next((b for b in _bases(source) if (b / names[0]).is_file()), source.parent)
    paths = []
    for name in names:
        path = Path(os.path.normpath(base / name))
        if not path.is_relative_to(os.path.normpath(base)):
            raise InvalidInputError(
                "a COCO JSON names photos in its folder of photos or below",
                received=f"{printable(source)} with {printable(name)}",
                remedy="correct that file_name",
            )
        rule = f"the photos that {printable(source)} names are beside it, in a folder or above"
        paths.append(require_regular(path, rule, "give the JSON of these photos"))
    return paths


def _bases(source: Path) -> Iterator[Path]:
    split = source.stem.removeprefix("instances_")
    for folder in (source.parent, source.parent.parent):
        yield from (folder / "images", folder / split, folder / "images" / split, folder)


def _unknown(source: Path, key: str, value: object, where: str) -> InvalidInputError:
    return InvalidInputError(
        f'the {key} of every annotation of a COCO JSON is in its list "{where}"',
        received=f"{printable(value)} in {printable(source)}",
        remedy=f"add it to the {where}, or delete its annotations",
    )


def _referenced(text: str) -> tuple[Path, ...]:
    """Photos of a JSON that is named itself; those of a folder lie in it."""
    if Path(text).is_dir():
        return ()
    with reading(text, _RULE, _REMEDY):
        values = json.loads(read_bytes(Path(text), _RULE, _REMEDY, most_bytes=_MOST_BYTES))
        names = [str(image["file_name"]) for image in values["images"]]
    return tuple(_paths(Path(text), names))


KIND = DatasetKind(
    name="coco",
    syntax="FILE.json or FOLDER[:SPLIT]",
    summary="COCO JSON with true boxes: photos beside it, in a folder beside it, or above; of a "
    "folder, its instances.json or a file of its folder annotations/, which SPLIT names; with "
    "polygons or run lengths for segmenters, too",
    matches=_matches,
    open=_open,
    referenced=_referenced,
    order=20,
)
