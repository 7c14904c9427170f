"""Stores: files appear whole or not at all, and a store that cannot be used says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgequant.sweeping import store as stores
from edgequant.sweeping.store import Store, open_store, read_record, require_store, write_record
from foundation.errors import InvalidInputError


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    pytest.importorskip("fsspec")
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
    with pytest.raises(InvalidInputError, match="writable"):
        require_store(open_store(str(tmp_path / "file")))


def test_an_address_of_no_known_kind_is_refused() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(InvalidInputError, match="nosuch"):
        open_store("nosuch://bucket/sweep")


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}").write("a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert isinstance(open_store(str(tmp_path)), stores.FolderStore)
