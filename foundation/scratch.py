"""Folders for temporary files, which may be full: then nothing is known, and nothing has failed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reason_of

_LEAST_ROOM = 16 << 20
"""Bytes that tools take for themselves."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that goes away.

    Args:
        parent: where it is made; None for the system's folder for temporary files.

    Raises:
        InvalidInputError: there is no room for it, or for what is written in the block.
    """
    try:
        made = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise no_room(parent or _place(), reason_of(error)) from error
    try:
        with made as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise no_room(parent or _place(), reason_of(error)) from error


def require_room(folder: Path, needed: int) -> None:
    """Refuse to start what a full disk would make fail half-way.

    Args:
        folder: where it will be written.
        needed: bytes, beside some for the tools.

    Raises:
        InvalidInputError: less is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _LEAST_ROOM:
        raise no_room(folder, f"{free:,} bytes free, where {needed + _LEAST_ROOM:,} are needed")


def refuse_full(folder: Path, log: str) -> None:
    """Refuse what a tool says when it fails for want of room.

    Args:
        folder: in which it wrote.
        log: what it printed, in English or in this process's language.

    Raises:
        InvalidInputError: the log says that a disk is full.
    """
    texts = ("No space left on device", "Disk quota exceeded", *map(os.strerror, _FULL))
    if text := next((text for text in texts if text in log), None):
        raise no_room(folder, text)


def no_room(folder: Path, reason: str) -> InvalidInputError:
    """The error for a folder for temporary files that is full."""
    return InvalidInputError(
        "the folder for temporary files has room",
        received=f"{printable(folder)} ({reason})",
        remedy="free space there, or set TMPDIR to another folder",
    )


def _place() -> Path:
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
