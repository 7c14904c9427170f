"""YOLO text: a file for each photo, a line for each box.

Source: https://docs.ultralytics.com/datasets/detect, "Ultralytics YOLO format": the class, centre,
width and height, relative to the photo; a photo without a file, or with an empty one, has no box.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from calibration_data.box_files import AnnotatedPhoto, checked_boxes, photos_with_boxes
from calibration_data.datasets.base import (
    Dataset,
    DatasetKind,
    SplitRole,
    refuse_unknown_split,
)
from calibration_data.datasets.image_folder import direct_images, open_folder
from calibration_data.image_files import upright_size
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading

_IMAGES, _LABELS = "images", "labels"
_RULE = "a YOLO file has a class number, and centre, width and height from 0 to 1, on each line"
_REMEDY = "correct that file"
_NAMES_RULE = "the names of YOLO's classes are a list in data.yaml, or the lines of classes.txt"
_ENTRY = re.compile(r"""^\s*(?:-|(\d+)\s*:)\s*(.+?)\s*$""")


def _layouts(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of photos and of text files by split, under "" for a folder without splits."""
    found = {}
    images, labels = folder / _IMAGES, folder / _LABELS
    if images.is_dir() and labels.is_dir():
        if direct_images(images):
            found[""] = (images, labels)
        for child in sorted(images.iterdir()):
            if child.is_dir() and (labels / child.name).is_dir():
                found[child.name] = (child, labels / child.name)
    for child in sorted(folder.iterdir()):
        if (child / _IMAGES).is_dir() and (child / _LABELS).is_dir():
            found[child.name] = (child / _IMAGES, child / _LABELS)
    return {
        split: pair
        for split, pair in found.items()
        if next(pair[1].glob("*.txt"), None) is not None
    }


def _matches(text: str) -> bool:
    folder = Path(text)
    return folder.is_dir() and bool(_layouts(folder))


def _open(text: str, split: str | None) -> Dataset:
    folder = Path(text)
    layouts = _layouts(folder)
    if split is None and "" not in layouts:
        refuse_unknown_split(text, split, tuple(layouts))
    if split is not None and split not in layouts:
        return open_folder(text, split)
    images, labels = layouts[split or ""]
    names = class_names(folder, labels)
    photos = [
        _photo(path, labels / f"{path.stem}.txt", len(names)) for path in direct_images(images)
    ]
    known = {path.stem for path in direct_images(images)}
    strays = [p for p in sorted(labels.glob("*.txt")) if p.stem not in known | {"classes"}]
    if strays and not any((labels / f"{stem}.txt").is_file() for stem in known):
        raise InvalidInputError(
            "YOLO's text files have the names of their photos",
            received=f"{printable(strays[0])} without a photo, and photos without a file",
            remedy="give the labels of these photos",
        )
    name = text if split is None else f"{text}:{split}"
    role = SplitRole.of(split or folder.resolve().name)
    return photos_with_boxes(name, role, photos, names)


def _photo(path: Path, file: Path, classes: int) -> AnnotatedPhoto:
    size = upright_size(path)
    rows = _rows(file, classes) if file.is_file() else np.zeros((0, 5))
    centres, sides = rows[:, [2, 1]], rows[:, [4, 3]]
    relative = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    source = f"{printable(file)}"
    corners = relative * np.array(size * 2, np.float64)
    boxes, empty = checked_boxes(source, size, corners, rows[:, 0].astype(np.int64))
    return AnnotatedPhoto(path, None, boxes, empty)


def _rows(path: Path, classes: int) -> np.ndarray:
    """Class, centre x, centre y, width and height of each box, ``[n, 5]``."""
    text = read_text(path, _RULE, _REMEDY)
    with reading(path, _RULE, _REMEDY):
        rows = []
        for line in text.splitlines():
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 5:
                raise ValueError(f"{len(cells)} numbers on a line")
            rows.append([float(cell) for cell in cells])
        table = np.array(rows, np.float64).reshape(-1, 5)
        strange = (table[:, 0] != np.round(table[:, 0])) | (table[:, 0] < 0)
        strange |= table[:, 0] >= classes
        if strange.any():
            value = table[int(strange.argmax()), 0]
            raise InvalidInputError(
                f"the classes of YOLO's text files are numbers from 0 to {classes - 1}, as many as "
                "have names",
                received=f"{value:g} in {printable(path)}",
                remedy="correct that line, or name the class in data.yaml",
            )
        return table


def class_names(folder: Path, labels: Path) -> tuple[str, ...]:
    """Names in data.yaml or classes.txt, inside the folder, above it or among the labels.

    Raises:
        InvalidInputError: neither of the two, or one that cannot be read.
    """
    places = (folder, labels, labels.parent, folder.parent)
    for place in places:
        for file in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
            text = read_text(file, _NAMES_RULE, _REMEDY)
            with reading(file, _NAMES_RULE, _REMEDY):
                if names := yaml_names(text):
                    return names
        if (place / "classes.txt").is_file():
            lines = read_text(place / "classes.txt", _NAMES_RULE, _REMEDY).splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    raise InvalidInputError(
        _NAMES_RULE, received=f"{printable(folder)} with neither", remedy="add one of the two"
    )


def yaml_names(text: str) -> tuple[str, ...]:
    """Entry ``names`` of a data.yaml: a list or numbered names, on one line or on several.

    Args:
        text: a file whose other entries are passed over; it needs no parser of all of YAML.

    Returns:
        Names in the order of their numbers; empty without the entry.

    Raises:
        ValueError: an entry of another form, or numbers that leave one out.
    """
    lines = [line.split(" #")[0].rstrip() for line in text.splitlines()]
    starts = [i for i, line in enumerate(lines) if re.match(r"names\s*:", line)]
    if not starts:
        return ()
    rest = [lines[starts[0]].split(":", 1)[1], *lines[starts[0] + 1 :]]
    joined = " ".join(rest).strip()
    if joined[:1] in ("[", "{"):
        end = joined.find({"[": "]", "{": "}"}[joined[0]])
        if end < 0:
            raise ValueError("names without a closing bracket")
        sign = "- " if joined[0] == "[" else ""
        rest = ["", *(f"{sign}{cell.strip()}" for cell in joined[1:end].split(",") if cell.strip())]
    found: dict[int, str] = {}
    for line in rest[1:]:
        if not line.strip():
            continue
        entry = _ENTRY.match(line)
        if entry is None:
            break
        number = len(found) if entry[1] is None else int(entry[1])
        found[number] = entry[2].strip("'\"")
    if sorted(found) != list(range(len(found))) or not found:
        raise ValueError(f"names with the numbers {', '.join(map(str, sorted(found))) or 'none'}")
    return tuple(found[number] for number in range(len(found)))


KIND = DatasetKind(
    name="yolo",
    syntax="FOLDER[:SPLIT]",
    summary="YOLO text with true boxes: the folders images/ and labels/, with data.yaml or "
    "classes.txt; SPLIT is a folder inside the two, or one that has both",
    matches=_matches,
    open=_open,
    order=84,
)
