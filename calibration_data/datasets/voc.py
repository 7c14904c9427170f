"""Pascal VOC XML: a file for each photo.

Source: Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge", International Journal
of Computer Vision 88:303-338, and its development kit: pixels count from 1, and the edges of a box
are its outermost pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from calibration_data.box_files import AnnotatedPhoto, checked_boxes, photos_with_boxes
from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.datasets.image_folder import direct_images, open_folder
from calibration_data.datasets.image_list import listed_names
from calibration_data.image_files import upright_size
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""Classes of Pascal VOC, in its order."""
_RULE = "a Pascal VOC file is XML with an object, a name and a bndbox for each box"
_REMEDY = "correct that file, or delete it with its photo"


@dataclass(frozen=True, eq=False)
class _Read:
    """Objects of one file: their names, edges ``[n, 4]``, and which are difficult."""

    size: tuple[int, int] | None
    names: tuple[str, ...]
    corners: np.ndarray
    difficult: np.ndarray


def _folders(folder: Path) -> tuple[Path, Path]:
    """Folders of the photos and of the XML files."""
    if (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir():
        return folder / "JPEGImages", folder / "Annotations"
    return folder, folder


def _matches(text: str) -> bool:
    folder = Path(text)
    if not folder.is_dir():
        return False
    photos, files = _folders(folder)
    stems = {path.stem for path in files.glob("*.xml")}
    return bool(stems) and any(path.stem in stems for path in direct_images(photos))


def _open(text: str, split: str | None) -> Dataset:
    folder = Path(text)
    photos, files = _folders(folder)
    lists = folder / "ImageSets" / "Main"
    paths = direct_images(photos)
    if split is not None:
        if not (lists / f"{split}.txt").is_file():
            return open_folder(text, split)
        paths = _listed(lists / f"{split}.txt", paths)
    annotated = [path for path in paths if (files / f"{path.stem}.xml").is_file()]
    remarks: tuple[str, ...] = ()
    if missing := len(paths) - len(annotated):
        remarks = (f"{missing} of {len(paths)} photos of {text} have no XML and are left out",)
    name = text if split is None else f"{text}:{split}"
    role = SplitRole.of(split or folder.resolve().name)
    return annotated_photos(name, role, annotated, files, remarks)


def annotated_photos(
    name: str, role: SplitRole, annotated: list[Path], files: Path, remarks: tuple[str, ...] = ()
) -> Dataset:
    """Dataset of photos that have an XML each.

    Args:
        name: DATA as the user wrote it.
        role: purpose for which the split may be used.
        annotated: photos.
        files: folder of the XML files, which have the names of the photos.
        remarks: sentences for the reader of a measurement.

    Raises:
        InvalidInputError: a file that is no XML of Pascal VOC, or a box that breaks a rule.
    """
    read = [_read(files / f"{path.stem}.xml") for path in annotated]
    names = {name for one in read for name in one.names}
    class_names = CLASSES if names <= set(CLASSES) else tuple(sorted(names))
    numbers = {name: number for number, name in enumerate(class_names)}
    photographed = [_photo(path, one, numbers) for path, one in zip(annotated, read, strict=True)]
    return photos_with_boxes(name, role, photographed, class_names, remarks)


def _listed(source: Path, paths: list[Path]) -> list[Path]:
    """Photos that a list of a split names, by their names without the ending."""
    by_stem = {path.stem: path for path in paths}
    names = [line.split()[0] for line in listed_names(source)]
    if unknown := [name for name in names if name not in by_stem]:
        raise InvalidInputError(
            f"the photos that {printable(source)} names are in JPEGImages",
            received=f"{printable(unknown[0])}, which is not there",
            remedy="correct the list, or add the photo",
        )
    return [by_stem[name] for name in names]


def _photo(path: Path, read: _Read, numbers: dict[str, int]) -> AnnotatedPhoto:
    labels = np.array([numbers[name] for name in read.names], np.int64)
    size = read.size or upright_size(path)
    source = f"the XML of {printable(path)}"
    boxes, empty = checked_boxes(source, size, read.corners, labels, read.difficult)
    return AnnotatedPhoto(path, read.size, boxes, empty)


def _read(path: Path) -> _Read:
    text = read_text(path, _RULE, _REMEDY)
    with reading(path, _RULE, _REMEDY, raised=(ET.ParseError,)):
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("a document type, which annotations do not need")
        root = ET.fromstring(text)  # noqa: S314 - has no DTD
        names, corners, difficult = [], [], []
        for found in root.iter("object"):
            edges = [
                float(_text(found, f"bndbox/{key}")) for key in ("ymin", "xmin", "ymax", "xmax")
            ]
            corners.append([edges[0] - 1, edges[1] - 1, edges[2], edges[3]])
            names.append(_text(found, "name"))
            difficult.append((found.findtext("difficult") or "0").strip() == "1")
        size = None
        if root.find("size") is not None:
            size = int(_text(root, "size/height")), int(_text(root, "size/width"))
        return _Read(
            size if size and min(size) > 0 else None,  # some tools write zeros
            tuple(names),
            np.array(corners, np.float64).reshape(-1, 4),
            np.array(difficult, bool),
        )


def _text(element: ET.Element, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"no {path}")
    return text


KIND = DatasetKind(
    name="voc",
    syntax="FOLDER[:SPLIT]",
    summary="Pascal VOC XML with true boxes: the folders JPEGImages and Annotations (SPLIT is a "
    "list of ImageSets/Main), or a folder of photos with an .xml beside each",
    matches=_matches,
    open=_open,
    order=82,
)
