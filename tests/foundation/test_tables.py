from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foundation.tables import joined


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **modules: str) -> str:
    root = folder / name
    root.mkdir()
    for module, content in {"__init__": "", **modules}.items():
        (root / f"{module}.py").write_text(content)
    monkeypatch.syspath_prepend(str(folder))
    for module in ("", *(f".{m}" for m in modules)):
        monkeypatch.delitem(sys.modules, f"{name}{module}", raising=False)
    return name


def test_rows_of_all_modules_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = package(
        tmp_path, monkeypatch, "rows_apart", b="ROWS = {'y': 2}", a="ROWS = {'x': 1}", c="NONE = 1"
    )
    assert list(joined(name, "ROWS").items()) == [("x", 1), ("y", 2)]


def test_a_key_in_two_modules_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, "rows_twice", a="ROWS = {'x': 1}", b="ROWS = {'x': 2}")
    with pytest.raises(ValueError, match=r"rows_twice\.b has x a second time"):
        joined(name, "ROWS")
