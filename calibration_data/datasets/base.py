"""Interface of every dataset, and the resolution of a DATA argument to a dataset."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.annotations import BoxTruth, MaskTruth
from calibration_data.targets import Targets
from foundation.errors import InvalidInputError
from foundation.foreign import printable

if TYPE_CHECKING:
    from PIL import Image

    Picture = np.ndarray | Image.Image


class SplitRole(StrEnum):
    """Purpose for which a split may be used."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    DEVELOPMENT = "development"
    TEST = "test"
    UNKNOWN = "unknown"
    """A folder or file whose name tells no role; its use is the user's responsibility."""

    @classmethod
    def of(cls, split: str | None) -> SplitRole:
        """Role of a split by its usual name: train, calibration, val, dev, test."""
        word = (split or "").lower()
        for role, words in _ROLE_WORDS.items():
            if word in words:
                return role
        return cls.UNKNOWN


_ROLE_WORDS = {
    SplitRole.TRAIN: ("train", "training"),
    SplitRole.CALIBRATION: ("calibration", "calib", "calibrate", "representative"),
    SplitRole.DEVELOPMENT: ("dev", "development", "val", "valid", "validation"),
    SplitRole.TEST: ("test", "testing", "eval", "evaluation"),
}


GIVE_LABELS = (
    "sort the images into class folders, or put a labels.csv with the columns file,label into "
    "their folder"
)
"""Remedy for images without labels where labels are needed."""


@dataclass(frozen=True)
class Dataset:
    """Images that are decoded one at a time, with labels or without.

    Attributes:
        name: DATA as the user wrote it, with its split.
        role: purpose for which the split may be used.
        labels: class of each image, int64 ``[n]``; None for images without labels.
        class_names: name of each class that ``labels`` counts; empty if the labels are output
            numbers of a network, or None.
        decode: image index -> Pillow image or uint8 array; called from several threads;
            raises InvalidInputError if the image cannot be read.
        describe: image index -> name of the image in messages (a path, or its index).
        content: image index -> stored bytes, by which copies are recognized; None for arrays,
            whose pixels are compared.
        content_size: image index -> number of those bytes, without reading them.
        conversions: image index -> what decoding changes (``conversions_of``), read from the
            file's header alone; None for arrays, which are not changed.
        count: number of images if ``labels`` is None; not read otherwise.
        targets: true values that are not class numbers; ``labels`` is None then.
        boxes: true boxes; None without.
        masks: true masks; None without.
        remarks: sentences about the annotations that the reader of a measurement needs.
    """

    name: str
    role: SplitRole
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    decode: Callable[[int], Picture] = field(repr=False)
    describe: Callable[[int], str] = field(repr=False, default=lambda i: f"image {i}")
    content: Callable[[int], bytes] | None = field(repr=False, default=None)
    content_size: Callable[[int], int] | None = field(repr=False, default=None)
    conversions: Callable[[int], tuple[str, ...]] | None = field(repr=False, default=None)
    count: int | None = None
    targets: tuple[Targets, ...] = field(repr=False, default=())
    boxes: BoxTruth | None = field(repr=False, default=None)
    masks: MaskTruth | None = field(repr=False, default=None)
    remarks: tuple[str, ...] = field(repr=False, default=())

    def __post_init__(self) -> None:
        if self.labels is None and self.count is None:
            raise ValueError("a dataset without labels states its number of images")
        if self.targets and (
            self.labels is not None or {len(t) for t in self.targets} != {len(self)}
        ):
            raise ValueError("a dataset has class numbers, or targets for each image")

    def __len__(self) -> int:
        if self.labels is not None:
            return len(self.labels)
        assert self.count is not None
        return self.count

    @property
    def answered(self) -> bool:
        """Whether true classes, other targets, boxes or masks are known."""
        truths = (self.labels, self.boxes, self.masks)
        return bool(self.targets) or any(truth is not None for truth in truths)

    def require_labels(self, what: str) -> np.ndarray:
        """Labels, int64 ``[n]``.

        Args:
            what: what needs them, as the subject of a sentence.

        Raises:
            InvalidInputError: images without labels.
        """
        if self.labels is None:
            raise InvalidInputError(
                f"{what} needs images with labels",
                received=f"{self.name}, which has none",
                remedy=GIVE_LABELS,
            )
        return self.labels

    def subset(self, indices: np.ndarray) -> Dataset:
        """Dataset of the images at ``indices`` (int ``[m]``), in that order."""
        chosen = np.asarray(indices)
        content, size, conversions = self.content, self.content_size, self.conversions
        boxes, masks = self.boxes, self.masks
        return replace(
            self,
            labels=None if self.labels is None else self.labels[chosen],
            targets=tuple(targets.subset(chosen) for targets in self.targets),
            count=len(chosen),
            boxes=boxes and replace(boxes, of=lambda i: boxes.of(int(chosen[i]))),
            masks=masks and replace(masks, of=lambda i: masks.of(int(chosen[i]))),
            decode=lambda i: self.decode(int(chosen[i])),
            describe=lambda i: self.describe(int(chosen[i])),
            content=None if content is None else lambda i: content(int(chosen[i])),
            content_size=None if size is None else lambda i: size(int(chosen[i])),
            conversions=None if conversions is None else lambda i: conversions(int(chosen[i])),
        )


@dataclass(frozen=True)
class DatasetKind:
    """One form of DATA; a module of this package defines one as ``KIND``.

    Attributes:
        name: name of the kind in listings.
        syntax: form of DATA, for help texts.
        summary: description in one line.
        matches: whether a DATA text (without its split) is of this kind.
        open: (text, split or None) -> the dataset.
        referenced: DATA text (without its split) -> files that its images or labels come from,
            besides the file or folder that the text names.
        examples: registered names that ``edgequant list datasets`` shows.
        listed: whether a user can write such a text.
        order: position in the order in which kinds are tried.
    """

    name: str
    syntax: str
    summary: str
    matches: Callable[[str], bool]
    open: Callable[[str, str | None], Dataset]
    referenced: Callable[[str], tuple[Path, ...]] = lambda _: ()
    examples: tuple[str, ...] = ()
    listed: bool = True
    order: int = 50


def dataset_kinds() -> tuple[DatasetKind, ...]:
    """All kinds, collected by walking this package: a new kind is one new file."""
    package = import_module(__package__)
    modules = (
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    )
    kinds = (module.KIND for module in modules if hasattr(module, "KIND"))
    return tuple(sorted(kinds, key=lambda kind: (kind.order, kind.name)))


def open_dataset(data: str) -> Dataset:
    """Open DATA: a folder, a file or a registered name, with an optional ``:split``.

    Raises:
        InvalidInputError: no dataset of that name, no such split, or a dataset without images.
    """
    for text, split in readings(data) if data.strip() else ():
        for kind in dataset_kinds():
            if _matches(kind, text):
                dataset = kind.open(text, split)
                if len(dataset) == 0:
                    raise InvalidInputError(
                        "a dataset has at least one image",
                        received=f"{data} with none",
                        remedy="give another folder, file or split",
                    )
                return dataset
    raise InvalidInputError(
        "DATA is an existing folder or file (.npz, .npy, .tar, .txt, .csv, .json), or a registered "
        "name",
        received=printable(data)[:200] or "nothing",
        remedy="see 'edgequant list datasets'",
    )


def referenced_files(text: str) -> tuple[Path, ...]:
    """Files behind a DATA text without its split, besides the file or folder that it names.

    Raises:
        InvalidInputError: a list of images that cannot be read.
    """
    kind = next((kind for kind in dataset_kinds() if _matches(kind, text)), None)
    return () if kind is None else kind.referenced(text)


def readings(data: str) -> list[tuple[str, str | None]]:
    """Ways to separate DATA into text and split, likeliest first; an existing path has no split."""
    whole: tuple[str, str | None] = (data, None)
    if _exists(data):
        return [whole]
    # From the left: tfds/NAME:train[:100] has its split after the first colon.
    colons = [i for i, letter in enumerate(data) if letter == ":" and data[i + 1 :]]
    return [*((data[:i], data[i + 1 :]) for i in colons), whole]


def _matches(kind: DatasetKind, text: str) -> bool:
    try:
        return kind.matches(text)
    except (OSError, ValueError):  # not a possible file name
        return False


def _exists(data: str) -> bool:
    try:
        return Path(data).exists()
    except (OSError, ValueError):  # not a possible file name, or in an unreadable folder
        return False


def refuse_unknown_split(data: str, split: str | None, known: tuple[str, ...]) -> None:
    """Raise InvalidInputError unless ``split`` is one of ``known``."""
    if split not in known:
        raise InvalidInputError(
            f"{data} has the splits {', '.join(known)}",
            received=split or "no split",
            remedy=f"write for instance {data}:{known[0]}",
        )
