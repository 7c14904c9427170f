"""Pictures and datasets that the tests of calibration_data share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from calibration_data.datasets.base import Dataset, SplitRole


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture without hard edges, uint8 ``[height, width, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_folder(root: Path, counts: Mapping[str, int], size: int = 8) -> Path:
    """Write an image folder with the given number of PNG files per class."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = Image.new("RGB", (size, size), (label, number, 7))
            picture.save(root / name / f"{number}.png")
    return root


def in_memory(
    count: int,
    *,
    classes: int = 2,
    role: SplitRole = SplitRole.TRAIN,
    names: tuple[str, ...] = (),
    size: int = 8,
) -> Dataset:
    """Dataset whose image ``i`` has the value ``i`` in all pixels; the classes alternate."""
    return Dataset(
        name="memory",
        role=role,
        labels=np.arange(count, dtype=np.int64) % classes,
        class_names=names,
        decode=lambda i: np.full((size, size, 3), i % 256, np.uint8),
    )
