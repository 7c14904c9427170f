"""The loop that runs requests: retries, lost workers, what is set aside, and the order."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from edgequant.commands.sweep import estimate, in_order
from edgequant.sweeping import child, making
from edgequant.sweeping.answering import answer
from edgequant.sweeping.engine import Answer, open_engine
from edgequant.sweeping.process import WorkerLost, WorkerProcess
from edgequant.sweeping.running import MOST_LOST, Ended, Request, run_all
from edgequant.sweeping.store import FolderStore
from edgequant.sweeping.tasks import Choice, Task
from foundation.errors import InvalidInputError
from foundation.threads import cores


class Engine:
    """Runs a function at once, in this thread."""

    lost: tuple[type[BaseException], ...] = (WorkerLost,)

    def __init__(self, function: Callable[[str, int], Any]) -> None:
        self.function = function
        self.tries: Counter[str] = Counter()
        self.most = 0

    def submit(self, request: dict[str, Any]) -> Future[Answer]:
        future: Future[Answer] = Future()
        name = request["name"]
        self.tries[name] += 1
        found = self.function(name, self.tries[name])
        if found is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        elif isinstance(found, BaseException):
            future.set_exception(found)
        else:
            future.set_result(found)
        return future

    def size(self) -> int:
        return 1

    def place(self) -> str:
        return "here"


def run(engine: Engine, names: str = "abc", retries: int = 2) -> dict[str, Ended]:
    told: list[str] = []
    requests = [Request(name, name, {"name": name}) for name in names]
    ended = run_all(requests, engine, retries, lambda one: told.append(one.request.key))
    assert sorted(told) == sorted(names)
    assert [one.request.key for one in ended] == list(names)
    return {one.request.key: one for one in ended}


def error(kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "sentence": f"a sentence of {kind}"}}


def test_one_that_fails_is_tried_again_and_does_not_stop_the_others() -> None:
    engine = Engine(lambda name, _: error("InvalidInputError") if name == "b" else {"of": name})
    ended = run(engine)
    assert ended["a"].answer == {"of": "a"}
    assert ended["c"].answer == {"of": "c"}
    assert ended["b"].answer is None
    assert (ended["b"].attempts, ended["b"].sentence) == (3, "a sentence of InvalidInputError")


def test_one_that_cannot_be_honoured_is_not_tried_again() -> None:
    ended = run(Engine(lambda *_: error("UnsupportedError")), "a")
    assert ended["a"].attempts == 1


@pytest.mark.parametrize("way", [WorkerLost("signal 9"), None])
def test_a_lost_worker_is_not_the_fault_of_its_request(way: WorkerLost | None) -> None:
    engine = Engine(lambda _, tries: {"done": 1} if tries == MOST_LOST else way)
    assert run(engine, "a", retries=0)["a"].attempts == MOST_LOST


def test_a_request_that_ends_every_worker_is_set_aside() -> None:
    ended = run(Engine(lambda *_: WorkerLost("signal 11")), "a")
    assert ended["a"].attempts == MOST_LOST
    assert "signal 11" in ended["a"].sentence


def test_an_exception_of_the_engine_is_a_sentence() -> None:
    assert run(Engine(lambda *_: KeyError("x")), "a", 0)["a"].sentence == "'x'"


def test_an_error_of_a_worker_is_an_answer() -> None:
    found = answer({"do": "task", "shown": "the task"})["error"]
    assert found["sentence"].startswith("a task of a sweep runs to its end; received the task")


def test_estimates_are_ranges_and_unknown_at_first() -> None:
    assert estimate([10.0, 10.0], 5, 1) == ""
    assert estimate([10.0] * 3, 0, 1) == ""
    assert estimate([10.0] * 3, 6, 2) == "30 to 30 s"
    assert estimate([10.0, 10.0, 40.0], 600, 2) == "0.0 to 3.3 h"


def test_more_processes_than_cores_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="--workers"), open_engine(None, cores() + 1):
        pass
    with pytest.raises(InvalidInputError, match="--cluster"), open_engine("tcp://a:1", 1):
        pass


def task(model: str, effort: str) -> Task:
    """A task of a plan."""
    choice = Choice(model, model, None, None, None, "tflite-int8", effort, 8, 0)
    return Task(f"{model}-{effort}", choice, model, (), ("cost", f"--model={model}"))


def test_the_first_task_of_each_model_starts_first_and_more_work_before_less() -> None:
    tasks = [task(model, effort) for model in "abc" for effort in ("fast", "best")]
    found = in_order(tasks, {"a-fast.json"})
    assert [one.key for one in found] == [
        *("a-best", "b-best", "c-best"), *("b-fast", "c-fast"), "a-fast"
    ]  # fmt: skip


def test_costs_of_a_model_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[str, ...]] = []

    def count(words: tuple[str, ...]) -> dict[str, Any]:
        counted.append(words)
        return {"macs": 1, "params": 2, "arena_bytes": 3}

    monkeypatch.setattr(making, "_counted", count)
    store = FolderStore(tmp_path)
    words = ("quantize", "--model=mobilenet_v2_small", "--recipe=tflite-int8")
    wide = ("quantize", "--model=mobilenet_v2_small", "--recipe=tflite-int8", "--alpha=1")
    for named in (words, words, wide):
        one = Task(
            "key", task("a", "fast").choice, "float", named, ("cost", *named[1:2], *named[3:])
        )
        assert making._cost(one, store)["arena_bytes"] == 3
    assert len(counted) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not pin")
def test_workers_share_a_core_only_when_each_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[set[int]] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(cores))
    held = [child._claimed_core() for _ in range(7)]
    try:
        assert pinned == [{2}, {5}, {7}, {2}, {5}, {7}, {2}]
        freed = held.pop(1)
        assert freed is not None
        os.close(freed)
        held.append(child._claimed_core())
        assert pinned[-1] == {5}
    finally:
        for descriptor in held:
            if descriptor is not None:
                os.close(descriptor)


def test_what_dask_sets_for_its_workers_does_not_reach_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With it glibc returns freed arrays to the system at once, which takes a third of the time."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("OF_THE_USER", "1")
    started: list[dict[str, str]] = []

    def noted(*_: object, env: dict[str, str], **__: object) -> None:
        started.append(env)
        raise OSError

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(OSError):
        WorkerProcess().ask({})
    assert started[0]["OF_THE_USER"] == "1"
    assert "MALLOC_TRIM_THRESHOLD_" not in started[0]
