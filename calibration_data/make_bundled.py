"""Make the shipped Fashion-MNIST files from the original IDX files.

    python -m calibration_data.make_bundled /usr/share/datasets/fashion-mnist

Calibration images are drawn class by class from the first 55,000 training images. The last
5,000 are the development split of the shipped checkpoint and are not used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from calibration_data.datasets.fashion_mnist import NAME, folder
from calibration_data.datasets.idx import idx_bytes, read_idx
from calibration_data.manifest import Manifest, StoredFile, StoredSplit
from foundation.digests import sha256_of

CALIBRATION_IMAGES = 1000
TRAINING_IMAGES = 55_000
SEED = 2017


def _store(target: Path, stem: str, values: np.ndarray) -> StoredFile:
    path = target / f"{stem}.gz"
    path.write_bytes(idx_bytes(values))
    return StoredFile(path.name, sha256_of(path))


def calibration_indices(labels: np.ndarray) -> np.ndarray:
    """Indices of the calibration images, equally many per class, shuffled: int64 ``[1000]``."""
    rng = np.random.default_rng(SEED)
    candidates = labels[:TRAINING_IMAGES]
    count = CALIBRATION_IMAGES // 10
    chosen = [rng.choice(np.flatnonzero(candidates == c), count, replace=False) for c in range(10)]
    return rng.permutation(np.concatenate(chosen))


def make(source: Path, target: Path) -> Manifest:
    """Write the images, labels and manifest of both splits to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    train_labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    chosen = calibration_indices(train_labels)
    splits = {
        "calibration": StoredSplit(
            "train",
            tuple(int(i) for i in chosen),
            _store(
                target,
                "calibration-images-idx3-ubyte",
                read_idx(source / "train-images-idx3-ubyte.gz")[chosen],
            ),
            _store(target, "calibration-labels-idx1-ubyte", train_labels[chosen]),
        ),
        "test": StoredSplit(
            "test",
            "all",
            _store(
                target, "test-images-idx3-ubyte", read_idx(source / "t10k-images-idx3-ubyte.gz")
            ),
            _store(
                target, "test-labels-idx1-ubyte", read_idx(source / "t10k-labels-idx1-ubyte.gz")
            ),
        ),
    }
    manifest = Manifest(
        source="Fashion-MNIST (Zalando SE), https://github.com/zalandoresearch/fashion-mnist, "
        "as in Debian's package dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        licence="MIT",
        splits=splits,
    )
    manifest.write(target / "manifest.json")
    return manifest


if __name__ == "__main__":
    made = make(Path(sys.argv[1]), folder())
    sys.stdout.write(f"{NAME}: {', '.join(made.splits)} in {folder()}\n")
