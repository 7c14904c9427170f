"""IDX files, the format of MNIST and Fashion-MNIST (and of Debian's dataset-fashion-mnist).

Format: http://yann.lecun.com/exdb/mnist - two zero bytes, a type byte, the rank, big-endian
sizes, then the values. Files may be gzipped.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole, refuse_unknown_split
from foundation.archives import gunzip, most_unpacked
from foundation.errors import InvalidInputError
from foundation.foreign import read_bytes, reading

_PREFIX = {"train": "train", "test": "t10k"}
_UINT8 = 8


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of uint8 values, gzipped or plain.

    Raises:
        InvalidInputError: a missing or truncated file, or one that is not IDX.
    """
    rule = "an IDX file holds uint8 values behind a header with their shape"
    remedy = "fetch the file again"
    raw = read_bytes(path, rule, remedy)
    with reading(path, rule, remedy):
        if raw[:2] == b"\x1f\x8b":
            raw = gunzip(raw, most_unpacked(len(raw)))
        zeros, dtype, rank = struct.unpack_from(">HBB", raw)
        shape = struct.unpack_from(f">{rank}I", raw, 4)
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
        if zeros or dtype != _UINT8:
            raise ValueError(f"type {dtype:#x}, not uint8")
        if math.prod(shape) != values.size:
            raise ValueError(f"{values.size:,} values, where its header says {math.prod(shape):,}")
        return values.reshape(shape)


def idx_bytes(values: np.ndarray) -> bytes:
    """Bytes of the gzipped IDX file of uint8 ``values``; equal values give equal bytes."""
    header = struct.pack(f">HBB{values.ndim}I", 0, _UINT8, values.ndim, *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), 9, mtime=0)


def _find(folder: Path, stem: str) -> Path:
    for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx")):
        if (folder / name).is_file():
            return folder / name
    raise InvalidInputError(
        f"an IDX folder holds {stem}.gz",
        received=f"{folder} without it",
        remedy="copy the four files of the dataset into one folder",
    )


def _matches(text: str) -> bool:
    folder = Path(text)
    return folder.is_dir() and any(folder.glob("*-images*idx3-ubyte*"))


def _open(text: str, split: str | None) -> Dataset:
    refuse_unknown_split(text, split, tuple(_PREFIX))
    assert split is not None
    images = read_idx(_find(Path(text), f"{_PREFIX[split]}-images-idx3-ubyte"))
    labels = read_idx(_find(Path(text), f"{_PREFIX[split]}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise InvalidInputError(
            "an IDX folder has images [n, height, width] and labels [n]",
            received=f"{list(images.shape)} and {list(labels.shape)} in {text}",
            remedy="fetch both files again",
        )
    return Dataset(
        name=f"{text}:{split}",
        role=SplitRole.of(split),
        labels=labels.astype(np.int64),
        class_names=(),
        decode=lambda i: images[i],
    )


KIND = DatasetKind(
    name="idx",
    syntax="FOLDER:train|test",
    summary="folder of IDX files (MNIST, Fashion-MNIST, Debian's dataset-fashion-mnist)",
    matches=_matches,
    open=_open,
    order=10,
)
