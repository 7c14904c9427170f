"""Where the pixels of a photo lie in the tensor of a network, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Scale and offset between a photo and the tensor that is made of it.

    A pixel's edge at ``y`` of the photo lies at ``y * scale[0] + offset[0]`` of the tensor, both in
    pixels; the same for columns.

    Attributes:
        photo: height and width of the photo in pixels.
        tensor: height and width of the tensor in pixels.
        scale: pixels of the tensor for one of the photo, along rows and columns.
        offset: row and column of the tensor at which the photo begins.
    """

    photo: tuple[int, int]
    tensor: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_photo(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes in pixels of the photo, clipped to it.

        Args:
            boxes: ``[..., 4]``, top, left, bottom, right relative to the tensor, 0 to 1.
        """
        sides = np.array(self.tensor * 2, np.float64)
        moved = (boxes * sides - np.array(self.offset * 2)) / np.array(self.scale * 2)
        inside: np.ndarray = np.clip(moved, 0, np.array(self.photo * 2)).astype(np.float32)
        return inside

    def to_tensor(self, corners: np.ndarray) -> np.ndarray:
        """Boxes relative to the tensor, 0 to 1, not clipped: the inverse of ``to_photo``.

        Args:
            corners: ``[..., 4]``, in pixels of the photo.
        """
        moved = corners * np.array(self.scale * 2) + np.array(self.offset * 2)
        relative: np.ndarray = (moved / np.array(self.tensor * 2, np.float64)).astype(np.float32)
        return relative
