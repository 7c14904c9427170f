"""Several files that take their place together: after a kill all of them, or none, are new.

1. The files are written into a temporary folder inside the folder that they are for.
2. It gets a journal, which names each file with its digest, is put on the disk, and is renamed to
   ``.delivery``. That rename commits.
3. Each file is renamed to its place, and what is obsolete goes.
4. ``.delivery`` is renamed away and deleted.

``settle`` finishes a delivery that was killed after the second step and discards one that was
killed before it. A journal is foreign bytes: it names plain files of its folder and nothing else.
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
"""Folder of a delivery that is committed and not finished."""

_JOURNAL = "journal.json"
_FILES = "files"
_KEPT = "kept"
_LONGEST = 200
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RULE = "an unfinished delivery in a folder is as edgequant left it"
_REMEDY = "delete it, or choose another --output"


@dataclass(frozen=True)
class Staging:
    """Files on their way.

    Attributes:
        folder: that they are for.
        scratch: temporary folder.
    """

    folder: Path
    scratch: Path

    def path(self, name: str) -> Path:
        """Where to write the file that is to have this name."""
        return self.files / name

    @property
    def files(self) -> Path:
        """Folder of the files that are staged."""
        return self.scratch / _FILES

    def digests(self) -> dict[str, str]:
        """sha256 by name of what is staged, sorted."""
        return {path.name: sha256_of(path) for path in sorted(self.files.iterdir())}


@dataclass(frozen=True)
class Orders:
    """What may go when staged files take their place.

    Attributes:
        replaced: digests by name; a file in the place of a staged one goes if it has one of them,
            and is renamed to NAME.kept-N otherwise.
        removed: digest by name; such a file goes if it still has the digest, and stays otherwise.
    """

    replaced: Mapping[str, frozenset[str]] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def staging(folder: Path) -> Iterator[Staging]:
    """A place to write files before ``deliver``; without it, they are discarded.

    Raises:
        InvalidInputError: the folder cannot be written, or the disk is full.
    """
    with output_scratch(folder) as scratch:
        staged = Staging(folder, scratch)
        staged.files.mkdir()
        yield staged


def deliver(staged: Staging, order: Callable[[], Orders]) -> tuple[Path, ...]:
    """Move staged files to their place, all of them or, when killed before the commit, none.

    Args:
        staged: the files.
        order: called while no other process delivers into the folder; may stage more files.

    Returns:
        What was kept of files that were in the way, under their new names.

    Raises:
        InvalidInputError: a folder or pipe has the name of a file, another process does not let go
            of the folder, or the folder cannot be written.
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
    """Finish or discard what processes that were killed have left in a folder.

    Returns:
        What was kept of files that were in the way, under their new names.

    Raises:
        InvalidInputError: a journal that is not ours, or a folder that cannot be written.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises on odd names
        return ()
    try:
        kept: tuple[Path, ...] = ()
        if os.path.lexists(folder / PENDING):
            with exclusive(folder), uninterrupted():
                kept = _finish(folder)
        clear_leftovers(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return kept


def require_free(path: Path) -> None:
    """Refuse a path where something is that is no file.

    Raises:
        InvalidInputError: a folder, a named pipe or a device.
    """
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises on odd names
        rule = "a file is written where no folder or pipe is"
        require_regular(path, rule, "move it away, or choose another --output")


def is_plain(name: object) -> bool:
    """Whether a value is the name of a file in a folder, and leads nowhere else."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..", PENDING)
        and not any(c in name for c in "/\\\0")
    )


def _finish(folder: Path) -> tuple[Path, ...]:
    """Roll a committed delivery forward; nothing when there is none."""
    pending = folder / PENDING
    if not os.path.lexists(pending):
        return ()
    files, removed = _journal(pending)
    kept = []
    for name, (_, replaced) in files.items():
        part, path = pending / _FILES / name, folder / name
        if os.path.lexists(part):
            if os.path.lexists(path) and not (path.is_file() and sha256_of(path) in replaced):
                kept.append(_kept_name(path))
                path.rename(kept[-1])
            part.replace(path)
    for name, digest in removed.items():
        path = folder / name
        if _is_regular(path) and sha256_of(path) == digest:
            path.unlink()
    sync_folder(folder)
    done = folder / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    pending.rename(done)
    shutil.rmtree(done, ignore_errors=True)
    return tuple(kept)


def _journal(pending: Path) -> tuple[dict[str, tuple[str, frozenset[str]]], dict[str, str]]:
    """Digest and replaceable digests by name of the files, and digest by name of what goes.

    Raises:
        InvalidInputError: it is damaged, leads out of the folder, or its files are others.
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
        part = pending / _FILES / name
        if os.path.lexists(part) and not (_is_regular(part) and sha256_of(part) == digest):
            raise _foreign(part, "which is not as its journal says")
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
