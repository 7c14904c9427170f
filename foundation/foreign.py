"""Foreign files, that is bytes that others wrote: regular files only, read without a traceback.

On damaged bytes a parser can raise almost any exception. ``reading`` is the one place that turns
all of them into a sentence that names the file.
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
"""Largest size of a text file (a contract, labels, a record), in bytes."""

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
"""Exceptions of parsers on damaged bytes, collected by fuzzing; Ctrl-C is not among them."""


@contextmanager
def reading(
    path: Path | str,
    rule: str,
    remedy: str,
    *,
    raised: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn any exception of a parser in this block into one sentence.

    Args:
        path: path of the foreign file, for the message.
        rule: what must hold, without a full stop.
        remedy: what to do about a violation, in the imperative.
        raised: the parser's own exceptions that derive from ``Exception`` directly.

    Raises:
        InvalidInputError: in place of any exception in ``DAMAGE`` or ``raised``; an
            ``EdgequantError`` passes unchanged.
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
    """First line of an error's text, printable and of bounded length; its type if it has none."""
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
    """Refuse a path that is not a regular file: opening a pipe or a device can block or act.

    Args:
        path: path that the user, or a file of the user, names; links are followed.
        rule: what must hold, without a full stop.
        remedy: what to do about a violation, in the imperative.
        most_bytes: largest accepted size; None for any.

    Returns:
        The argument ``path``.

    Raises:
        InvalidInputError: nothing exists there, or it is not a regular file, or it is larger than
            ``most_bytes``.
    """
    shown = printable(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat raises on a NUL too
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
    """Bytes of a foreign file.

    Raises:
        InvalidInputError: not a regular file, larger than ``most_bytes``, or unreadable.
    """
    require_regular(path, rule, remedy, most_bytes=most_bytes)
    with reading(path, rule, remedy):
        return path.read_bytes()


def read_text(path: Path, rule: str, remedy: str, *, encoding: str = "utf-8") -> str:
    """Text of a foreign file of at most ``MOST_TEXT`` bytes.

    Raises:
        InvalidInputError: not a regular file, too large, unreadable, or in another encoding.
    """
    require_regular(path, rule, remedy, most_bytes=MOST_TEXT)
    with reading(path, rule, remedy):
        return path.read_text(encoding=encoding)


def read_object(path: Path, rule: str, remedy: str) -> dict[str, Any]:
    """JSON object in a foreign file of at most ``MOST_TEXT`` bytes.

    Raises:
        InvalidInputError: as ``read_text``, or invalid JSON, JSON that is nested too deeply, or
            JSON of something other than an object.
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
