"""A NumPy .npy file of images or other arrays of numbers, without labels."""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.datasets.image_list import refuse_split
from calibration_data.datasets.npz import require_numbers
from foundation.archives import read_array


def _open(text: str, split: str | None) -> Dataset:
    refuse_split(text, split)
    rule = "an .npy file can be read by numpy.load without pickles"
    images = read_array(Path(text), rule, "write it with numpy.save, all examples of one shape")
    require_numbers(images, text)
    return Dataset(
        name=text,
        role=SplitRole.of(Path(text).stem),
        labels=None,
        class_names=(),
        decode=lambda i: images[i],
        count=len(images),
    )


KIND = DatasetKind(
    name="npy",
    syntax="FILE.npy",
    summary="images, uint8 [n, height, width, channels], or numbers [n, ...] of any shape; no "
    "labels",
    matches=lambda text: text.endswith(".npy") and Path(text).is_file(),
    open=_open,
    order=22,
)
