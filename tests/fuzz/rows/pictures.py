"""Sets of pictures: arrays, shards, lists and image files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from tests.fuzz.parser import Parser


def _pixels(count: int = 6, side: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def write_image(path: Path) -> None:
    """One picture of 24 pixels, in the format of the suffix."""
    from PIL import Image

    Image.fromarray(_pixels(1, 24)[0]).save(path)


def read_images(path: Path) -> object:
    """All pictures of a set, decoded."""
    from calibration_data.datasets.base import open_dataset

    dataset = open_dataset(str(path))
    return [np.asarray(dataset.decode(i)) for i in range(len(dataset))]


def _npz(path: Path) -> None:
    np.savez_compressed(path, images=_pixels(), labels=np.arange(6))


def _shard(path: Path) -> None:
    for name in (path.name, "other.npz"):
        np.savez(path.with_name(name), images=_pixels(), labels=np.arange(6))


def _read_shards(path: Path) -> object:
    return read_images(path.parent)


def _tar(path: Path) -> None:
    write_image(path.parent / "0.png")
    with tarfile.open(path, "w") as tar:
        tar.add(path.parent / "0.png", "0.png")
        label = tarfile.TarInfo("0.cls")
        label.size = 1
        tar.addfile(label, io.BytesIO(b"7"))


def _npy(path: Path) -> None:
    np.save(path, _pixels())


def write_list(path: Path) -> None:
    """Three pictures beside a list of their names."""
    names = [f"{number}.png" for number in range(3)]
    for name in names:
        write_image(path.parent / name)
    path.write_text("\n".join(names) + "\n", encoding="utf-8")


def _idx(path: Path) -> None:
    from calibration_data.datasets.idx import idx_bytes

    path.write_bytes(idx_bytes(_pixels()[..., 0]))


def _read_idx(path: Path) -> object:
    from calibration_data.datasets.idx import read_idx

    return read_idx(path)


def _read_image(path: Path) -> object:
    from calibration_data.image_files import decode_file, header_conversions

    return header_conversions(path), np.asarray(decode_file(path))


def _images() -> tuple[Parser, ...]:
    from calibration_data.image_files import IMAGE_SUFFIXES

    return tuple(
        Parser(f"image{suffix}", f"picture{suffix}", write_image, _read_image)
        for suffix in IMAGE_SUFFIXES
    )


PICTURES = (
    Parser("npz", "data.npz", _npz, read_images),
    Parser("npz shard", "shard.npz", _shard, _read_shards),
    Parser("tar shard", "data.tar", _tar, read_images),
    Parser("npy", "data.npy", _npy, read_images),
    Parser("image list", "list.txt", write_list, read_images),
    Parser("idx", "images-idx3-ubyte.gz", _idx, _read_idx),
    *_images(),
)
