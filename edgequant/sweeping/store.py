"""Store of a sweep: small files by name, in a folder or behind any address that fsspec knows.

A file appears whole or not at all, so that a killed worker leaves nothing that another one reads.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from foundation.foreign import reading

_RULE = "the store of a sweep is a folder, or an fsspec address, that can be read and written"
_REMEDY = "give another --store, or make room in it, or change its permissions"


class Store(Protocol):
    """Files by name; a name has forward slashes.

    Every function raises InvalidInputError for a store that cannot be reached, read or written.
    """

    def read(self, name: str) -> bytes | None:
        """Bytes of a file; None without one."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file or none; replaces one of that name."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        ...

    def names(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder, without it; empty without that folder."""
        ...


class FolderStore:
    """Store in a folder of this machine, or of a file system that machines share.

    Args:
        root: the folder; made at the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """Bytes of a file; None without one."""
        path = self._root / name
        if not path.is_file():
            return None
        with reading(path, _RULE, _REMEDY):
            return path.read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file or none."""
        try:
            write_whole(self._root / name, lambda part: part.write_bytes(content))
        except InvalidInputError as error:  # it speaks of an output folder
            raise InvalidInputError(_RULE, received=error.received, remedy=_REMEDY) from error

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        path = self._root / name
        with reading(path, _RULE, _REMEDY):
            path.unlink(missing_ok=True)

    def names(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder."""
        path = self._root / folder
        if not path.is_dir():
            return frozenset()
        with reading(path, _RULE, _REMEDY), os.scandir(path) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())


class RemoteStore:
    """Store behind an fsspec address, such as ``s3://bucket/sweep`` or ``memory://sweep``.

    A file is written under another name and then moved, since not every service writes whole files.

    Args:
        address: address of a folder.

    Raises:
        InvalidInputError: fsspec or the package for this kind of address is not installed, or it
            cannot be reached.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise InvalidInputError(
                "a store with an address is read by fsspec",
                received=f"{address} without that package",
                remedy="run pip install 'edgequant[cluster]', or give a folder",
            ) from error
        with reading(address, _RULE, "check the address, and install the package of its kind"):
            # Listings are not kept: other workers write too.
            self._files, self._root = url_to_fs(address, use_listings_cache=False)

    def read(self, name: str) -> bytes | None:
        """Bytes of a file; None without one."""
        with reading(self._address, _RULE, _REMEDY):
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file or none."""
        path = self._path(name)
        folder = str(PurePosixPath(path).parent)
        part = f"{folder}/.writing-{uuid.uuid4().hex}"
        with reading(self._address, _RULE, _REMEDY):
            self._files.makedirs(folder, exist_ok=True)
            try:
                self._files.pipe_file(part, content)
                self._files.mv(part, path)
            except OSError:  # a full store keeps no halves
                with suppress(OSError):
                    self._files.rm_file(part)
                raise

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        with reading(self._address, _RULE, _REMEDY):
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def names(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder."""
        with reading(self._address, _RULE, _REMEDY):
            try:
                entries = self._files.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return frozenset()
        files = (entry["name"] for entry in entries if entry["type"] == "file")
        names = (PurePosixPath(path).name for path in files)
        return frozenset(name for name in names if not name.startswith("."))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def open_store(address: str) -> Store:
    """Store at a folder or an fsspec address.

    Raises:
        InvalidInputError: an address that fsspec cannot open.
    """
    if "://" in address and not address.startswith("file://"):
        return RemoteStore(address)
    return FolderStore(Path(address.removeprefix("file://")))


def require_store(store: Store) -> None:
    """Write a file and delete it, before anything is computed for the store.

    Raises:
        InvalidInputError: the store cannot be written.
    """
    name = f"probe-{uuid.uuid4().hex}"
    store.write(name, b"")
    store.delete(name)


def shared_store(address: str) -> Store:
    """Store of a command whose workers are other processes, after it was written to.

    Raises:
        InvalidInputError: an address in the memory of one process, one that cannot be opened, or a
            store that cannot be written.
    """
    if address.startswith("memory:"):
        raise InvalidInputError(
            "the store is one that all workers reach",
            received=f"{address}, the memory of one process",
            remedy="give a folder, or an address such as s3://bucket/sweep",
        )
    store = open_store(address)
    require_store(store)
    return store


def read_record(store: Store, name: str) -> dict[str, Any] | None:
    """JSON object in a file; None without one, or for a damaged one, which is made anew."""
    content = store.read(name)
    if content is None:
        return None
    try:
        values = json.loads(content)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def write_record(store: Store, name: str, values: dict[str, Any]) -> None:
    """Write a JSON object; NaN is refused."""
    text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False)
    store.write(name, text.encode())
