"""Resizing and cropping of an image to the size that a network takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from calibration_data.placement import Placement
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    Box = tuple[float, float, float, float]


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
    LETTERBOX = "letterbox"
    """Resize by one factor so that the whole image just fits, centre it, and fill the rest."""


FILL = (127,)
"""Grey level around a letterboxed image unless a contract states another: the middle of 0..255."""


class Interpolation(StrEnum):
    """Resampling filter, by Pillow's name."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"


@dataclass(frozen=True)
class Geometry:
    """The part of a contract that decides which pixels of an image the network sees.

    Attributes:
        height: height of the result, in pixels.
        width: width of the result, in pixels.
        crop: method by which the image is brought to this size.
        resize_short_side: pixels of the short side before a centre crop; None for other methods.
        interpolation: resampling filter of the resize.
        fill: level around a letterboxed image: one, or one for each channel of the image.
    """

    height: int
    width: int
    crop: Crop
    resize_short_side: int | None
    interpolation: Interpolation
    fill: tuple[int, ...] = FILL

    def placement(self, height: int, width: int) -> Placement:
        """Where the pixels of a photo lie in the result.

        Args:
            height: height of the photo in pixels.
            width: width of the photo in pixels.
        """
        scale, offset = (1.0, 1.0), (0.0, 0.0)
        if self.crop is Crop.STRETCH:
            scale = (self.height / height, self.width / width)
        elif self.crop is Crop.PAD:
            offset = (float((self.height - height) // 2), float((self.width - width) // 2))
        elif self.crop is Crop.LETTERBOX:
            inner = self._letterboxed(height, width)
            scale = (inner[0] / height, inner[1] / width)
            offset = (float((self.height - inner[0]) // 2), float((self.width - inner[1]) // 2))
        elif self.crop is Crop.CENTER:
            assert self.resize_short_side is not None
            shorter = min(height, width)
            resized = [self.resize_short_side * side // shorter for side in (height, width)]
            scale = (resized[0] / height, resized[1] / width)
            offset = (
                float(-round((resized[0] - self.height) / 2)),
                float(-round((resized[1] - self.width) / 2)),
            )
        return Placement((height, width), (self.height, self.width), scale, offset)

    def fitted(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """Resize and crop an image.

        Args:
            image: a Pillow image in RGB or L, or uint8 ``[h, w, n]``, whose channels are resized
                one by one (Pillow would weight colours by the last channel as transparency).

        Returns:
            uint8 ``[height, width, n]``.

        Raises:
            InvalidInputError: an image of a size that a contract without resizing does not accept.
        """
        import numpy as np
        from PIL import Image

        if isinstance(image, np.ndarray):
            count = image.shape[-1]
            levels = self.fill * (count // len(self.fill))
            planes = [
                self._plane(Image.fromarray(image[..., c]), (levels[c],)) for c in range(count)
            ]
            return np.stack(planes, axis=-1)
        pixels = self._plane(image, self.fill)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _plane(self, image: Image.Image, fill: tuple[int, ...]) -> np.ndarray:
        """One Pillow image, ``[height, width]`` for grey and ``[height, width, 3]`` for RGB."""
        import numpy as np
        from PIL import Image

        if self.crop in (Crop.PAD, Crop.EXACT):
            return self._placed(np.asarray(image))
        resample = Image.Resampling[self.interpolation.name]
        if self.crop is Crop.STRETCH:
            return np.asarray(image.resize((self.width, self.height), resample))
        if self.crop is Crop.LETTERBOX:
            height, width = self._letterboxed(image.height, image.width)
            return self._on_canvas(np.asarray(image.resize((width, height), resample)), fill)
        assert self.resize_short_side is not None
        shorter = min(image.size)
        # Integer division, as in torchvision: a float scale loses a row where the ratio is exact.
        resized = (
            self.resize_short_side * image.width // shorter,
            self.resize_short_side * image.height // shorter,
        )
        left = round((resized[0] - self.width) / 2)
        top = round((resized[1] - self.height) / 2)
        if self.interpolation is not Interpolation.BILINEAR:
            # With a box, nearest and box select other pixels, and Pillow may swap its two passes,
            # whose 8-bit intermediate values clip the overshoot of bicubic and lanczos.
            whole = image.resize(resized, resample)
            return np.asarray(whole.crop((left, top, left + self.width, top + self.height)))
        # Resampling only the box that is cropped equals resize and crop within one grey level,
        # in a half to a fifth of the time.
        box: Box = (
            left * image.width / resized[0],
            top * image.height / resized[1],
            (left + self.width) * image.width / resized[0],
            (top + self.height) * image.height / resized[1],
        )
        return np.asarray(image.resize((self.width, self.height), resample, box=box))

    def _placed(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        fits = (
            (height, width) == (self.height, self.width)
            if self.crop is Crop.EXACT
            else height <= self.height and width <= self.width
        )
        if not fits:
            limit = "exactly" if self.crop is Crop.EXACT else "at most"
            raise InvalidInputError(
                f"with crop = '{self.crop.value}' an image has {limit} "
                f"{self.height}x{self.width} pixels",
                received=f"{height}x{width}",
                remedy="resize the images, or use crop = 'center', 'stretch' or 'letterbox' in "
                "the contract",
            )
        return self._on_canvas(pixels, (0,))

    def _letterboxed(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image that is made to fit by one factor."""
        factor = min(self.height / height, self.width / width)
        return (
            min(max(round(height * factor), 1), self.height),
            min(max(round(width * factor), 1), self.width),
        )

    def _on_canvas(self, pixels: np.ndarray, fill: tuple[int, ...]) -> np.ndarray:
        """Pixels in the middle of a canvas of a level for all channels, or one for each."""
        import numpy as np

        height, width = pixels.shape[:2]
        top, left = (self.height - height) // 2, (self.width - width) // 2
        canvas = np.empty((self.height, self.width, *pixels.shape[2:]), np.uint8)
        canvas[...] = fill if pixels.ndim == 3 else fill[0]
        canvas[top : top + height, left : left + width] = pixels
        return canvas
