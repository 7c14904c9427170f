"""Bytes that others wrote: opened only where they are a regular file, read without a traceback.

A parser of foreign bytes raises what its author did not think of. ``reading`` is the one place
that turns all of it into a sentence that names the file.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundation.errors import EdgequantError, InvalidInputError
from foundation.errors import printable as printable

MOST_TEXT = 16 << 20
"""Bytes of a text file (a contract, labels, a record) at most."""

DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
"""What parsers raise on damaged bytes, found by damaging files at random. Ctrl-C is not of it."""


@contextmanager
def reading(
    path: Path | str,
    rule: str,
    remedy: str,
    *,
    raised: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn whatever a parser raises in this block into one sentence.

    Args:
        path: of the foreign file, for the message.
        rule: what must hold, without a full stop.
        remedy: what to do about it, in the imperative.
        raised: exceptions of the parser's own that derive from ``Exception`` alone.

    Raises:
        InvalidInputError: in the place of anything in ``DAMAGE`` or ``raised``; errors of ours
            pass as they are.
    """
    expected = DAMAGE + raised
    try:
        yield
    except EdgequantError:
        raise
    except expected as error:
        received = f"{printable(path)} ({reason_of(error)})"
        raise InvalidInputError(rule, received=received, remedy=remedy) from error


def reason_of(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's text, printable and of bounded length; else its type's name."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "larger than the memory"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = printable(line).rstrip(".")
    return (line[: longest - 3] + "..." if len(line) > longest else line) or type(error).__name__


def require_regular(
    path: Path, rule: str, remedy: str = "check the path", *, most_bytes: int | None = None
) -> Path:
    """Refuse what is no regular file: opening a pipe or a device would wait, or have effects.

    Args:
        path: that the user, or a file of the user's, names; links are followed.
        rule: what must hold, without a full stop.
        remedy: what to do about it, in the imperative.
        most_bytes: the largest size that is read; None for any.

    Returns:
        The path as it was given.

    Raises:
        InvalidInputError: nothing there, no regular file, or larger than ``most_bytes``.
    """
    shown = printable(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat refuses no NUL either
    except FileNotFoundError as error:
        received = f"{shown}, which does not exist"
        raise InvalidInputError(rule, received=received, remedy=remedy) from error
    except (OSError, ValueError) as error:
        received = f"{shown} ({reason_of(error)})"
        raise InvalidInputError(rule, received=received, remedy=remedy) from error
    if not stat.S_ISREG(status.st_mode):
        received = f"{shown}, which is {_kind(status.st_mode)}"
        raise InvalidInputError(rule, received=received, remedy=remedy)
    if most_bytes is not None and status.st_size > most_bytes:
        received = f"{shown} of {status.st_size:,} bytes, where {most_bytes:,} are the most"
        raise InvalidInputError(rule, received=received, remedy=remedy)
    return path


def read_bytes(path: Path, rule: str, remedy: str, *, most_bytes: int | None = None) -> bytes:
    """The bytes of a foreign file.

    Raises:
        InvalidInputError: no regular file, larger than ``most_bytes``, or unreadable.
    """
    require_regular(path, rule, remedy, most_bytes=most_bytes)
    with reading(path, rule, remedy):
        return path.read_bytes()


def read_text(path: Path, rule: str, remedy: str, *, encoding: str = "utf-8") -> str:
    """The text of a foreign file of at most ``MOST_TEXT`` bytes.

    Raises:
        InvalidInputError: no regular file, too large, unreadable, or in another encoding.
    """
    require_regular(path, rule, remedy, most_bytes=MOST_TEXT)
    with reading(path, rule, remedy):
        return path.read_text(encoding=encoding)


def read_object(path: Path, rule: str, remedy: str) -> dict[str, Any]:
    """The object in a foreign JSON file of at most ``MOST_TEXT`` bytes.

    Raises:
        InvalidInputError: as ``read_text``, or no JSON, nested too deeply, or no object.
    """
    text = read_text(path, rule, remedy)
    with reading(path, rule, remedy):
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"JSON of a {type(values).__name__}, not of an object")
        return values


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for matches, name in kinds if matches(mode)), "no regular file")
