"""Contents of the folder of a bundle, without following links or opening files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from foundation.errors import InvalidInputError
from foundation.foreign import printable

MOST_FILES = 1000
MOST_BYTES = 4 << 30
"""Largest size of all files of a bundle together."""
MOST_DEPTH = 4
"""Largest number of names in the path of a file inside a bundle."""
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def survey(folder: Path) -> dict[str, int]:
    """Sizes of all files in a folder, by path inside it with ``/``.

    Raises:
        InvalidInputError: something that is not a regular file, or more files, bytes or levels of
            folders than a bundle may have.
    """
    sizes: dict[str, int] = {}
    total = 0
    for name, status in _walk(folder, ""):
        if kind := next((word for matches, word in _KINDS if matches(status.st_mode)), None):
            raise refused(folder, f"{printable(name)}, which is {kind}")
        if (fault := fault_of(name)) is not None:
            raise refused(folder, f"{printable(name)} ({fault})")
        sizes[name] = status.st_size
        total += status.st_size
        if len(sizes) > MOST_FILES:
            raise refused(folder, f"more than {MOST_FILES:,} files")
        if total > MOST_BYTES:
            raise refused(folder, f"more than {MOST_BYTES:,} bytes")
    return dict(sorted(sizes.items()))


def fault_of(name: str) -> str | None:
    """Reason why a bundle has no file of this path; None if it may.

    Args:
        name: path inside the bundle, with ``/``.
    """
    parts = name.split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "a path that is absolute or leads elsewhere"
    if "\\" in name or ":" in name or not name.isprintable():
        return "a name with a character that some system takes for another path"
    if len(parts) > MOST_DEPTH or max(len(part.encode()) for part in parts) > 255:
        return "a path that is too long"
    return None


def refused(path: Path, reason: str) -> InvalidInputError:
    """Error for a folder or .zip that is not a bundle."""
    return InvalidInputError(
        "a bundle holds what 'edgequant ship' wrote, in plain files and folders",
        received=f"{printable(path)} with {reason}",
        remedy="download the bundle again from whoever made it",
    )


def _walk(folder: Path, inside: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder / inside) as entries:
            children = [(f"{inside}{e.name}", e.stat(follow_symlinks=False)) for e in entries]
    except OSError as error:
        raise refused(folder, f"{printable(inside) or '.'} ({error.strerror})") from error
    for name, status in sorted(children, key=lambda pair: pair[0]):
        if not stat.S_ISDIR(status.st_mode):
            yield name, status
        elif name.count("/") + 1 >= MOST_DEPTH:
            raise refused(folder, f"{printable(name)} (a path that is too long)")
        else:
            yield from _walk(folder, f"{name}/")
