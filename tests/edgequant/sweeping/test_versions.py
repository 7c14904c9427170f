"""Workers of another version are refused, and two sweeps on one store do nothing by halves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgequant.artifacts import code_digest
from edgequant.sweeping import making
from edgequant.sweeping.answering import answer
from edgequant.sweeping.child import state
from edgequant.sweeping.making import mark_name, result_name
from edgequant.sweeping.store import FolderStore, Store, open_store, write_record
from edgequant.sweeping.tasks import Choice, Task
from foundation.errors import InvalidInputError

CHOICE = Choice("net", "net.keras", None, None, None, "tflite-int8", "fast", 8, 0)
TASK = Task("k" * 64, CHOICE, "f" * 64, ("quantize", "--model=net.keras"), ("cost",))


def request(store: Path, **changes: Any) -> dict[str, Any]:
    values = {"do": "task", "task": TASK.to_dict(), "store": str(store), "code": code_digest()}
    return json.loads(json.dumps({**values, **changes}))


@pytest.mark.parametrize("do", ["task", "shard"])
def test_another_version_makes_nothing(tmp_path: Path, do: str) -> None:
    error = answer(request(tmp_path, do=do, code="another"))["error"]
    assert "the same one there" in error["remedy"]
    assert not list(tmp_path.iterdir())


def test_what_another_sweep_has_made_is_not_made_again(tmp_path: Path) -> None:
    result = {"key": TASK.key, "seconds": 1.0}
    write_record(open_store(str(tmp_path)), result_name(TASK.key), result)
    assert answer(request(tmp_path)) == result


def test_a_task_is_marked_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[frozenset[str]] = []

    def made(task: Task, store: Store, answers: str) -> dict[str, Any]:
        assert answers.endswith(f"#floats/{task.float_key}.npz")
        seen.append(store.names("running"))
        if len(seen) == 1:
            raise InvalidInputError("a rule", received="this", remedy="do that")
        return {"key": task.key}

    monkeypatch.setattr(making, "_made", made)
    store = open_store(str(tmp_path))
    assert answer(request(tmp_path))["error"]["sentence"] == "a rule; received this: do that."
    assert answer(request(tmp_path)) == {"key": TASK.key}
    assert seen == [{Path(mark_name(TASK.key)).name}] * 2
    assert store.names("running") == frozenset()
    assert store.names("tasks") == {Path(result_name(TASK.key)).name}


def test_a_store_that_is_full_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: FolderStore, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FolderStore, "write", full)
    assert "No space left on device" in answer(request(tmp_path))["error"]["sentence"]


def test_differences_of_workers_are_named() -> None:
    pytest.importorskip("distributed")
    from edgequant.sweeping.dask_engine import _difference

    mine = state()
    assert _difference(mine, mine) == ""
    assert _difference(mine, {**mine, "code": "other"}) == "another edgequant"
    other = {**mine["versions"], "numpy": "1.0"}
    assert _difference(mine, {**mine, "versions": other}).startswith("numpy 1.0 instead of ")
