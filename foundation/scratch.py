"""Folders for unfinished and temporary files, and the room that they need.

``output_scratch`` makes one inside an output folder, so that a finished file can be renamed to its
place; ``temporary_scratch`` makes one in the system's folder for temporary files (TMPDIR). Both are
locked while their process lives and deleted afterwards. A folder without room says nothing of what
was to be written: no test or proof has failed by it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reason_of
from foundation.locking import try_lock

PREFIX = ".writing-"
"""Start of the names of scratch folders in output folders; the number of their process follows."""

_TOOL_BYTES = 16 << 20
"""Bytes of temporary files that converters and compilers write at least."""
_SETTLED_SECONDS = 60.0
"""Age at which an unlocked folder is abandoned, even if a process with its number runs."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def output_scratch(folder: Path, shown: Path | None = None) -> Iterator[Path]:
    """Make a scratch folder inside an output folder; its remaining content is deleted at the end.

    Args:
        folder: output folder, created if missing; scratch folders of killed processes are deleted.
        shown: path that error messages name; None for ``folder``.

    Raises:
        InvalidInputError: in place of any OSError of the block or of this function.
    """
    shown = shown or folder
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(folder)
            scratch = stack.enter_context(_locked_folder(folder, f"{PREFIX}{os.getpid()}-"))
        except (OSError, ValueError) as error:
            raise unwritable(shown, error) from error
        try:
            yield scratch
        except OSError as error:
            raise unwritable(shown, error) from error


@contextmanager
def temporary_scratch(parent: Path | None = None) -> Iterator[Path]:
    """Make a scratch folder for files that no output folder is to hold; deleted at the end.

    Args:
        parent: folder to make it in; None for the system's folder for temporary files.

    Raises:
        InvalidInputError: there is no room for the folder or for what the block writes.
    """
    with ExitStack() as stack:
        try:
            scratch = stack.enter_context(_locked_folder(parent))
        except OSError as error:
            raise no_room(parent or _temporary_place(), reason_of(error)) from error
        try:
            yield scratch
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise no_room(parent or _temporary_place(), reason_of(error)) from error


def clear_leftovers(folder: Path) -> None:
    """Delete the scratch folders that killed processes left in an output folder."""
    for scratch in folder.glob(f"{PREFIX}*"):
        owner = scratch.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not scratch.is_symlink() and _is_abandoned(scratch, int(owner)):
            shutil.rmtree(scratch, ignore_errors=True)


def require_writable(folder: Path) -> None:
    """Refuse to start a command whose output or whose tools' temporary files cannot be written.

    Args:
        folder: output folder, created if missing.

    Raises:
        InvalidInputError: the output folder cannot be written, or the folder for temporary files
            cannot take the 16 MiB that converters and compilers need.
    """
    with output_scratch(folder):
        pass
    try:
        with tempfile.TemporaryFile(buffering=0) as handle:
            block = bytes(1 << 20)
            for _ in range(_TOOL_BYTES // len(block)):
                if handle.write(block) != len(block):
                    raise OSError("no room")
    except OSError as error:
        raise no_room(_temporary_place(), reason_of(error)) from error


def require_space(folder: Path, needed: int) -> None:
    """Refuse to start what a full disk would make fail half-way.

    Args:
        folder: existing folder for temporary files.
        needed: bytes that will be written there; what tools need is added.

    Raises:
        InvalidInputError: less space is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _TOOL_BYTES:
        raise no_room(folder, f"{free:,} bytes free, where {needed + _TOOL_BYTES:,} are needed")


def refuse_full(folder: Path, log: str) -> None:
    """Refuse the failure of a tool whose log says that a disk is full.

    Args:
        folder: folder in which the tool wrote.
        log: output of the tool, in English or in this process's language.

    Raises:
        InvalidInputError: the log says that a disk or a quota is full.
    """
    texts = ("No space left on device", "Disk quota exceeded", *map(os.strerror, _FULL))
    if text := next((text for text in texts if text in log), None):
        raise no_room(folder, text)


def no_room(folder: Path | str, reason: str) -> InvalidInputError:
    """Error for a folder for temporary files that is full or cannot be written."""
    return InvalidInputError(
        "the folder for temporary files has room",
        received=f"{printable(folder)} ({reason})",
        remedy="free space there, or set TMPDIR to another folder",
    )


def unwritable(path: Path, error: Exception) -> InvalidInputError:
    """Error for an output folder that cannot be written, or whose disk is full."""
    return InvalidInputError(
        "the output folder is writable and has room",
        received=f"{printable(path)} ({reason_of(error)})",
        remedy="free space, or choose another --output",
    )


@contextmanager
def _locked_folder(parent: Path | None, prefix: str | None = None) -> Iterator[Path]:
    """Make a folder, hold its lock while the block runs, and delete it.

    The lock tells a running process from a killed one, whatever process numbers are in use.
    """
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
    with made as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            try_lock(descriptor)
            yield Path(name)
        finally:
            made.cleanup()  # before the lock is released
            os.close(descriptor)


def _temporary_place() -> Path | str:
    """The system's folder for temporary files, as messages name it."""
    try:
        return os.environ.get("TMPDIR") or tempfile.gettempdir()
    except FileNotFoundError:
        return "the default"


def _is_abandoned(scratch: Path, owner: int) -> bool:
    """Whether no process holds a scratch folder's lock, and process ``owner`` does not use it.

    A running process with that number may be another one, so that age decides.
    """
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
