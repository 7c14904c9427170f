"""Photos with a mask of classes each: in folders, in Pascal VOC's layout, or from COCO's JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calibration_data.annotations import MaskTruth
from calibration_data.coco_masks import read_coco_masks
from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole, refuse_unknown_split
from calibration_data.datasets.voc import KIND as BOXES
from calibration_data.datasets.voc import annotated_photos
from calibration_data.image_files import IMAGE_SUFFIXES, from_paths, spread, upright_size
from calibration_data.mask_files import (
    mask_size,
    masks_by_name,
    masks_of,
    read_mask,
    require_mask_size,
)
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading, require_regular

MASKED = "masked"
"""Split of the photos that have a mask, whatever else lies beside them."""
_PROBED = 4096
"""Largest number of photos whose size is compared with the mask before any work is done."""


@dataclass(frozen=True)
class _Layout:
    """Folders of photos and of masks inside one folder.

    Attributes:
        photos: folder of the photos.
        masks: folder of the masks.
        lists: folder with a text file of names for each split; empty for layouts without.
    """

    photos: str
    masks: str
    lists: str = ""

    def fits(self, folder: Path) -> bool:
        """Whether a folder has this layout."""
        return (folder / self.photos).is_dir() and (folder / self.masks).is_dir()


_LAYOUTS = (
    _Layout("images", "masks"),
    _Layout("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
)


def _layout(folder: Path) -> _Layout | None:
    return next((layout for layout in _LAYOUTS if layout.fits(folder)), None)


def _pair(text: str) -> tuple[Path, Path] | None:
    """Folder of photos, and folder or JSON of masks, of ``PHOTOS+MASKS``; None for other texts.

    The second path lies beside the first, unless it exists as it is.
    """
    first, plus, second = text.rpartition("+")
    photos = Path(first)
    if not plus or not first or not second or Path(text).exists() or not photos.is_dir():
        return None
    masks = Path(second)
    return photos, masks if masks.exists() else photos.parent / masks


def _matches(text: str) -> bool:
    if _pair(text) is not None:
        return True
    folder = Path(text)
    if not folder.is_dir():
        return False
    return _layout(folder) is not None or any(
        path.is_dir() and _layout(path) is not None for path in folder.iterdir()
    )


def _open(text: str, split: str | None) -> Dataset:
    pair = _pair(text)
    if pair is not None:
        photos, masks = pair
        if masks.suffix == ".json" or (split is None and masks.is_file()):
            return _of_coco(text, split, photos, masks)
        return _of_folders(text, split, photos, masks)
    folder = Path(text)
    layout = _layout(folder)
    if layout is None:
        splits = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and _layout(p)))
        refuse_unknown_split(text, split, splits)
        assert split is not None
        folder = folder / split
        layout, name, split = _layout(folder), f"{text}:{split}", None
        assert layout is not None
        found = _of_folders(str(folder), None, folder / layout.photos, folder / layout.masks)
        return replace(found, name=name, role=SplitRole.of(folder.name))
    if layout.lists:
        return _of_voc(text, split, layout)
    return _of_folders(text, split, folder / layout.photos, folder / layout.masks)


def _of_folders(text: str, split: str | None, photos: Path, masks: Path) -> Dataset:
    if split is not None:
        refuse_unknown_split(text, split, (MASKED,))
    if not masks.is_dir():
        raise InvalidInputError(
            "PHOTOS+MASKS names a folder of photos, and beside it a folder of masks or COCO's JSON",
            received=f"{printable(masks)}, which does not exist",
            remedy="correct the second path",
        )
    with reading(photos, "an image folder can be read", "check its permissions"):
        images = sorted(
            path
            for path in photos.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
    if split == MASKED:
        known = masks_by_name(masks)
        images = [path for path in images if path.stem in known or path.name in known]
    remedy = f"add the masks, or take the photos that have one: {text}:{MASKED}"
    return _with_masks(text, split, images, masks_of(images, masks, remedy))


def _of_voc(text: str, split: str | None, layout: _Layout) -> Dataset:
    """Pascal VOC's folder: the photos of a list, or without a split those that have a mask.

    They have boxes too if each of them has an XML; a list that only Main has is one of boxes.
    """
    root = Path(text)
    photos, masks, lists = (root / n for n in (layout.photos, layout.masks, layout.lists))
    with reading(photos, "an image folder can be read", "check its permissions"):
        known = {p.stem: p for p in photos.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES}
    if split is None:
        names = [name for name in masks_by_name(masks) if name in known]
    else:
        splits = tuple(sorted(path.stem for path in lists.glob("*.txt")))
        if split not in splits and (lists.parent / "Main" / f"{split}.txt").is_file():
            return BOXES.open(text, split)
        refuse_unknown_split(text, split, splits)
        path = lists / f"{split}.txt"
        rule = "a list of Pascal VOC has the name of an image in each line"
        names = [
            line.split()[0]
            for line in read_text(path, rule, "write the list again").splitlines()
            if line.strip()
        ]
        missing = [name for name in names if name not in known]
        if missing:
            raise InvalidInputError(
                "a list of Pascal VOC names images of its folder",
                received=f"{printable(path)} with {printable(missing[0])[:80]}",
                remedy="add the photos, or correct the list",
            )
    images = [known[name] for name in names]
    remedy = "add the masks, or correct the list"
    found = _with_masks(text, split, images, masks_of(images, masks, remedy))
    files = root / "Annotations"
    if all((files / f"{path.stem}.xml").is_file() for path in images):
        found = replace(found, boxes=annotated_photos(found.name, found.role, images, files).boxes)
    return found


def _with_masks(text: str, split: str | None, images: list[Path], masks: list[Path]) -> Dataset:
    for i in spread(len(images), _PROBED):
        require_mask_size(mask_size(masks[i]), upright_size(images[i]), str(images[i]))
    name = text if split is None else f"{text}:{split}"
    found = from_paths(name, _role(split, images), images)
    return replace(found, masks=MaskTruth(lambda i: read_mask(masks[i])))


def _of_coco(text: str, split: str | None, photos: Path, path: Path) -> Dataset:
    if split is not None:
        raise InvalidInputError(
            "the images of COCO's JSON are those that it lists; it has no splits",
            received=f"{text}:{split}",
            remedy=f"give {text}, or a file for each split",
        )
    found = read_coco_masks(path)
    remedy = "add the photo, or delete it from the JSON"
    images = [
        require_regular(photos / name, "COCO's JSON lists photos of the folder", remedy)
        for name, _, _ in found.images
    ]
    for i in spread(len(images), _PROBED):
        require_mask_size(found.images[i][1:], upright_size(images[i]), str(images[i]))
    return replace(from_paths(text, _role(None, images), images), masks=found.truth)


def _role(split: str | None, images: list[Path]) -> SplitRole:
    """Role of a split, or of the folder that photos, or their folder, lie in."""
    names = [split or ""]
    if images:
        parents = images[0].resolve().parents
        names += [parent.name for parent in parents[:2]]
    roles = (SplitRole.of(name) for name in names)
    return next((role for role in roles if role is not SplitRole.UNKNOWN), SplitRole.UNKNOWN)


def _referenced(text: str) -> tuple[Path, ...]:
    pair = _pair(text)
    if pair is None:
        return ()
    folders = dict.fromkeys((*pair, pair[1].with_suffix("")))  # of panoptic images, the last
    inside = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir())]
    return tuple(path for path in (*inside, pair[1]) if path.is_file())


KIND = DatasetKind(
    name="masks",
    syntax="PHOTOS+MASKS[:masked]",
    summary="folder of photos, and beside it a folder of masks of the same names (numbers, or the "
    "contract's colours) or COCO's JSON of instances or panoptic segments; `masked` leaves out "
    "photos without a mask. Also a FOLDER with images/ and masks/, or of such folders "
    "(FOLDER:SPLIT), or of Pascal VOC (JPEGImages/, SegmentationClass/)",
    matches=_matches,
    open=_open,
    referenced=_referenced,
    order=60,
)
