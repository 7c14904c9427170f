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
    """Resampling filter: those of Pillow by its names, and one of TensorFlow 1."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"
    BOX = "box"
    TF1_BILINEAR = "tf1-bilinear"
    """Bilinear between the pixels around ``place * old / new``, without half-pixel centres and
    without smoothing: ``tf.compat.v1.image.resize_bilinear``, on which the detectors of
    tensorflow/models were trained."""


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
        if self.crop is Crop.STRETCH:
            return self._resized(image, self.height, self.width)
        if self.crop is Crop.LETTERBOX:
            height, width = self._letterboxed(image.height, image.width)
            return self._on_canvas(self._resized(image, height, width), fill)
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
            whole = self._resized(image, resized[1], resized[0])
            return whole[top : top + self.height, left : left + self.width]
        # Resampling only the box that is cropped equals resize and crop within one grey level,
        # in a half to a fifth of the time.
        box: Box = (
            left * image.width / resized[0],
            top * image.height / resized[1],
            (left + self.width) * image.width / resized[0],
            (top + self.height) * image.height / resized[1],
        )
        size = (self.width, self.height)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))

    def _resized(self, image: Image.Image, height: int, width: int) -> np.ndarray:
        """Pixels of an image of another height and width, by the contract's filter."""
        import numpy as np
        from PIL import Image

        if self.interpolation is Interpolation.TF1_BILINEAR:
            return tf1_bilinear(np.asarray(image), height, width)
        resample = Image.Resampling[self.interpolation.name]
        return np.asarray(image.resize((width, height), resample))

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


def tf1_bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize as ``tf.compat.v1.image.resize_bilinear(align_corners=False)``, rounded to levels.

    Args:
        pixels: uint8 ``[h, w]`` or ``[h, w, channels]``.
        height: new height in pixels.
        width: new width in pixels.

    Returns:
        uint8 ``[height, width]`` or ``[height, width, channels]``.
    """
    import numpy as np

    # Rows that are needed first, so that a large photo is not converted as a whole.
    low, high, share = _tf1_taps(pixels.shape[0], height)
    share = share.reshape(-1, *[1] * (pixels.ndim - 1))
    rows = pixels[low] * (1 - share) + pixels[high] * share  # [height, w, ...]
    low, high, share = _tf1_taps(pixels.shape[1], width)
    share = share.reshape(1, -1, *[1] * (pixels.ndim - 2))
    resized = rows[:, low] * (1 - share) + rows[:, high] * share
    levels: np.ndarray = np.clip(np.round(resized), 0, 255).astype(np.uint8)
    return levels


def _tf1_taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both neighbours of each new place, and the share of the second, float32 ``[new]``."""
    import numpy as np

    places = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = np.minimum(places.astype(np.int64), old - 1)
    return low, np.minimum(low + 1, old - 1), places - low.astype(np.float32)
