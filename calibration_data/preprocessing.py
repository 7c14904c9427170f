"""The preprocessing contract: how an image becomes the tensor that a network takes.

One frozen value belongs to the weights and drives training, calibration, evaluation and the
metadata of every exported file, so that they cannot disagree.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.labels import KNOWN_LABELS
from calibration_data.pixels import require_area, rgb_array, to_rgb
from calibration_data.task import KEYS, Tasks
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading, reason_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Crop(StrEnum):
    """Method by which an image of any shape is brought to ``size``."""

    CENTER = "center"
    """Resize the short side to ``resize_short_side``, then crop the centre."""
    STRETCH = "stretch"
    """Resize both sides to ``size``, whatever the aspect ratio."""
    PAD = "pad"
    """No resizing: the image is centred on black; one larger than ``size`` is refused."""
    EXACT = "exact"
    """No resizing: an image of another size is refused."""


class Interpolation(StrEnum):
    """Resampling filter, by Pillow's name."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"


class ChannelOrder(StrEnum):
    """Order of the three colour channels in the tensor."""

    RGB = "rgb"
    BGR = "bgr"


_MOST_SHOWN = 200
"""Largest number of characters of a value in a message."""

_LARGEST_SIDE = 16_384
"""Largest side in pixels; a larger image would take gigabytes as a tensor."""

_SMALLEST_STD = 1e-6
"""Smallest standard deviation; with a smaller one, float32 overflows or divides by zero."""


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of an image to a tensor: ``(pixel - mean) / std`` after resize and crop.

    Attributes:
        size: height and width of the tensor, in pixels.
        crop: method by which the image is brought to ``size``.
        resize_short_side: pixels of the short side before a centre crop; set for ``center`` only.
        interpolation: resampling filter of the resize.
        channels: order of the colour channels.
        mean: mean of pixel values 0..255 per channel, in the order of ``channels``.
        std: standard deviation of pixel values 0..255 per channel, in the order of ``channels``;
            above zero.
        labels: class names in the order of the network's outputs; empty if unknown.
        tasks: what the outputs mean (keys ``task``, ``threshold`` and ``[outputs.NAME]``).

    Raises:
        InvalidInputError: an impossible combination (a centre crop larger than the resized image,
            a standard deviation of zero, duplicate labels).
    """

    size: tuple[int, int]
    crop: Crop = Crop.CENTER
    resize_short_side: int | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    channels: ChannelOrder = ChannelOrder.RGB
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    labels: tuple[str, ...] = ()
    tasks: Tasks = field(default=Tasks(), repr=False)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(1 <= side <= _LARGEST_SIDE for side in self.size):
            _refuse(
                f"size must be two positive whole numbers up to {_LARGEST_SIDE}, height and width",
                self.size,
            )
        if (self.resize_short_side is not None) != (self.crop is Crop.CENTER):
            _refuse(
                "resize_short_side goes with crop = 'center', and only with it",
                f"crop = {self.crop.value!r} and resize_short_side = {self.resize_short_side}",
            )
        if self.resize_short_side is not None and not (
            max(self.size) <= self.resize_short_side <= _LARGEST_SIDE
        ):
            _refuse(
                "resize_short_side must be at least the longer side of size, and at most "
                f"{_LARGEST_SIDE}",
                f"{self.resize_short_side} with size {self.size}",
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(-1e6 < v < 1e6 for v in values):
                _refuse(f"{name} must be one finite number or three", values)
        if min(self.std) < _SMALLEST_STD:
            _refuse(f"std must be above zero, at least {_SMALLEST_STD:g}", self.std)
        if len(set(self.labels)) != len(self.labels):
            duplicate = next(x for i, x in enumerate(self.labels) if x in self.labels[:i])
            _refuse("labels must be unique", f"{duplicate!r} more than once")
        if unfit := [x for x in self.labels if x != x.strip() or len(x.splitlines()) != 1]:
            _refuse("a label is one line of text without blanks around it", repr(unfit[0]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor of one image, without the batch: ``(height, width, 3)``."""
        return (*self.size, 3)

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value of the tensor, for pixel values 0..255."""
        lows = [(0 - m) / s for m, s in zip(self.mean, self.std, strict=True)]
        highs = [(255 - m) / s for m, s in zip(self.mean, self.std, strict=True)]
        return min(lows), max(highs)

    def with_labels(self, labels: tuple[str, ...]) -> Preprocessing:
        """Copy of the contract with other labels."""
        return replace(self, labels=labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML, JSON and file metadata, readable by ``from_dict``."""
        values: dict[str, Any] = {
            "size": list(self.size),
            "crop": self.crop.value,
            "interpolation": self.interpolation.value,
            "channels": self.channels.value,
            "mean": list(self.mean),
            "std": list(self.std),
        }
        if self.resize_short_side is not None:
            values["resize_short_side"] = self.resize_short_side
        if self.labels:
            values["labels"] = list(self.labels)
        return values | self.tasks.to_dict()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Read a contract from plain values.

        Raises:
            InvalidInputError: an unknown key, a missing ``size``, or a value of the wrong type.
        """
        known = {
            "size", "crop", "resize_short_side", "interpolation", "channels", "mean", "std",
            "labels", *KEYS,
        }  # fmt: skip
        if unknown := sorted(set(values) - known):
            _refuse(f"a contract has the keys {', '.join(sorted(known))}", ", ".join(unknown))
        if "size" not in values:
            _refuse("a contract needs size = [height, width]", ", ".join(sorted(values)) or "none")
        short_side = values.get("resize_short_side")
        default_crop = Crop.STRETCH if short_side is None else Crop.CENTER
        try:
            return cls(
                size=_two(values["size"]),
                crop=Crop(values.get("crop", default_crop.value)),
                resize_short_side=None if short_side is None else _whole(short_side),
                interpolation=Interpolation(values.get("interpolation", "bilinear")),
                channels=ChannelOrder(values.get("channels", "rgb")),
                mean=_three(values.get("mean", 127.5)),
                std=_three(values.get("std", 127.5)),
                labels=_texts(values.get("labels", ())),
                tasks=Tasks.from_dict(values),
            )
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInputError(
                "a contract holds numbers, and the words that the README lists",
                received=reason_of(error),
                remedy="correct that value",
            ) from error

    def tensor(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Apply the contract to one image.

        Args:
            image: a Pillow image, or uint8 ``[height, width]``, ``[height, width, 1]`` (grey,
                repeated to three channels) or ``[height, width, 3]`` in RGB order.

        Returns:
            float32 ``[size[0], size[1], 3]``.

        Raises:
            InvalidInputError: an array of another dtype or number of channels, or an image of a
                size that the contract does not accept.
        """
        return self.normalize(self.pixels(image))

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Reorder the channels and apply mean and std.

        Args:
            pixels: uint8 ``[..., height, width, 3]``, RGB.

        Returns:
            float32, same shape.
        """
        import numpy as np

        if self.channels is ChannelOrder.BGR:
            pixels = pixels[..., ::-1]
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values: np.ndarray = (pixels.astype(np.float32) - mean) / std
        return values

    def pixels(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Resize and crop only; errors are those of ``tensor``.

        Args:
            image: a Pillow image, or an array as ``tensor`` takes it.

        Returns:
            uint8 ``[size[0], size[1], 3]``, RGB.
        """
        import numpy as np
        from PIL import Image

        if isinstance(image, np.ndarray):
            image = Image.fromarray(rgb_array(image))
        else:
            require_area(image.height, image.width)
            image = to_rgb(image)
        height, width = self.size
        if self.crop in (Crop.PAD, Crop.EXACT):
            return self._placed(np.asarray(image))
        resample = Image.Resampling[self.interpolation.name]
        if self.crop is Crop.STRETCH:
            return np.asarray(image.resize((width, height), resample))
        assert self.resize_short_side is not None
        shorter = min(image.size)
        # Integer division, as in torchvision: a float scale loses a row where the ratio is exact.
        resized = (
            self.resize_short_side * image.width // shorter,
            self.resize_short_side * image.height // shorter,
        )
        left = round((resized[0] - width) / 2)
        top = round((resized[1] - height) / 2)
        if self.interpolation is not Interpolation.BILINEAR:
            # With a box, nearest and box select other pixels, and Pillow may swap its two passes,
            # whose 8-bit intermediate values clip the overshoot of bicubic and lanczos.
            whole = image.resize(resized, resample)
            return np.asarray(whole.crop((left, top, left + width, top + height)))
        # Resampling only the box that is cropped equals resize and crop within one grey level,
        # in a half to a fifth of the time.
        box = (
            left * image.width / resized[0],
            top * image.height / resized[1],
            (left + width) * image.width / resized[0],
            (top + height) * image.height / resized[1],
        )
        return np.asarray(image.resize((width, height), resample, box=box))

    def _placed(self, pixels: np.ndarray) -> np.ndarray:
        import numpy as np

        height, width = pixels.shape[:2]
        fits = (
            (height, width) == self.size
            if self.crop is Crop.EXACT
            else height <= self.size[0] and width <= self.size[1]
        )
        if not fits:
            limit = "exactly" if self.crop is Crop.EXACT else "at most"
            raise InvalidInputError(
                f"with crop = '{self.crop.value}' an image has {limit} "
                f"{self.size[0]}x{self.size[1]} pixels",
                received=f"{height}x{width}",
                remedy="resize the images, or use crop = 'center' or 'stretch' in the contract",
            )
        top, left = (self.size[0] - height) // 2, (self.size[1] - width) // 2
        canvas = np.zeros((*self.size, 3), np.uint8)
        canvas[top : top + height, left : left + width] = pixels
        return canvas


def read_contract(path: Path) -> Preprocessing:
    """Read a contract from a TOML file; its ``labels`` are a list, a known name, or a file.

    The path of a label file is relative to the contract. A text with spaces that names no file is
    a comment for the reader and ignored.

    Raises:
        InvalidInputError: no such file, invalid TOML, or a contract that breaks a rule.
    """
    rule = "--preprocessing takes a TOML file that can be read"
    remedy = "see 'Bring your own model' in the README for its keys"
    text = read_text(path, rule, remedy)
    with reading(path, rule, remedy):
        values = tomllib.loads(text)
    outputs = values.get("outputs", {})
    tables = outputs.values() if isinstance(outputs, dict) else ()
    for table in (values, *(table for table in tables if isinstance(table, dict))):
        _read_named_labels(table, path.parent)
    return Preprocessing.from_dict(values)


def _read_named_labels(table: dict[str, Any], folder: Path) -> None:
    """Replace a name or a file of labels in a table by the labels."""
    labels = table.get("labels")
    if isinstance(labels, str):
        del table["labels"]
        if labels in KNOWN_LABELS:
            table["labels"] = KNOWN_LABELS[labels]()
        elif " " not in labels or (folder / labels).is_file():
            table["labels"] = read_labels(folder / labels)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a label list, one label per line, in the order of the network's outputs.

    Raises:
        InvalidInputError: no such file, an empty line between labels, or no label at all.
    """
    rule = "a label list is a text file with one label per line"
    text = read_text(path, rule, "give the path of such a file", encoding="utf-8-sig")
    lines = text.splitlines()
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not all(labels):
        raise InvalidInputError(
            "a label list has no empty line between labels",
            received=f"{path}, whose line {labels.index('') + 1} is empty",
            remedy="write one label on each line",
        )
    if not labels:
        raise InvalidInputError(
            "a label list has one label per line",
            received=f"{path}, which has none",
            remedy="write the labels in the order of the network's outputs",
        )
    return labels


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} where a whole number belongs")
    return value


def _two(value: Any) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"size = {value!r}, which is not [height, width]")
    return _whole(value[0]), _whole(value[1])


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(x, str) for x in value):
        raise TypeError(f"labels = {value!r}, which is not a list of texts")
    return tuple(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value)


def _three(value: Any) -> tuple[float, float, float]:
    if not isinstance(value, list | tuple):
        return (_number(value),) * 3
    values = tuple(_number(v) for v in value)
    if len(values) == 1:
        return values * 3
    if len(values) != 3:
        raise ValueError(f"one number or three, not {len(values)}")
    return values


def _refuse(rule: str, received: object) -> None:
    shown = printable(received)
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[: _MOST_SHOWN - 3]}..."
    raise InvalidInputError(rule, received=shown, remedy="correct the preprocessing contract")
