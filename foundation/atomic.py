"""Writing of files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from foundation.scratch import output_scratch


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file into a scratch folder beside its place, then rename it to its place.

    Args:
        path: file to write; its folder is created if missing.
        write: function that writes the file; gets a path with the same file name.

    Raises:
        InvalidInputError: the folder cannot be written, or the disk is full; nothing is left.
    """
    with output_scratch(path.parent, path) as scratch:
        unfinished = scratch / path.name
        write(unfinished)
        sync(unfinished)
        unfinished.replace(path)
        sync_folder(path.parent)


def sync(path: Path) -> None:
    """Make the system store a file's bytes on the disk.

    Raises:
        OSError: the disk does not take them.
    """
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Make the system store a folder's list of names on the disk, where it can do that."""
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
    """Make the system store a folder on the disk with everything in it.

    Raises:
        OSError: the disk does not take it.
    """
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync(path)
    sync_folder(folder)
