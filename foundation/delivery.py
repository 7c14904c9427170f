"""Delivery of several files together: after a kill, either all of them are new or none is.

1. The files are written into a scratch folder inside their output folder.
2. The scratch folder gets a journal, which names each file with its digest, is synchronized with
   the disk, and is renamed to ``.delivery``. That rename commits the delivery.
3. Each file is renamed to its final path, and obsolete files are deleted.
4. ``.delivery`` is renamed to a scratch name and deleted.

``settle`` finishes a delivery that was killed after the second step and discards one that was
killed before it. A journal is foreign input: it may name plain files of its folder only.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundation.atomic import sync_folder, sync_tree
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_object, reading, require_regular
from foundation.locking import exclusive, uninterrupted
from foundation.scratch import PREFIX, clear_leftovers, output_scratch, unwritable

PENDING = ".delivery"
"""Name of the folder of a delivery that is committed but not finished."""

_JOURNAL = "journal.json"
_FILES = "files"
_KEPT = "kept"
_LONGEST = 200
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RULE = "an unfinished delivery in a folder is as edgequant left it"
_REMEDY = "delete it, or choose another --output"


@dataclass(frozen=True)
class Staging:
    """Files that are written but not yet delivered.

    Attributes:
        folder: output folder of the files.
        scratch: scratch folder that holds them until then.
    """

    folder: Path
    scratch: Path

    def path(self, name: str) -> Path:
        """Path at which to write the file that will be delivered under this name."""
        return self.files / name

    @property
    def files(self) -> Path:
        """Folder of the staged files."""
        return self.scratch / _FILES

    def digests(self) -> dict[str, str]:
        """Sha256 of the staged files by name, sorted."""
        return {path.name: sha256_of(path) for path in sorted(self.files.iterdir())}


@dataclass(frozen=True)
class Orders:
    """Existing files that a delivery may replace or delete.

    Attributes:
        replaced: digests by name; an existing file with the name of a staged one is replaced if it
            has one of these digests, and renamed to NAME.kept-N if not.
        removed: digest by name; such a file is deleted if it still has this digest.
    """

    replaced: Mapping[str, frozenset[str]] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def staging(folder: Path) -> Iterator[Staging]:
    """Open a scratch folder for files to ``deliver``; files that are not delivered are discarded.

    Raises:
        InvalidInputError: the folder cannot be written, or the disk is full.
    """
    with output_scratch(folder) as scratch:
        staged = Staging(folder, scratch)
        staged.files.mkdir()
        yield staged


def deliver(staged: Staging, order: Callable[[], Orders]) -> tuple[Path, ...]:
    """Move all staged files to their final paths, or none if killed before the commit.

    Args:
        staged: the files.
        order: function that decides what may be replaced; called while no other process delivers
            into the folder, and may stage more files.

    Returns:
        New paths of existing files that were renamed rather than replaced.

    Raises:
        InvalidInputError: a folder or pipe has the name of a file, another process holds the
            folder for too long, or the folder cannot be written.
    """
    folder = staged.folder
    try:
        with exclusive(folder):
            _finish(folder)
            orders = order()
            digests = staged.digests()
            for name in digests:
                require_free(folder / name)
            journal = {
                "delivery": 1,
                "files": {
                    name: {"sha256": digest, "replaces": sorted(orders.replaced.get(name, ()))}
                    for name, digest in digests.items()
                },
                "removed": dict(orders.removed),
            }
            text = json.dumps(journal, indent=2) + "\n"
            (staged.scratch / _JOURNAL).write_text(text, encoding="utf-8")
            sync_tree(staged.scratch)
            with uninterrupted():
                staged.scratch.rename(folder / PENDING)
                sync_folder(folder)
                return _finish(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def settle(folder: Path) -> tuple[Path, ...]:
    """Finish or discard the deliveries of killed processes in a folder.

    Returns:
        New paths of existing files that were renamed rather than replaced.

    Raises:
        InvalidInputError: a journal that edgequant did not write, or a folder that cannot be
            written.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises on odd names
        return ()
    try:
        renamed: tuple[Path, ...] = ()
        if os.path.lexists(folder / PENDING):
            with exclusive(folder), uninterrupted():
                renamed = _finish(folder)
        clear_leftovers(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return renamed


def require_free(path: Path) -> None:
    """Refuse an output path at which something other than a file exists.

    Raises:
        InvalidInputError: a folder, a named pipe or a device.
    """
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises on odd names
        rule = "a file is written where no folder or pipe is"
        require_regular(path, rule, "move it away, or choose another --output")


def is_plain(name: object) -> bool:
    """Whether a value is a plain file name, without a path that leads elsewhere."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..", PENDING)
        and not any(c in name for c in "/\\\0")
    )


def _finish(folder: Path) -> tuple[Path, ...]:
    """Complete a committed delivery, if there is one; the new paths of renamed files."""
    pending = folder / PENDING
    if not os.path.lexists(pending):
        return ()
    files, removed = _journal(pending)
    renamed = []
    for name, (_, replaced) in files.items():
        staged, path = pending / _FILES / name, folder / name
        if os.path.lexists(staged):
            if os.path.lexists(path) and not (path.is_file() and sha256_of(path) in replaced):
                renamed.append(_kept_name(path))
                path.rename(renamed[-1])
            staged.replace(path)
    for name, digest in removed.items():
        path = folder / name
        if _is_regular(path) and sha256_of(path) == digest:
            path.unlink()
    sync_folder(folder)
    done = folder / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    pending.rename(done)
    shutil.rmtree(done, ignore_errors=True)
    return tuple(renamed)


def _journal(pending: Path) -> tuple[dict[str, tuple[str, frozenset[str]]], dict[str, str]]:
    """Read the journal of a committed delivery.

    Returns:
        Digest and replaceable digests of each delivered file by name, and the digest of each file
        to delete by name.

    Raises:
        InvalidInputError: a damaged journal, a name that leads out of the folder, or a staged file
            with another digest than the journal states.
    """
    for path in (pending, pending / _FILES):
        if path.is_symlink() or not path.is_dir():
            raise _foreign(path, "which is no folder")
    values = read_object(pending / _JOURNAL, _RULE, _REMEDY)
    with reading(pending / _JOURNAL, _RULE, _REMEDY):
        if values["delivery"] != 1:
            raise ValueError("of another kind")
        files = {
            _name(name): (
                _digest(entry["sha256"]),
                frozenset(map(_digest, (entry["sha256"], *entry["replaces"]))),
            )
            for name, entry in values["files"].items()
        }
        removed = {_name(name): _digest(digest) for name, digest in values["removed"].items()}
    for name, (digest, _) in files.items():
        staged = pending / _FILES / name
        if os.path.lexists(staged) and not (_is_regular(staged) and sha256_of(staged) == digest):
            raise _foreign(staged, "which is not as its journal says")
    return files, removed


def _name(value: Any) -> str:
    if not is_plain(value):
        raise ValueError("a name that is not that of a file in the folder")
    return str(value)


def _digest(value: Any) -> str:
    if not _DIGEST.fullmatch(value):
        raise ValueError("a digest that is none")
    return str(value)


def _foreign(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError(_RULE, received=f"{printable(path)}, {what}", remedy=_REMEDY)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _kept_name(path: Path) -> Path:
    number = 1
    stem = path.name[:_LONGEST]
    while os.path.lexists(free := path.with_name(f"{stem}.{_KEPT}-{number}")):
        number += 1
    return free
