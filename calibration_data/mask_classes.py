"""Pixels of true masks as the classes of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from calibration_data.annotations import MaskTruth
from calibration_data.datasets.base import Dataset
from calibration_data.labels import BACKGROUND, VOC_NAMES_OF_COCO
from calibration_data.mask_files import require_mask_size
from calibration_data.preprocessing import Preprocessing
from calibration_data.segmentation import Segmenter
from foundation.errors import InvalidInputError
from foundation.foreign import printable
from foundation.threads import cores

UNMEASURED = -1
"""Class of a pixel that is not measured."""
_NO_CLASS = -2
_VALUES = 256


@dataclass(frozen=True, eq=False)
class MaskClasses:
    """Translation of the values of true masks to the classes of a network.

    Attributes:
        masks: true masks.
        classes: number of classes of the network.
        labels: names of its classes; empty if unknown.
        segmenter: the part of its contract about masks.
        source: name of the dataset, for messages.

    Raises:
        InvalidInputError: a palette that is no list of the classes, or masks of other classes.
    """

    masks: MaskTruth
    classes: int
    labels: tuple[str, ...]
    segmenter: Segmenter
    source: str
    _colours: dict[int, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        palette = self.segmenter.palette
        if palette and (
            len(palette) not in (self.classes, self.classes + 1) or len(set(palette)) < len(palette)
        ):
            raise InvalidInputError(
                f"a palette has one colour of its own for each of the {self.classes} classes, and "
                "at most one more, of pixels that are not measured",
                received=f"{len(palette)} colours, {len(set(palette))} of them different",
                remedy="correct palette under [segmentation] in the contract",
            )
        for place, (red, green, blue) in enumerate(palette):
            number = place if place < self.classes else UNMEASURED
            self._colours[red << 16 | green << 8 | blue] = number
        _ = self._table  # names of other classes are refused at once

    def of(self, index: int, size: Sequence[int], name: str) -> np.ndarray:
        """Classes of one photo, int16 ``[height, width]``; UNMEASURED where nothing is measured.

        Args:
            index: image of the dataset.
            size: height and width of the photo.
            name: name of the photo, for messages.

        Raises:
            InvalidInputError: a mask of another size, or with a value or colour of no class.
        """
        mask = self.masks.of(index)
        require_mask_size(mask.shape[:2], size, name)
        return self._numbers(mask, name)

    def check(self, indices: Sequence[int], describe: Callable[[int], str]) -> bool:
        """Look at the values of masks.

        Args:
            indices: images of the dataset.
            describe: index of an image -> its name, for messages.

        Returns:
            Whether one of the masks has a pixel that is measured.

        Raises:
            InvalidInputError: a mask with a value or colour of no class.
        """

        def measured(index: int) -> bool:
            classes = self._numbers(self.masks.of(index), describe(index))
            return bool((classes != UNMEASURED).any())

        with ThreadPoolExecutor(cores()) as pool:
            return any(list(pool.map(measured, indices)))

    def _numbers(self, mask: np.ndarray, name: str) -> np.ndarray:
        """Classes of a mask of numbers or colours."""
        if mask.ndim == 3:
            return self._of_colours(mask, name)
        found: np.ndarray = self._table[mask]
        if (found == _NO_CLASS).any():
            value = int(mask[found == _NO_CLASS][0])
            raise InvalidInputError(
                f"the pixels of a mask are class numbers from 0 to {self.classes - 1}, or "
                f"{self._ignored} where nothing is measured",
                received=f"{value} in the mask of {name}",
                remedy="number the classes as the network does, or state ignored under "
                "[segmentation] in the contract",
            )
        return found

    def _of_colours(self, mask: np.ndarray, name: str) -> np.ndarray:
        if not self._colours:
            raise InvalidInputError(
                "a mask of colours needs the palette of the classes",
                received=f"the mask of {name}, and a contract without palette",
                remedy="write palette = [[r, g, b], ...] under [segmentation] into the contract, "
                "in the order of the labels, or store masks of class numbers",
            )
        levels = mask.astype(np.int32)
        codes = levels[..., 0] << 16 | levels[..., 1] << 8 | levels[..., 2]
        known = np.array(sorted(self._colours), np.int32)
        numbers = np.array([self._colours[int(code)] for code in known], np.int16)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        if (strange := known[places] != codes).any():
            raise InvalidInputError(
                "the colours of a mask are those of the palette",
                received=f"{mask[strange][0].tolist()} in the mask of {name}",
                remedy="correct palette under [segmentation] in the contract; one colour more "
                "than labels is that of pixels that are not measured",
            )
        return numbers[places]

    @property
    def _ignored(self) -> int:
        """Value of pixels that are not measured: masks that are made here have their own."""
        return self.masks.ignored if self.masks.class_names else self.segmenter.ignored

    @cached_property
    def _table(self) -> np.ndarray:
        """Class of each value of a mask, int16 ``[256]``."""
        table = np.full(_VALUES, _NO_CLASS, np.int16)
        names = self.masks.class_names
        if names and self.labels and names != self.labels:
            table[: len(names)] = self._by_name(names)
        else:
            if names and len(names) != self.classes:
                raise self._other_classes(f"{len(names)} classes")
            table[: self.classes] = np.arange(self.classes)
        table[self._ignored] = UNMEASURED
        return table

    def _by_name(self, names: tuple[str, ...]) -> list[int]:
        known = {label: number for number, label in enumerate(self.labels)}
        ground = known.get(BACKGROUND, UNMEASURED)
        found = [known.get(name, known.get(VOC_NAMES_OF_COCO.get(name, ""))) for name in names]
        unknown = [name for name, number in zip(names, found, strict=True) if number is None]
        if unknown and not self.masks.others_are_ground:
            raise self._other_classes(", ".join(unknown[:3]))
        if all(number in (None, ground) for number in found):
            raise self._other_classes(", ".join(names[:3]))
        return [ground if number is None else number for number in found]

    def _other_classes(self, received: str) -> InvalidInputError:
        words = f" ({', '.join(self.labels[:3])}, ...)" if self.labels else ""
        return InvalidInputError(
            f"the classes of the masks are those of the network, which has {self.classes}{words}",
            received=f"{printable(received)[:200]} in {self.source}",
            remedy="give the labels that the network was trained with, in its order",
        )


def mask_labels(
    contract: Preprocessing, shape: Sequence[int], datasets: Sequence[Dataset]
) -> Preprocessing:
    """Check the labels of a segmenter, or add those of a dataset with masks of as many classes.

    Args:
        contract: contract of the network.
        shape: shape of its output for one image: ``(h, w, classes)``, ``(h, w, 1)`` or ``(h, w)``.
        datasets: photos, the most telling ones first.

    Raises:
        InvalidInputError: another number of labels than classes.
    """
    classes = shape[2] if len(shape) == 3 and shape[2] > 1 else None
    if contract.labels:
        if classes is not None and len(contract.labels) != classes:
            hint = f"; name the class {BACKGROUND}" if len(contract.labels) == classes - 1 else ""
            raise InvalidInputError(
                f"a segmenter of {classes} classes has {classes} labels",
                received=f"{len(contract.labels)} labels",
                remedy=f"give the list that the model was trained with{hint}",
            )
        return contract
    named = (d.masks.class_names for d in datasets if d.masks is not None)
    names = next((names for names in named if names), ())
    return contract.with_labels(names) if len(names) == classes else contract
