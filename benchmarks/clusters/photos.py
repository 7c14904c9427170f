"""A folder of many photos, for measurements of time and memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

_DIFFERENT = 200
_SIZE = (500, 375)
"""Width and height of most photos of ImageNet, in pixels."""


def many_photos(folder: Path, count: int) -> Path:
    """Make a folder of JPEGs: 200 different ones, the others the same files under other names.

    Args:
        folder: folder to make.
        count: number of files.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number >= _DIFFERENT:
            os.link(folder / f"{number % _DIFFERENT:06}.jpg", path)
            continue
        write_photo(path, rng)
    return folder


def write_photo(path: Path, rng: np.random.Generator) -> None:
    """Write a smooth JPEG of random colours."""
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    coarse.resize(_SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
