"""The shipped dataset: Fashion-MNIST's test split and 1,000 of its training images.

Source: Xiao, Rasul, Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", https://arxiv.org/abs/1708.07747; MIT licence, beside the files.
"""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole, refuse_unknown_split
from calibration_data.datasets.idx import read_idx
from calibration_data.labels import FASHION_MNIST_LABELS
from calibration_data.manifest import Manifest

NAME = "fashion_mnist"


def folder() -> Path:
    """Folder of the dataset's files."""
    return Path(__file__).resolve().parents[1] / "data" / NAME


def _open(text: str, split: str | None) -> Dataset:
    manifest = Manifest.read(folder() / "manifest.json")
    refuse_unknown_split(text, split, tuple(manifest.splits))
    assert split is not None
    entry = manifest.splits[split]
    images = read_idx(manifest.checked(folder(), entry.images))
    labels = read_idx(manifest.checked(folder(), entry.labels))
    return Dataset(
        name=f"{text}:{split}",
        role=SplitRole.of(split),
        labels=labels.astype("int64"),
        class_names=FASHION_MNIST_LABELS,
        decode=lambda i: images[i],
    )


KIND = DatasetKind(
    name="bundled",
    syntax="fashion_mnist:calibration|test",
    summary="shipped: 1,000 training images to calibrate on, 10,000 test images to measure on",
    matches=lambda text: text == NAME,
    open=_open,
    examples=(f"{NAME}:calibration", f"{NAME}:test"),
    order=5,
)
