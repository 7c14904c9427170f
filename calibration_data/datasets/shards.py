"""Folders of shards: tar files in the layout of WebDataset, or several .npz files.

Images are read one at a time from their places in the shards. The files of a split are in a folder
of its name, or their names begin with it: ``train-0000.tar``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.datasets.npz import answers
from calibration_data.image_files import bytes_conversions, decode_bytes
from calibration_data.tar_shards import TarImage, tar_images
from foundation.archives import StoredArray, open_arrays, stored_array
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading

_TAR, _NPZ = ".tar", ".npz"
_RULE = "a shard is an .npz of the arrays images and labels, or x and y, that is not compressed"
_REMEDY = "write that shard again with numpy.savez"
_NAMES = (("images", "labels"), ("x", "y"))


def _matches(text: str) -> bool:
    path = Path(text)
    if path.is_file():
        return path.suffix == _TAR
    if not path.is_dir():
        return False
    inside = sorted(path.iterdir())
    splits = [p for p in inside if p.is_dir() and SplitRole.of(p.name) is not SplitRole.UNKNOWN]
    return bool(_shards(inside)) or any(_shards(sorted(p.iterdir())) for p in splits)


def _shards(paths: Sequence[Path]) -> list[Path]:
    """Tar files among paths, or several .npz files where there is no tar."""
    plain = [p for p in paths if not p.name.startswith(".")]
    tars = [p for p in plain if p.suffix == _TAR]
    arrays = [p for p in plain if p.suffix == _NPZ]
    return tars or (arrays if len(arrays) > 1 else [])


def _split_of(path: Path) -> str:
    """First word of a shard's name, where it is that of a split."""
    word = path.stem.partition("-")[0]
    return word if SplitRole.of(word) is not SplitRole.UNKNOWN else ""


def _chosen(text: str, split: str | None) -> list[Path]:
    """Shards of a split in order of their names."""
    root = Path(text)
    if root.is_file():
        if split is not None:
            raise InvalidInputError(
                "a tar has no splits", received=f"{text}:{split}", remedy=f"give {text}"
            )
        return [root]
    with reading(root, "a folder of shards can be read", "check its permissions"):
        if split is not None and (root / split).is_dir():
            return _shards(sorted((root / split).iterdir()))
        inside = _shards(sorted(root.iterdir()))
        folders = [path.name for path in sorted(root.iterdir()) if path.is_dir()]
    known = [*dict.fromkeys(filter(None, map(_split_of, inside))), *folders]
    chosen = [path for path in inside if split is None or _split_of(path) == split]
    if not chosen or (split is None and len({_split_of(path) for path in inside}) > 1):
        raise InvalidInputError(
            "the shards of a split are in a folder of its name, or begin with it "
            f"({', '.join(known[:8]) or 'none here'})",
            received=printable(text if split is None else f"{text}:{split}"),
            remedy=f"name one, such as {text}:{known[0]}" if known else f"give {text}",
        )
    return chosen


def _open(text: str, split: str | None) -> Dataset:
    paths = _chosen(text, split)
    name = text if split is None else f"{text}:{split}"
    role = SplitRole.of(split or _split_of(paths[0]) or Path(text).resolve().stem)
    if paths and paths[0].suffix == _NPZ:
        return _of_arrays(name, role, paths)
    return _of_tars(name, role, [image for path in paths for image in tar_images(path)])


def _of_tars(name: str, role: SplitRole, images: list[TarImage]) -> Dataset:
    classes = [image.label for image in images if image.label is not None]
    if classes and len(classes) < len(images):
        bare = next(image for image in images if image.label is None)
        raise InvalidInputError(
            "all shards of a split have class numbers (KEY.cls), or none has",
            received=f"{name} with {bare.path.name} without",
            remedy="write that shard again, or move it away",
        )

    def shown(index: int) -> str:
        return f"{images[index].path}/{images[index].name}"

    return Dataset(
        name=name,
        role=role,
        labels=np.asarray(classes, np.int64) if classes else None,
        class_names=(),
        decode=lambda i: decode_bytes(images[i].read(), shown(i)),
        describe=shown,
        content=lambda i: images[i].read(),
        content_size=lambda i: images[i].size,
        conversions=lambda i: bytes_conversions(images[i].read(), shown(i)),
        count=len(images),
    )


def _of_arrays(name: str, role: SplitRole, paths: Sequence[Path]) -> Dataset:
    opened = [_arrays(path) for path in paths]
    shards = [images for images, _ in opened]
    _require_alike(paths, shards)
    labels = [labels for _, labels in opened if labels is not None]
    if labels and (len(labels) < len(shards) or len({one.shape[1:] for one in labels}) > 1):
        raise InvalidInputError(
            "all shards of a split have labels of one shape, or none has any",
            received=f"{name} with {len(labels)} of {len(shards)} labelled",
            remedy="write those shards again as the others",
        )
    ends = list(accumulate(len(shard) for shard in shards))
    counted = np.empty((ends[-1], 0))  # labels are as many as images
    classes, targets = answers(np.concatenate(labels) if labels else None, counted, name)

    def place(index: int) -> tuple[int, int]:
        number = bisect_right(ends, index)
        return number, index - (ends[number] - len(shards[number]))

    def decode(index: int) -> np.ndarray:
        number, row = place(index)
        with reading(paths[number], _RULE, _REMEDY):
            example = shards[number][row]
            if example.dtype.kind == "f" and not np.isfinite(example).all():
                raise ValueError(f"NaN or infinity in example {row}")
        return example

    return Dataset(
        name=name,
        role=role,
        labels=classes,
        class_names=(),
        decode=decode,
        describe=lambda i: f"image {place(i)[1]} of {paths[place(i)[0]]}",
        count=ends[-1],
        targets=targets,
    )


def _require_alike(paths: Sequence[Path], shards: Sequence[StoredArray]) -> None:
    """Refuse shards whose examples differ in type or shape, or are no numbers."""
    for path, shard in zip(paths, shards, strict=True):
        like = (shard.shape[1:], shard.dtype) == (shards[0].shape[1:], shards[0].dtype)
        if len(shard.shape) < 2 or shard.dtype.kind not in "biuf" or not like:
            raise InvalidInputError(
                "shards hold numbers of one type and shape [n, ...]",
                received=f"{shard.dtype} {list(shard.shape)} in {printable(path)}",
                remedy="write that shard as the others, or move it away",
            )


def _arrays(path: Path) -> tuple[StoredArray, np.ndarray | None]:
    """Images of a shard, which are not read yet, and its labels."""
    with open_arrays(path, _RULE, _REMEDY) as arrays:
        for images, labels in _NAMES:
            if images in arrays.names:
                found = arrays[labels] if labels in arrays.names else None
                return stored_array(path, arrays, images), found
        raise ValueError(f"it holds {printable(', '.join(arrays.names))[:80] or 'nothing'}")


KIND = DatasetKind(
    name="shards",
    syntax="FOLDER[:SPLIT] or FILE.tar",
    summary="tar files as WebDataset writes them (KEY.jpg or KEY.png, and a class number in "
    "KEY.cls), or several .npz files of x and y, not compressed, read one image at a time; SPLIT "
    "is a folder inside it, or how their names begin (train-0000.tar)",
    matches=_matches,
    open=_open,
    order=80,
)
