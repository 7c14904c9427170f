"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from foundation.errors import InvalidInputError

PREFIX = ".writing-"
"""Of temporary folders, before the process that writes there."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in its folder, then rename it.

    Args:
        path: where the file is to appear; its folder is made.
        write: given a path with the same ending, writes the file there.

    Raises:
        InvalidInputError: the folder cannot be written, or the disk is full; nothing is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(path.parent)
        scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        part = scratch / path.name
        write(part)
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Delete what processes that were killed while writing have left."""
    for scratch in folder.glob(f"{PREFIX}*"):
        owner = scratch.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not _is_running(int(owner)):
            shutil.rmtree(scratch, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _unwritable(path: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(
        "the output folder is writable and has room",
        received=f"{path} ({error.strerror or error})",
        remedy="free space, or choose another --output",
    )
