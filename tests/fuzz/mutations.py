"""Damage to files: of bits, lengths, chunks, archive members and texts, all from one seed."""

from __future__ import annotations

import gzip
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

_LENGTHS = (
    0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    10**12, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF,
)  # fmt: skip
"""Numbers at which counts and offsets of 1, 2, 4 and 8 bytes go wrong."""

_TOKENS = (
    b"1" * 400, b"-1", b"1e999", b"NaN", b"null", b"{}", b"[]", b'""', b"true", b"\0", b"\xff\xfe",
    b"[" * 1000, b"[" * 100_000, b"0.1", b'"\\ud800"', b"(" * 200, b"9" * 5000,
)  # fmt: skip
"""What a text's tokens are replaced with."""

_COMPRESSED = b"\x1f\x8b"
_ARCHIVE = b"PK\x03\x04"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy: inside its container as often as from outside.

    Args:
        data: of a valid file.
        rng: decides everything.
    """
    if data[:4] == _ARCHIVE and rng.random() < 0.6:
        return _archive(data, rng)
    if data[:2] == _COMPRESSED and rng.random() < 0.5:
        return gzip.compress(_plain(gzip.decompress(data), rng), 1, mtime=0)
    return _plain(data, rng)


def _plain(data: bytes, rng: np.random.Generator) -> bytes:
    if not data:
        return bytes(rng.integers(0, 256, int(rng.integers(64)), np.uint8))
    changes: list[Callable[[bytearray, np.random.Generator], bytes]]
    changes = [_flipped, _flipped, _cut, _spliced, _length, _length]
    if _is_text(data):
        changes += [_token, _token, _nested]
    damaged = data
    for _ in range(int(rng.integers(1, 4))):
        change = changes[int(rng.integers(len(changes)))]
        damaged = change(bytearray(damaged), rng) if damaged else damaged
    return damaged


def _is_text(data: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\r\n\t" for byte in data[:2000])


def _position(size: int, rng: np.random.Generator) -> int:
    """Anywhere; mostly in front, where headers lie, or at the end, where directories do."""
    where = rng.integers(4)
    near = min(size, 4096)
    if where == 0:
        return int(rng.integers(near))
    return size - 1 - int(rng.integers(near)) if where == 1 else int(rng.integers(size))


def _flipped(data: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 12))):
        data[_position(len(data), rng)] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: _position(len(data), rng)])


def _spliced(data: bytearray, rng: np.random.Generator) -> bytes:
    """A chunk copied over another place, put in, or left out."""
    start = _position(len(data), rng)
    size = int(rng.integers(1, 1 + min(len(data), 512)))
    chunk, target = data[start : start + size], _position(len(data), rng)
    match rng.integers(3):
        case 0:
            data[target : target + len(chunk)] = chunk
        case 1:
            data[target:target] = chunk
        case _:
            del data[start : start + size]
    return bytes(data)


def _length(data: bytearray, rng: np.random.Generator) -> bytes:
    """A number of 1 to 8 bytes replaced, aligned as files have them."""
    width = (1, 2, 4, 8)[int(rng.integers(4))]
    at = _position(len(data), rng) // width * width
    number = _LENGTHS[int(rng.integers(len(_LENGTHS)))] & (256**width - 1)
    data[at : at + width] = number.to_bytes(width, ("little", "big")[int(rng.integers(2))])
    return bytes(data)


def _token(data: bytearray, rng: np.random.Generator) -> bytes:
    """A value of a text replaced."""
    breaks = [i for i, byte in enumerate(data) if byte in b'[]{}:,="\n ']
    if len(breaks) < 2:
        return bytes(data)
    first = int(rng.integers(len(breaks) - 1))
    token = _TOKENS[int(rng.integers(len(_TOKENS)))]
    return bytes(data[: breaks[first] + 1] + token + data[breaks[first + 1] :])


def _nested(data: bytearray, rng: np.random.Generator) -> bytes:
    """A JSON text wrapped, or one of its values exchanged for a deep one."""
    depth = int(rng.choice((3, 400, 900, 5000)))
    wrapped = b'{"config":' * depth + bytes(data) + b"}" * depth
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return wrapped
    if not isinstance(values, dict) or not values or rng.random() < 0.3:
        return wrapped
    key = sorted(values)[int(rng.integers(len(values)))]
    text = json.dumps(values | {key: "@"})
    return text.replace('"@"', "[" * depth + "]" * depth, 1).encode()


def _archive(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip whose members were damaged, exchanged, doubled, or said to be something else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError):
        return _plain(data, rng)
    if not members:
        return _plain(data, rng)
    chosen, other = (int(rng.integers(len(members))) for _ in range(2))
    name, content = members[chosen]
    match rng.integers(6):
        case 0:
            members[chosen] = (name, members[other][1])
            members[other] = (members[other][0], content)
        case 1:
            members.append((name, members[other][1]))
        case 2:
            del members[chosen]
        case 3:
            return _directory(data, rng)
        case _:
            members[chosen] = (name, _plain(content, rng))
    target = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for each, value in members:
            archive.writestr(zipfile.ZipInfo(each), value, kind)
    return target.getvalue()


def _directory(data: bytes, rng: np.random.Generator) -> bytes:
    """One entry of a zip's directory changed: flags, method, sizes, offset."""
    damaged, at, places = bytearray(data), data.find(b"PK\x01\x02"), []
    while at >= 0:
        places.append(at)
        at = data.find(b"PK\x01\x02", at + 4)
    if not places:
        return _plain(data, rng)
    place = places[int(rng.integers(len(places)))]
    offset, form, number = (
        (8, "<H", 1), (10, "<H", 99), (10, "<H", 12), (10, "<H", 14), (20, "<I", 0xFFFF_FFF0),
        (24, "<I", 0xFFFF_FFF0), (24, "<I", 0), (42, "<I", 0x7FFF_FFFF), (28, "<H", 0xFFFF),
    )[int(rng.integers(9))]  # fmt: skip
    struct.pack_into(form, damaged, place + offset, number)
    return bytes(damaged)
