"""Tar files of images in the layout of WebDataset: ``KEY.jpg`` beside ``KEY.cls``.

A key is a member's name up to the first dot behind its last slash
(https://github.com/webdataset/webdataset, "The WebDataset Format"). A tar is read once, head by
head; an image is then read by its place. Names of members are words of messages alone: nothing is
unpacked to disk.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from calibration_data.image_files import IMAGE_SUFFIXES
from foundation.archives import MOST_MEMBERS
from foundation.foreign import printable, reading, require_regular

MOST_BYTES = 256 * 1024**2
"""Largest image file in a tar."""
_MOST_CLASS = 64
"""Largest file of a class number, in bytes."""
_RULE = "a shard is a tar of images, KEY.jpg or KEY.png, with a class number in KEY.cls or none"
_REMEDY = "write that shard again, without compression"


@dataclass(frozen=True)
class TarImage:
    """Image in a tar.

    Attributes:
        path: path of the tar.
        name: name of the image in messages.
        offset: place of its first byte in the tar.
        size: number of its bytes.
        label: class number; None without one.
    """

    path: Path
    name: str
    offset: int
    size: int
    label: int | None = None

    def read(self) -> bytes:
        """Bytes of the image; raises InvalidInputError for a tar that cannot be read any more."""
        with reading(self.path, _RULE, _REMEDY), self.path.open("rb") as stream:
            return _read_at(stream, self.offset, self.size)


def tar_images(path: Path) -> list[TarImage]:
    """Images of a tar in their order, with class numbers where it has them.

    Raises:
        InvalidInputError: no tar, one that is compressed, damaged or cut short, members that are
            no files, two images of one key, or class numbers of some images alone.
    """
    require_regular(path, _RULE, _REMEDY)
    images: dict[str, TarImage] = {}
    classes: dict[str, int] = {}
    with reading(path, _RULE, _REMEDY, raised=(tarfile.TarError,)), path.open("rb") as stream:
        for member in _members(path):
            folder, slash, base = member.name.rpartition("/")
            stem, _, suffix = base.partition(".")
            key, shown = f"{folder}{slash}{stem}", printable(member.name).removeprefix("./")[:80]
            if f".{suffix.lower()}" in IMAGE_SUFFIXES:
                if key in images:
                    raise ValueError(f"two images of the key {printable(key)[:80]}")
                if member.size > MOST_BYTES:
                    raise ValueError(
                        f"{shown} of {member.size:,} bytes, where {MOST_BYTES:,} are the most"
                    )
                images[key] = TarImage(path, shown, member.offset_data, member.size)
            elif suffix == "cls":
                classes[key] = _class_number(stream, member, shown)
        unlabelled = [image.name for key, image in images.items() if key not in classes]
        if any(key in classes for key in images) and unlabelled:
            raise ValueError(f"{unlabelled[0]} without a .cls, which others have")
    return [
        TarImage(path, image.name, image.offset, image.size, classes.get(key))
        for key, image in images.items()
    ]


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Members that are files; whatever else a tar can hold is refused."""
    size, count = path.stat().st_size, 0
    with tarfile.open(path, "r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # tarfile keeps them all
            count += 1
            if count > 2 * MOST_MEMBERS:
                raise ValueError(f"more than {2 * MOST_MEMBERS:,} members")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise ValueError(f"{printable(member.name)[:80]}, which is no plain file")
            if member.offset_data + member.size > size:
                raise ValueError("it is cut short")
            yield member
        end = tar.offset
    with path.open("rb") as stream:  # tarfile takes a damaged head for the end, a block of zeros
        if _read_at(stream, end, tarfile.BLOCKSIZE).strip(b"\0"):
            raise ValueError("it is damaged")


def _class_number(stream: BinaryIO, member: tarfile.TarInfo, shown: str) -> int:
    content = (
        b"" if member.size > _MOST_CLASS else _read_at(stream, member.offset_data, member.size)
    )
    text = content.decode("ascii", errors="replace").strip()
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{shown} that holds no class number")
    return int(text)


def _read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    content = stream.read(size)
    if len(content) < size:
        raise ValueError("it is cut short")
    return content
