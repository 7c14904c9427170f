"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reason_of
from foundation.locking import try_lock

PREFIX = ".writing-"
"""Start of the name of temporary folders, before the process that writes there."""

_TEMPORARY_BYTES = 16 << 20
_SETTLED_SECONDS = 60.0


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in its folder, then rename it.

    Args:
        path: where the file is to appear; its folder is made.
        write: given a path with the same ending, writes the file there.

    Raises:
        InvalidInputError: the folder cannot be written, or the disk is full; nothing is left.
    """
    with scratch_folder(path.parent, path) as scratch:
        part = scratch / path.name
        write(part)
        sync(part)
        part.replace(path)
        sync_folder(path.parent)


@contextmanager
def scratch_folder(folder: Path, shown: Path | None = None) -> Iterator[Path]:
    """A temporary folder inside ``folder``, which is made; what is left of it goes at the end.

    Args:
        folder: where files are to appear.
        shown: path for the message; the folder unless given.

    Raises:
        InvalidInputError: in the place of an OSError of the block or of this function.
    """
    shown = shown or folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
        scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=folder))
        descriptor = os.open(scratch, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise unwritable(shown, error) from error
    try:
        try_lock(descriptor)  # tells the living from the dead, whatever their numbers
        yield scratch
    except OSError as error:
        raise unwritable(shown, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(descriptor)


def sync(path: Path) -> None:
    """Have the system put a file's bytes on the disk.

    Raises:
        OSError: the disk does not take them.
    """
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Have the system put the names in a folder on the disk, where it can do that for folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Have the system put a folder on the disk with everything in it.

    Raises:
        OSError: the disk does not take it.
    """
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync(path)
    sync_folder(folder)


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary folders of processes that were killed while writing."""
    for scratch in folder.glob(f"{PREFIX}*"):
        owner = scratch.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not scratch.is_symlink() and _is_abandoned(scratch, int(owner)):
            shutil.rmtree(scratch, ignore_errors=True)


def require_room(folder: Path, most_bytes: int = _TEMPORARY_BYTES) -> None:
    """Refuse to begin where nothing can be written: converters and compilers need more than that.

    Args:
        folder: of the output, which is made.
        most_bytes: room that temporary files must have.

    Raises:
        InvalidInputError: the output folder cannot be written, or the folder for temporary files
            cannot take so much.
    """
    with scratch_folder(folder):
        pass
    try:
        with tempfile.TemporaryFile(buffering=0) as handle:
            block = bytes(1 << 20)
            for _ in range(-(-most_bytes // len(block))):
                if handle.write(block) != len(block):
                    raise OSError("no room")
    except OSError as error:
        raise InvalidInputError(
            f"the folder for temporary files has room for {most_bytes >> 20} MiB",
            received=f"{os.environ.get('TMPDIR') or 'the default'} ({reason_of(error)})",
            remedy="free space, or set TMPDIR to another folder",
        ) from error


def unwritable(path: Path, error: Exception) -> InvalidInputError:
    """The sentence for an output folder that cannot be written, or a disk that is full."""
    return InvalidInputError(
        "the output folder is writable and has room",
        received=f"{printable(path)} ({reason_of(error)})",
        remedy="free space, or choose another --output",
    )


def _is_abandoned(scratch: Path, owner: int) -> bool:
    """Whether nobody holds its lock, and its process is gone or its number is another's now."""
    try:
        descriptor = os.open(scratch, os.O_RDONLY)
    except OSError:
        return False
    try:
        if not try_lock(descriptor):
            return False
        age = time.time() - os.fstat(descriptor).st_mtime
        return age > _SETTLED_SECONDS if _is_running(owner) else True
    finally:
        os.close(descriptor)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
