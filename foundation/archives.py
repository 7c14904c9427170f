"""Archives that others wrote: their sizes are checked before a byte of them is unpacked.

A zip, an .npz or a gzipped file states how much it unpacks to. That size is compared with the size
of the file first, and reading stops at the stated size.
"""

from __future__ import annotations

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from foundation.foreign import reading, require_regular

if TYPE_CHECKING:
    import numpy as np

MOST_RATIO = 200
"""Largest ratio of unpacked to packed bytes, beyond ``ANY_RATIO`` bytes; deflate reaches 1,032."""

ANY_RATIO = 64 << 20
"""Unpacked bytes that every file may have, whatever its compression ratio."""

MOST_MEMBERS = 100_000
"""Largest number of members of an archive."""

_ENCRYPTED = 1  # bit of flag_bits
_LOCAL_HEAD = struct.Struct("<4s5H3L2H")
"""Head of a member of a zip; the last two are the bytes of its name and of what follows it."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class ZipLimits:
    """Limits of what the directory of a zip may say.

    Attributes:
        members: largest number of members.
        ratio: bytes that one byte of the file may unpack to, above ``any_ratio``.
        any_ratio: bytes that any file may unpack to, however well it is compressed.
        unpacked: bytes that all members together may unpack to; None for no limit of its own.
        any_case: refuse two names that differ in case alone, which are one on some systems.
    """

    members: int = MOST_MEMBERS
    ratio: int = MOST_RATIO
    any_ratio: int = ANY_RATIO
    unpacked: int | None = None
    any_case: bool = False

    def most_unpacked(self, size: int) -> int:
        """Bytes that a file of ``size`` bytes may unpack to."""
        most = max(self.any_ratio, self.ratio * size)
        return most if self.unpacked is None else min(most, self.unpacked)


_LIMITS = ZipLimits()


def most_unpacked(size: int) -> int:
    """Largest unpacked size that is accepted for a file of ``size`` bytes."""
    return _LIMITS.most_unpacked(size)


@contextmanager
def open_zip(
    path: Path, rule: str, remedy: str, limits: ZipLimits = _LIMITS
) -> Iterator[zipfile.ZipFile]:
    """Open a foreign zip whose directory has been checked; errors in the block are one sentence.

    Args:
        path: path of the archive.
        rule: what must hold, without a full stop.
        remedy: what to do about a violation, in the imperative.
        limits: limits of its directory.

    Raises:
        InvalidInputError: not a regular file, not a zip, a member that is encrypted, duplicated or
            compressed differently than by deflate, or more content than the limits allow.
    """
    require_regular(path, rule, remedy)
    with (
        reading(path, rule, remedy, raised=(tokenize.TokenError, NotImplementedError)),
        zipfile.ZipFile(path) as archive,
    ):
        check_directory(archive, path.stat().st_size, limits)
        yield archive


def check_directory(archive: zipfile.ZipFile, size: int, limits: ZipLimits = _LIMITS) -> None:
    """Refuse an archive by its directory alone, before anything is unpacked.

    Args:
        archive: archive opened for reading.
        size: size of its file, in bytes.
        limits: what its directory may say at most.

    Raises:
        ValueError: the fault, without the archive's name.
    """
    members = archive.infolist()
    if len(members) > limits.members:
        raise ValueError(f"{len(members):,} members, where {limits.members:,} are the most")
    names: set[str] = set()
    for member in members:
        name = member.filename.casefold() if limits.any_case else member.filename
        if name in names:
            raise ValueError(f"two members named {member.filename[:80]}")
        names.add(name)
        if member.flag_bits & _ENCRYPTED:
            raise ValueError(f"{member.filename[:80]} is encrypted")
        if member.compress_type not in _METHODS:
            method = f"method {member.compress_type}, another method than deflate"
            raise ValueError(f"{member.filename[:80]} is compressed by {method}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.most_unpacked(size):
        raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}")


def read_member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    """Content of a member of an archive whose directory was checked.

    Raises:
        ValueError: no such member, or a member larger than ``most_bytes``.
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
    """Unpack gzipped bytes of one or several members.

    Raises:
        ValueError: more than ``most_bytes`` unpacked, or truncated content.
        zlib.error: damaged content.
    """
    unpacked: list[bytes] = []
    left = most_bytes
    while content:
        decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        member = decompressor.decompress(content, left + 1)
        if len(member) > left:
            raise ValueError(f"it unpacks to more than {most_bytes:,} bytes")
        if not decompressor.eof:
            raise ValueError("it is cut short")
        left -= len(member)
        unpacked.append(member)
        content = decompressor.unused_data.lstrip(b"\0")  # padding, which gzip skips too
    return b"".join(unpacked)


class Arrays:
    """Arrays of an .npz file, each checked and read at access."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @property
    def names(self) -> list[str]:
        """Names of the arrays in the order of the file."""
        names = (member.filename for member in self._archive.infolist())
        return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]

    @contextmanager
    def stream(self, name: str) -> Iterator[tuple[zipfile.ZipInfo, IO[bytes]]]:
        """Directory entry and bytes of an array; raises ValueError without one of that name."""
        try:
            member = self._archive.getinfo(f"{name}.npy")
        except KeyError as error:
            raise ValueError(f"without {name[:80]}") from error
        with self._archive.open(member) as stream:
            yield member, stream

    def __getitem__(self, name: str) -> np.ndarray:
        """Read one array.

        Raises:
            ValueError: no such array, an array of Python objects, or a header that contradicts
                the size of its member.
        """
        import numpy as np

        with warnings.catch_warnings():
            # NumPy warns of headers that Python 2 wrote, and Python of escapes in damaged ones.
            warnings.simplefilter("ignore")
            with self.stream(name) as (member, stream):
                _check_array(stream, member.file_size)
            with self.stream(name) as (_, stream):
                array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        return array


@contextmanager
def open_arrays(path: Path, rule: str, remedy: str) -> Iterator[Arrays]:
    """Open the arrays of a foreign .npz; arguments and errors are those of ``open_zip``.

    ``numpy.load`` trusts the shape in an array's header. Here its size is compared with the size
    of the member before memory is allocated.
    """
    with open_zip(path, rule, remedy) as archive:
        yield Arrays(archive)


@dataclass(frozen=True)
class StoredArray:
    """Array of an .npz that is not compressed: one example of it is read at a time.

    Attributes:
        path: path of the file.
        offset: place of the first number in it, in bytes.
        shape: shape of the array.
        dtype: type of its numbers.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """One example; raises ValueError for a file that became shorter."""
        import numpy as np

        count = math.prod(self.shape[1:])
        with self.path.open("rb") as stream:
            stream.seek(self.offset + index * count * self.dtype.itemsize)
            read = np.fromfile(stream, self.dtype, count)
        return read.reshape(self.shape[1:])


def stored_array(path: Path, arrays: Arrays, name: str) -> StoredArray:
    """Place of an array in an .npz whose directory was checked, without reading its numbers.

    Args:
        path: path of the file.
        arrays: its open arrays.
        name: name of the array.

    Raises:
        ValueError: no such array, one that is compressed or in Fortran order, or what
            ``Arrays`` refuses.
    """
    from numpy.lib import format as npy

    with arrays.stream(name) as (member, stream):
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name[:80]} is compressed, so that no example is read alone")
        _check_array(stream, member.file_size)
        start = stream.tell()
    with arrays.stream(name) as (_, stream), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = npy.read_array_header_1_0, npy.read_array_header_2_0
        shape, fortran, dtype = read[npy.read_magic(stream)[0] - 1](stream)
    if fortran and len(shape) > 1:
        raise ValueError(f"{name[:80]} is in Fortran order, so that no example is read alone")
    if not shape:
        raise ValueError(f"{name[:80]} is one number")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(_LOCAL_HEAD.size)
        if len(head) < _LOCAL_HEAD.size:
            raise ValueError("it is cut short")
        *_, name_bytes, extra_bytes = _LOCAL_HEAD.unpack(head)
    offset = member.header_offset + _LOCAL_HEAD.size + name_bytes + extra_bytes + start
    if offset + math.prod(shape) * dtype.itemsize > path.stat().st_size:
        raise ValueError("it is cut short")
    return StoredArray(path, offset, shape, dtype)


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
    """Raise ValueError unless header and array together take the ``size`` bytes of the member."""
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
