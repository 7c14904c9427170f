"""Archives that others wrote: their sizes are bounded before a byte of them is unpacked.

A zip, an .npz or a gzipped file says how much it unpacks to. What it says is compared with the file
first, and what is read stops at what was said.
"""

from __future__ import annotations

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from foundation.foreign import reading, require_regular

if TYPE_CHECKING:
    import numpy as np

MOST_RATIO = 200
"""Bytes that one byte of a file may unpack to, above ``ANY_RATIO``: deflate reaches 1,032."""

ANY_RATIO = 64 << 20
"""Bytes that any file may unpack to, however well it is compressed."""

MOST_MEMBERS = 100_000
"""Members of an archive at most."""

_ENCRYPTED = 1  # bit of flag_bits
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def most_unpacked(size: int) -> int:
    """Bytes that a file of ``size`` bytes may unpack to."""
    return max(ANY_RATIO, MOST_RATIO * size)


@contextmanager
def open_zip(path: Path, rule: str, remedy: str) -> Iterator[zipfile.ZipFile]:
    """A foreign zip whose directory is sound; whatever fails in the block is one sentence.

    Args:
        path: of the archive.
        rule: what must hold, without a full stop.
        remedy: what to do about it, in the imperative.

    Raises:
        InvalidInputError: no regular file, no zip, a member that is encrypted, compressed in
            another way than deflate or there twice, or more content than ``most_unpacked``.
    """
    require_regular(path, rule, remedy)
    with (
        reading(path, rule, remedy, raised=(tokenize.TokenError,)),
        zipfile.ZipFile(path) as archive,
    ):
        check_directory(archive, path.stat().st_size)
        yield archive


def check_directory(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive by its directory alone, before anything is unpacked.

    Args:
        archive: opened for reading.
        size: of its file, in bytes.

    Raises:
        ValueError: says what is wrong, without the archive's name.
    """
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"{len(members):,} members, where {MOST_MEMBERS:,} are the most")
    seen: set[str] = set()
    for member in members:
        if member.filename in seen:
            raise ValueError(f"two members named {member.filename[:80]}")
        seen.add(member.filename)
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.filename[:80]} is encrypted")
        if member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename[:80]} is compressed by another method than deflate")
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_unpacked(size):
        raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}")


def read_member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """The content of a member of an archive whose directory was checked.

    Raises:
        ValueError: no such member, or one of more than ``most_bytes``.
    """
    try:
        member = archive.getinfo(name)
    except KeyError as error:
        raise ValueError(f"without {name[:80]}") from error
    if member.file_size > most_bytes:
        raise ValueError(
            f"{name[:80]} of {member.file_size:,} bytes, where {most_bytes:,} are the most"
        )
    return archive.read(member)


def gunzip(content: bytes, most_bytes: int) -> bytes:
    """Unpack gzip, of one member or several.

    Raises:
        ValueError: more than ``most_bytes``, or cut short.
        zlib.error: damaged.
    """
    parts: list[bytes] = []
    left = most_bytes
    while content:
        machine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        part = machine.decompress(content, left + 1)
        if len(part) > left:
            raise ValueError(f"it unpacks to more than {most_bytes:,} bytes")
        if not machine.eof:
            raise ValueError("it is cut short")
        left -= len(part)
        parts.append(part)
        content = machine.unused_data.lstrip(b"\0")  # padding, as gzip itself passes over it
    return b"".join(parts)


class Arrays:
    """The arrays of an .npz file, each read and checked when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @property
    def names(self) -> list[str]:
        """Names of the arrays, in the file's order."""
        names = (member.filename for member in self._archive.infolist())
        return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]

    def __getitem__(self, name: str) -> np.ndarray:
        """Read one array.

        Raises:
            ValueError: no such array, one of Python objects, or a header that says anything else
                than its member holds.
        """
        import numpy as np

        with warnings.catch_warnings():
            # Of headers that Python 2 wrote, and of escapes in damaged ones.
            warnings.simplefilter("ignore")
            try:
                member = self._archive.getinfo(f"{name}.npy")
            except KeyError as error:
                raise ValueError(f"without {name[:80]}") from error
            with self._archive.open(member) as stream:
                _check_array(stream, member.file_size)
            with self._archive.open(member) as stream:
                found: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return found


@contextmanager
def open_arrays(path: Path, rule: str, remedy: str) -> Iterator[Arrays]:
    """The arrays of a foreign .npz; arguments and errors are those of ``open_zip``.

    ``numpy.load`` believes what a header says of its array: here the size that it says is compared
    with that of the member before memory is asked for.
    """
    with open_zip(path, rule, remedy) as archive:
        yield Arrays(archive)


def read_array(path: Path, rule: str, remedy: str) -> np.ndarray:
    """The array in a foreign .npy file, whose header is compared with its size first.

    Args:
        path: of the file.
        rule: what must hold, without a full stop.
        remedy: what to do about it, in the imperative.

    Raises:
        InvalidInputError: no regular file, no array of numbers, or one of another size than its
            header says.
    """
    import numpy as np

    require_regular(path, rule, remedy)
    with (
        reading(path, rule, remedy, raised=(tokenize.TokenError,)),
        path.open("rb") as stream,
        warnings.catch_warnings(),
    ):
        # Of headers that Python 2 wrote, and of escapes in damaged ones.
        warnings.simplefilter("ignore")
        _check_array(stream, path.stat().st_size)
        stream.seek(0)
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _check_array(stream: IO[bytes], size: int) -> None:
    """Raise ValueError unless the header's array fills a member of ``size`` bytes."""
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array of the format {version}, where 1.0 and 2.0 are read")
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise ValueError("an array of Python objects or of records, where numbers are read")
    if any(side < 0 for side in shape):
        raise ValueError("a negative size")
    stated = stream.tell() + math.prod(shape) * dtype.itemsize
    if stated != size:
        raise ValueError(f"an array of {stated:,} bytes by its header, in {size:,}")
