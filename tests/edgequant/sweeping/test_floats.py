"""Answers of a float network that tasks share: run once, and the same results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.sweeping import floats
from edgequant.sweeping.answering import answer
from edgequant.sweeping.floats import answers_name, answers_text, float_requests, known_answers
from edgequant.sweeping.making import result_name
from edgequant.sweeping.plan import read_plan
from edgequant.sweeping.store import open_store, read_record
from edgequant.sweeping.tasks import Choice, Task, tasks_of
from evaluation.remembered import Answers, RememberedSession
from evaluation.session import RuntimeInfo
from evaluation.sessions.keras_model import KerasSession
from tests.edgequant.sweeping.test_sweep_command import write_plan


class Doubling:
    """Network of two outputs that counts its runs."""

    info = RuntimeInfo("test", "1", "NumPy", 1)
    outputs = ("double", "sum/é")

    def __init__(self) -> None:
        self.runs = 0

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        self.runs += 1
        return 2 * images, images.sum(axis=1)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.run(images)[0]

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        return lambda: self.run(image)


def test_a_batch_is_run_once_and_another_one_again() -> None:
    batches = [np.full((size, 3), size, np.float32) for size in (4, 4, 4, 1)]
    batches[1] += 1
    answers = Answers.of(Doubling(), batches, 10**6)
    assert answers is not None
    network = Doubling()
    session = RememberedSession(network, Answers.of_bytes(answers.to_bytes()))
    for images in batches:
        for found, expected in zip(session.run(images), Doubling().run(images), strict=True):
            assert found.dtype == np.float32
            assert np.array_equal(found, expected)
    assert network.runs == 0
    changed = batches[0].copy()
    changed[3, 2] = np.nextafter(changed[3, 2], 9, dtype=np.float32)
    assert np.array_equal(session.run(changed)[0], 2 * changed)
    assert np.array_equal(session.run(batches[0][:3])[0], 2 * batches[0][:3])
    session.timed_call(batches[3])()
    assert network.runs == 3
    other = RememberedSession(network, replace(answers, names=("double",)))
    other.run(batches[0])
    assert network.runs == 4


def test_answers_that_are_too_large_are_not_kept() -> None:
    network = Doubling()
    batches = [np.zeros((4, 3), np.float32)] * 5
    assert Answers.of(network, batches, most=2 * 4 * 4 * 4) is None
    assert network.runs == 3


@pytest.mark.parametrize("content", [b"", b"PK nothing", b"\x93NUMPY"])
def test_damaged_answers_are_none(content: bytes, tmp_path: Path) -> None:
    address = str(tmp_path / "a#b")
    assert known_answers(answers_text(address, "k")) is None
    open_store(address).write(answers_name("k"), content)
    assert known_answers(answers_text(address, "k")) is None


def test_answers_are_asked_for_where_several_tasks_need_them(tmp_path: Path) -> None:
    def task(key: str, float_key: str) -> Task:
        choice = Choice(f"net {float_key}", "net", None, None, None, "tflite-int8", None, None, 0)
        return Task(key, choice, float_key, ("quantize", f"--recipe={key}"), ())

    store = open_store(str(tmp_path))
    tasks = [task("1", "b"), task("2", "a"), task("3", "b"), task("4", "a"), task("5", "c")]
    asked = float_requests(tasks, store, str(tmp_path))
    assert [request.shown for request in asked] == ["float net b", "float net a"]
    assert asked[0].values["words"] == ["quantize", "--recipe=1"]
    store.write(answers_name("b"), b"")
    assert [r.shown for r in float_requests(tasks, store, str(tmp_path))] == ["float net a"]


@pytest.mark.slow
def test_the_float_network_runs_once_and_results_are_the_same(
    tiny_keras: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(read_plan(write_plan(tiny_keras, photos, tmp_path)), 10)
    assert len({task.float_key for task in tasks}) == 1
    runs: list[int] = []
    run = KerasSession.run

    def counted(self: KerasSession, images: np.ndarray) -> tuple[np.ndarray, ...]:
        runs.append(len(images))
        return run(self, images)

    monkeypatch.setattr(KerasSession, "run", counted)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in ("alone", "shared"):
        address, runs[:] = str(tmp_path / name), []
        store = open_store(address)
        if name == "shared":
            for request in float_requests(tasks, store, address):
                assert answer(request.values) == {"kept": True}
        code = floats.code_digest()
        for task in tasks:
            values = {"do": "task", "task": task.to_dict(), "store": address, "code": code}
            assert "error" not in answer(json.loads(json.dumps(values)))
        assert sum(runs) == (18 if name == "shared" else 18 * len(tasks))
        found = [read_record(store, result_name(task.key)) for task in tasks]
        results[name] = [{k: v for k, v in one.items() if k != "seconds"} for one in found if one]
    assert results["alone"] == results["shared"]
    assert len(results["shared"]) == len(tasks)
