"""The three standard streams as the shell passes them: closed, full, or without a reader.

A closed stream is opened on the null device, so that no file that is opened later gets its number.
A failed write to standard output ends the command; standard error carries only progress and
remarks, so a failed write there is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from foundation.errors import InvalidInputError
from foundation.foreign import reason_of

EX_PIPE = 141
"""Exit code after a broken pipe: 128 plus the number of SIGPIPE, as shells report it."""

_OUT, _ERR = 1, 2


class BrokenOutputError(InvalidInputError):
    """Standard output was closed by its reader; like other programs, we print nothing then."""

    exit_code = EX_PIPE


class _Output(io.TextIOWrapper):
    """Standard output: a failed write is a user's error, raised once."""

    _broken = False

    def write(self, text: str) -> int:
        with self._reported():
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._reported():
            super().flush()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._broken:
                return
            self._broken = True
            why = reason_of(error)
            if error.errno != errno.EPIPE:
                raise _unwritable(why) from error
            raise BrokenOutputError(
                "standard output is read to its end", received=why, remedy="read it"
            ) from error


class _Remarks(io.TextIOWrapper):
    """Standard error: a failed write is dropped."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def output_of(descriptor: int, like: TextIO | None) -> IO[str]:
    """Text stream for results, on a duplicate of ``descriptor``.

    Args:
        descriptor: number of an open file.
        like: stream whose encoding is used; None for UTF-8.
    """
    return _Output(*_opened(descriptor, like))


def remarks_of(descriptor: int, like: TextIO | None) -> IO[str]:
    """Text stream for remarks, on a duplicate of ``descriptor``, in the encoding of ``like``."""
    return _Remarks(*_opened(descriptor, like))


def close_quietly(stream: IO[str]) -> None:
    """Close a flushed stream whose last bytes cannot always be written."""
    with suppress(OSError, InvalidInputError):
        stream.close()


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make all three streams usable while the block runs.

    Raises:
        InvalidInputError: standard output is closed, or its device is full.
        BrokenOutputError: the reader of standard output has closed it.
    """
    closed = _fill_closed()
    stdout, stderr = sys.stdout, sys.stderr
    for stream in (stdout, stderr):
        if stream is not None:
            with suppress(OSError):
                stream.flush()
    out, err = output_of(_OUT, stdout), remarks_of(_ERR, stderr)
    sys.stdout, sys.stderr = out, err
    try:
        if _OUT in closed:
            raise _unwritable("it is closed")
        yield
        out.flush()
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        close_quietly(out)
        close_quietly(err)


def say_error(text: str) -> None:
    """Print a line to standard error, if it can be written."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _fill_closed() -> set[int]:
    """Open the null device on each closed standard descriptor.

    Returns:
        Descriptors that were closed.
    """
    closed = set()
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(descriptor)
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
    return closed


def _opened(descriptor: int, like: TextIO | None) -> tuple[io.BufferedWriter, str, str]:
    """Arguments of a text stream: buffer, encoding, and handling of letters outside of it."""
    encoding = (None if like is None else like.encoding) or "utf-8"
    return os.fdopen(os.dup(descriptor), "wb"), encoding, "replace"


def _unwritable(why: str) -> InvalidInputError:
    return InvalidInputError(
        "results go to standard output",
        received=f"one that cannot be written ({why})",
        remedy="send it to a terminal, a file with room, or /dev/null",
    )
