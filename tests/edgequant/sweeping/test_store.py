"""Stores: files appear whole or not at all, and a store that cannot be used says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgequant.sweeping import store as stores
from edgequant.sweeping.store import (
    Store,
    open_store,
    read_record,
    require_store,
    shared_store,
    write_record,
)
from foundation.errors import InvalidInputError


@pytest.fixture(params=["folder", "memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    pytest.importorskip("fsspec")
    if request.param == "local":  # the folder, through fsspec
        return open_store(f"local://{tmp_path / 'store'}")
    return open_store(f"memory://{tmp_path.name}")


def test_what_is_written_is_read_and_listed(store: Store) -> None:
    assert store.names("tasks") == frozenset()
    assert store.read("tasks/a.json") is None
    store.write("tasks/a.json", b"one")
    store.write("tasks/a.json", b"two")
    store.write("tasks/b.json", b"")
    assert store.read("tasks/a.json") == b"two"
    assert store.names("tasks") == {"a.json", "b.json"}
    store.delete("tasks/a.json")
    store.delete("tasks/a.json")
    assert store.names("tasks") == {"b.json"}
    require_store(store)
    assert store.names("") == frozenset()


@pytest.mark.parametrize("content", [b"", b'{"key": ', b"[1]", b"\xff", b"null"])
def test_a_damaged_record_is_none(store: Store, content: bytes) -> None:
    write_record(store, "tasks/a.json", {"key": 1})
    assert read_record(store, "tasks/a.json") == {"key": 1}
    store.write("tasks/a.json", content)
    assert read_record(store, "tasks/a.json") is None
    assert read_record(store, "tasks/missing.json") is None


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="read and written"):
        require_store(open_store(str(tmp_path / "file")))


def test_an_address_of_no_known_kind_is_refused() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(InvalidInputError, match="nosuch"):
        open_store("nosuch://bucket/sweep")


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}").write("a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert isinstance(open_store(str(tmp_path)), stores.FolderStore)


def refusing(error: OSError) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize("kind", ["folder", "local"])
def test_a_full_store_is_one_sentence_and_keeps_no_halves(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    store = open_store(str(tmp_path / "there"))
    if kind == "local":
        pytest.importorskip("fsspec")
        store = open_store(f"local://{tmp_path / 'there'}")
        monkeypatch.setattr(store._files, "mv", refusing(full))  # type: ignore[attr-defined]
    else:
        monkeypatch.setattr(Path, "write_bytes", refusing(full))
    with pytest.raises(InvalidInputError, match="No space left") as refused:
        require_store(store)
    assert "make room in it" in refused.value.remedy
    assert not [path for path in (tmp_path / "there").rglob("*") if path.is_file()]


def test_a_store_that_does_not_answer_in_time_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = pytest.importorskip("fsspec.exceptions")
    store = open_store(f"memory://{tmp_path.name}")
    late = exceptions.FSTimeoutError("no answer for 60 s")
    for name in ("cat_file", "pipe_file", "ls", "rm_file"):
        monkeypatch.setattr(store._files, name, refusing(late))  # type: ignore[attr-defined]
    for call in (
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.names("tasks"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(InvalidInputError, match=r"memory://.*no answer for 60 s"):
            call()


def test_the_memory_of_one_process_is_no_store_of_workers() -> None:
    with pytest.raises(InvalidInputError, match="all workers reach"):
        shared_store("memory://sweep")
