"""The preprocessing contract: how an example becomes the tensor that a network takes.

One frozen value belongs to the weights and drives training, calibration, evaluation and the
metadata of every exported file, so that they cannot disagree. Examples are images, or plain arrays
of numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from calibration_data.channels import (
    ChannelOrder,
    Channels,
    channel_count,
    parsed_channels,
    picture_with,
    plain_channels,
)
from calibration_data.detection import Detector
from calibration_data.geometry import FILL, Crop, Geometry, Interpolation
from calibration_data.pixels import require_area
from calibration_data.placement import Placement
from calibration_data.plain_arrays import plain_values
from calibration_data.plain_toml import numbers, texts, two, whole, wholes
from calibration_data.segmentation import Segmenter
from calibration_data.task import KEYS, Tasks
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reason_of

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


__all__ = [
    "ChannelOrder",
    "Channels",
    "Crop",
    "Interpolation",
    "Preprocessing",
]

_MOST_SHOWN = 200
"""Largest number of characters of a value in a message."""

_LARGEST_SIDE = 16_384
"""Largest side in pixels; a larger image would take gigabytes as a tensor."""

_MOST_VALUES = 1 << 28
"""Largest number of values of a plain array: a gigabyte in float32."""

_SMALLEST_STD = 1e-6
"""Smallest standard deviation; with a smaller one, float32 overflows or divides by zero."""


@dataclass(frozen=True)
class Preprocessing:
    """Conversion of an example to a tensor: ``(value - mean) / std``, after resize and crop.

    Attributes:
        size: height and width of the tensor of an image, in pixels; the whole shape of a plain
            array.
        crop: method by which an image is brought to ``size``.
        resize_short_side: pixels of the short side before a centre crop; set for ``center`` only.
        interpolation: resampling filter of the resize.
        channels: channels of an image, in the order of the tensor.
        mean: mean of the values (of pixels 0..255) per channel, in the order of ``channels``; of a
            plain array, per entry of its last axis. One number stands for all.
        std: standard deviation of the values, in the same order; above zero.
        labels: class names in the order of the network's outputs; empty if unknown.
        plain: whether examples are arrays of numbers, which are neither resized nor cropped.
        tasks: what the outputs mean (keys ``task``, ``threshold`` and ``[outputs.NAME]``).
        detector: anchors and thresholds of a detector (table ``[detection]``); None for others.
        segmenter: meaning of masks (table ``[segmentation]``); None for others.
        fill: level 0..255 around the image, one or one per channel in the order of ``channels``; of
            ``letterbox`` only, which has 127 if none is given.

    Raises:
        InvalidInputError: an impossible combination (a centre crop larger than the resized image,
            a standard deviation of zero, duplicate labels).
    """

    size: tuple[int, ...]
    crop: Crop = Crop.CENTER
    resize_short_side: int | None = None
    interpolation: Interpolation = Interpolation.BILINEAR
    channels: Channels = ChannelOrder.RGB
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    labels: tuple[str, ...] = ()
    plain: bool = False
    tasks: Tasks = field(default=Tasks(), repr=False)
    detector: Detector | None = field(default=None, repr=False)
    segmenter: Segmenter | None = field(default=None, repr=False)
    fill: tuple[int, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.plain:
            self._check_array()
        else:
            self._check_image()
        for name, values in (("mean", self.mean), ("std", self.std)):
            count = self.channel_count
            if len(values) not in (1, count) or not all(-1e6 < v < 1e6 for v in values):
                _refuse(f"{name} must be one finite number or {self._count_in_words}", values)
            object.__setattr__(self, name, values * (count // len(values)))
        if min(self.std) < _SMALLEST_STD:
            _refuse(f"std must be above zero, at least {_SMALLEST_STD:g}", self.std)
        if len(set(self.labels)) != len(self.labels):
            duplicate = next(x for i, x in enumerate(self.labels) if x in self.labels[:i])
            _refuse("labels must be unique", f"{duplicate!r} more than once")
        if unfit := [x for x in self.labels if x != x.strip() or len(x.splitlines()) != 1]:
            _refuse("a label is one line of text without blanks around it", repr(unfit[0]))

    def _check_array(self) -> None:
        if not self.size or min(self.size) < 1 or math.prod(self.size) > _MOST_VALUES:
            _refuse(
                f"shape must be whole numbers above zero, up to {_MOST_VALUES:,} values",
                list(self.size),
            )
        if self.crop is not Crop.EXACT or self.resize_short_side is not None:
            _refuse("a plain array is not resized", f"crop = {self.crop.value!r}")

    def _check_image(self) -> None:
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
        self._check_fill()

    def _check_fill(self) -> None:
        if self.crop is Crop.LETTERBOX and not self.fill:
            object.__setattr__(self, "fill", FILL)
        if self.fill and self.crop is not Crop.LETTERBOX:
            _refuse("fill goes with crop = 'letterbox'", f"crop = {self.crop.value!r} and fill")
        if self.fill and (
            len(self.fill) not in (1, self.channel_count)
            or not all(0 <= level <= 255 for level in self.fill)
        ):
            _refuse(
                f"fill must be one whole number from 0 to 255, or {self._count_in_words}",
                list(self.fill),
            )

    @classmethod
    def of_arrays(
        cls,
        shape: tuple[int, ...],
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        labels: tuple[str, ...] = (),
    ) -> Preprocessing:
        """Contract of plain arrays; without mean and std, they are fed as they are.

        Args:
            shape: shape of one example: ``(features,)``, ``(time, features)``, ...
            mean: one number, or one per entry of the last axis.
            std: one number, or one per entry of the last axis.
            labels: class names in the order of the network's outputs.
        """
        return cls(shape, Crop.EXACT, mean=mean, std=std, labels=labels, plain=True)

    @property
    def channel_count(self) -> int:
        """Number of channels of an image, or entries of the last axis of a plain array."""
        return self.size[-1] if self.plain else channel_count(self.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor of one example, without the batch.

        ``(height, width, channels)`` for images; ``(features,)``, ``(time, features)`` and so on
        for plain arrays.
        """
        return self.size if self.plain else (*self.size, self.channel_count)

    @property
    def is_colour(self) -> bool:
        """Whether examples are images in RGB or BGR."""
        return not self.plain and self.channels in (ChannelOrder.RGB, ChannelOrder.BGR)

    @property
    def feeds_pixels(self) -> bool:
        """Whether the tensor holds pixels 0..255 as they are, without mean and std."""
        return not self.plain and set(self.mean) == {0.0} and set(self.std) == {1.0}

    @property
    def _count_in_words(self) -> str:
        if self.plain:
            return f"{self.channel_count}, one per entry of the last axis"
        return {1: "as many as channels, which is one", 3: "three"}.get(
            self.channel_count, f"{self.channel_count}, one per channel"
        )

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value of the tensor, for pixels 0..255; infinite for arrays."""
        if self.plain:
            return -math.inf, math.inf
        lows = [(0 - m) / s for m, s in zip(self.mean, self.std, strict=True)]
        highs = [(255 - m) / s for m, s in zip(self.mean, self.std, strict=True)]
        return min(lows), max(highs)

    def with_labels(self, labels: tuple[str, ...]) -> Preprocessing:
        """Copy of the contract with other labels."""
        return replace(self, labels=labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML, JSON and file metadata, readable by ``from_dict``."""
        if self.plain:
            values: dict[str, Any] = {"shape": list(self.size)}
            for name, numbers in (("mean", self.mean), ("std", self.std)):
                values[name] = list(numbers[:1] if len(set(numbers)) == 1 else numbers)
        else:
            values = {
                "size": list(self.size),
                "crop": self.crop.value,
                "interpolation": self.interpolation.value,
                "channels": plain_channels(self.channels),
                "mean": list(self.mean),
                "std": list(self.std),
            }
        if self.resize_short_side is not None:
            values["resize_short_side"] = self.resize_short_side
        if self.fill:
            values["fill"] = list(self.fill)
        if self.labels:
            values["labels"] = list(self.labels)
        if self.detector is not None:
            values["detection"] = self.detector.to_dict()
        if self.segmenter is not None:
            values["segmentation"] = self.segmenter.to_dict()
        return values | self.tasks.to_dict()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Read a contract from plain values: with ``size`` of images, with ``shape`` of arrays.

        Raises:
            InvalidInputError: an unknown key, neither or both of ``size`` and ``shape``, or a value
                of the wrong type.
        """
        of_images = {
            "size", "crop", "resize_short_side", "interpolation", "channels", "detection",
            "fill", "segmentation",
        }  # fmt: skip
        of_arrays = {"shape"}
        common = {"mean", "std", "labels", *KEYS}
        known = of_images | of_arrays | common
        if unknown := sorted(set(values) - known):
            _refuse(f"a contract has the keys {', '.join(sorted(known))}", ", ".join(unknown))
        plain = "shape" in values
        if plain and (strange := sorted(set(values) & of_images)):
            _refuse("a contract with shape is of arrays, which are not resized", ", ".join(strange))
        if not plain and "size" not in values:
            _refuse(
                "a contract needs size = [height, width], or shape = [...] for arrays",
                ", ".join(sorted(values)) or "none",
            )
        try:
            return cls._array_from(values) if plain else cls._image_from(values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInputError(
                "a contract holds numbers, and the words that docs/data.md lists",
                received=reason_of(error),
                remedy="correct that value",
            ) from error

    @classmethod
    def _image_from(cls, values: dict[str, Any]) -> Preprocessing:
        short_side = values.get("resize_short_side")
        default_crop = Crop.STRETCH if short_side is None else Crop.CENTER
        return cls(
            size=two(values["size"]),
            crop=Crop(values.get("crop", default_crop.value)),
            resize_short_side=None if short_side is None else whole(short_side),
            fill=wholes(values.get("fill", ())),
            interpolation=Interpolation(values.get("interpolation", "bilinear")),
            channels=parsed_channels(values.get("channels", "rgb")),
            mean=numbers(values.get("mean", 127.5)),
            std=numbers(values.get("std", 127.5)),
            labels=texts(values.get("labels", ())),
            tasks=Tasks.from_dict(values),
            detector=Detector.from_dict(values["detection"]) if "detection" in values else None,
            segmenter=Segmenter.from_dict(values["segmentation"])
            if "segmentation" in values
            else None,
        )

    @classmethod
    def _array_from(cls, values: dict[str, Any]) -> Preprocessing:
        shape = values["shape"]
        if not isinstance(shape, list | tuple):
            raise TypeError(f"shape = {shape!r}, which is not a list of whole numbers")
        contract = cls.of_arrays(
            tuple(whole(side) for side in shape),
            numbers(values.get("mean", 0.0)),
            numbers(values.get("std", 1.0)),
            texts(values.get("labels", ())),
        )
        return replace(contract, tasks=Tasks.from_dict(values))

    def tensor(self, example: np.ndarray | Image.Image) -> np.ndarray:
        """Apply the contract to one example.

        Args:
            example: a Pillow image; uint8 ``[height, width]``, ``[height, width, 1]`` (grey) or
                ``[height, width, n]`` (RGB order); or for a contract of plain arrays, an array of
                numbers of its shape.

        Returns:
            float32 of the contract's ``shape``. A grey image is repeated for three channels, and
            colours become their luminance for one.

        Raises:
            InvalidInputError: an array of another dtype or number of channels, or an image of a
                size that the contract does not accept.
        """
        return self.normalize(self.pixels(example))

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Reorder the channels and apply mean and std.

        Args:
            pixels: ``[..., *shape]`` as ``pixels`` returns them.

        Returns:
            float32, same shape.
        """
        import numpy as np

        if not self.plain and self.channels is ChannelOrder.BGR:
            pixels = pixels[..., ::-1]
        values = pixels.astype(np.float32, order="C")
        # A whole line at a time: NumPy takes several times as long for runs of three numbers.
        width = values.shape[-2] if values.ndim > 1 else 1
        lines = values.reshape(*values.shape[:-2], -1)
        for apply, constants in ((np.subtract, self.mean), (np.divide, self.std)):
            line = np.broadcast_to(np.array(constants, np.float32), values.shape[-1:])
            apply(lines, np.tile(line, width), out=lines)
        return values

    def pixels(self, example: np.ndarray | Image.Image) -> np.ndarray:
        """Values before mean and std: resized and cropped pixels, or the numbers of an array.

        Args:
            example: as ``tensor`` takes it; the errors are the same.

        Returns:
            uint8 ``[height, width, channels]`` with colours as RGB; float32 for plain arrays.
        """
        import numpy as np

        if self.plain:
            return plain_values(example, self.size)
        if not isinstance(example, np.ndarray):
            require_area(example.height, example.width)
        return self._geometry.fitted(picture_with(example, self.channels))

    def placement(self, height: int, width: int) -> Placement:
        """Where the pixels of a photo of a height and width lie in the tensor."""
        return self._geometry.placement(height, width)

    @property
    def _geometry(self) -> Geometry:
        height, width = self.size
        # Channels are put into the order of the tensor after the geometry.
        fill = self.fill[::-1] if self.channels is ChannelOrder.BGR else self.fill
        return Geometry(
            height, width, self.crop, self.resize_short_side, self.interpolation, fill or FILL
        )


def _refuse(rule: str, received: object) -> None:
    shown = printable(received)
    if len(shown) > _MOST_SHOWN:
        shown = f"{shown[: _MOST_SHOWN - 3]}..."
    raise InvalidInputError(rule, received=shown, remedy="correct the preprocessing contract")
