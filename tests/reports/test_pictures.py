"""Small PNG files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from reports.pictures import SIDE, png


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_small_pictures_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 20, 3), np.uint8)
    assert (np.asarray(opened(png(pixels)).convert("RGB")) == pixels).all()
    grey = np.repeat(pixels[..., :1], 3, axis=-1)
    assert opened(png(grey)).mode == "L"
    assert (np.asarray(opened(png(grey)).convert("RGB")) == grey).all()


@pytest.mark.parametrize("size", [(224, 224), (500, 100), (65, 65)])
def test_large_ones_are_scaled_down(size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([y % 256, x % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    data = png(pixels)
    assert max(opened(data).size) == SIDE
    assert len(data) < 6_500
    assert data == png(pixels)
