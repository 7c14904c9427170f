"""Evaluation in parts: the same report for every number of parts and of workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.sweeping import shards
from edgequant.sweeping.answering import answer
from edgequant.sweeping.engine import Answer
from edgequant.sweeping.shards import joined, written
from evaluation.runner import Predictions
from evaluation.session import RuntimeInfo
from tests.edgequant.conftest import Run


class Here:
    """Answers requests in this process, the last one first."""

    lost: tuple[type[BaseException], ...] = ()

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def submit(self, request: dict[str, Any]) -> Future[Answer]:
        self.asked.append(request)
        future: Future[Answer] = Future()
        future.set_result(json.loads(json.dumps(answer(request))))
        return future

    def size(self) -> int:
        return 1

    def place(self) -> str:
        return "here"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here()

    @contextmanager
    def opened(*_: object) -> Iterator[Here]:
        yield here

    monkeypatch.setattr(shards, "open_engine", opened)
    return here


def found(first: int, count: int, labels: bool = True) -> Predictions:
    numbers = np.arange(first, first + count)
    outputs = {"scores/é": {"0": np.stack([numbers, -numbers], 1), "1": np.stack([numbers] * 2, 1)}}
    infos = {"0": RuntimeInfo("oracle", "1.0", "NumPy", 1)}
    return Predictions(outputs, numbers % 3 if labels else None, np.arange(count), infos)


@pytest.mark.parametrize("labels", [True, False])
def test_parts_are_joined_in_order(labels: bool) -> None:
    parts = [shards._parsed(written(found(first, 4, labels), first)) for first in (0, 4, 8)]
    whole = joined(parts)
    expected = found(0, 12, labels)
    for name, array in expected.by_output["scores/é"].items():
        assert np.array_equal(whole.by_output["scores/é"][name], array)
    assert np.array_equal(whole.labels, expected.labels) if labels else whole.labels is None
    for wrong in ([parts[0], parts[2]], [parts[0], parts[0]], [parts[1], parts[0]]):
        with pytest.raises(ValueError, match="each once"):
            joined(wrong)


@pytest.mark.slow
def test_the_report_is_that_of_the_command_for_every_number_of_parts(
    tiny_int8: Path, tiny_keras: Path, photos: Path, tmp_path: Path, run: Run, engine: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = ["evaluate", tiny_int8, "--data", f"{photos}:test", "--reference", tiny_keras]
    # Rows of statistics have no margins to all rivals, and so no expected flips.
    lines = run(*words).out.splitlines()
    plain = [line for line in lines if not line.startswith("Expected flips")]
    as_json = run(*words, "--json").json
    assert as_json.pop("expected_flips")
    for count in (18, 9, 6, 3):  # 1, 2, 3 and 6 parts
        monkeypatch.setattr(shards, "IMAGES", count)
        engine.asked.clear()
        store = tmp_path / f"store{count}"
        parted = run(*words, "--workers", "1", "--store", store)
        assert (parted.code, len(engine.asked)) == (0, 18 // count), parted.err
        assert parted.out.splitlines() == plain
        assert "images/s" in parted.err
        again = run(*words, "--workers", "1", "--store", store, "--json")
        assert len(engine.asked) == 18 // count
        assert again.json.keys() == as_json.keys()
        for name, value in again.json.items():
            sums = name in ("sqnr_db", "kl", "metrics")  # in another order
            assert value == (pytest.approx(as_json[name], rel=1e-6) if sums else as_json[name])

    parts = sorted(store.rglob("*.npz"))
    parts[1].unlink()
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    engine.asked.clear()
    damaged = run(*words, "--workers", "1", "--store", store)
    assert damaged.code == 2
    assert "run the command again" in damaged.err
    assert run(*words, "--workers", "1", "--store", store).out.splitlines() == plain
    assert sorted(request["images"] for request in engine.asked) == [[3, 6], [6, 9]]


@pytest.mark.slow
def test_a_part_that_fails_is_named_and_the_others_are_kept(
    tiny_int8: Path, photos: Path, tmp_path: Path, run: Run, engine: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(shards, "IMAGES", 9)
    data = tmp_path / "test"
    (data / "a").mkdir(parents=True)
    (data / "b").mkdir()
    for number, path in enumerate(sorted((photos / "test").rglob("*.png"))):
        (data / ("a" if number < 9 else "b") / f"{number:02d}.png").write_bytes(path.read_bytes())
    (data / "b/12.png").write_bytes(b"no picture")
    words = ["evaluate", tiny_int8, "--data", data, "--workers", "1", "--store", tmp_path / "store"]
    failed = run(*words)
    assert failed.code == 2
    assert "1 of 2 that failed, such as images 9 to 17" in failed.err
    assert "12.png" in failed.err
    assert len(list((tmp_path / "store").rglob("*.npz"))) == 1


@pytest.mark.slow
def test_processes_write_the_same_report(
    tiny_int8: Path, photos: Path, tmp_path: Path, run: Run
) -> None:
    words = ["evaluate", tiny_int8, "--data", f"{photos}:test", "--json"]
    parted = run(*words, "--workers", "1", "--store", tmp_path / "store")
    assert parted.code == 0, parted.err
    assert parted.out == run(*words).out


def test_a_store_needs_workers(photos: Path, tmp_path: Path, run: Run) -> None:
    refused = run("evaluate", tmp_path / "a.tflite", "--data", photos, "--store", tmp_path)
    assert refused.code == 2
    assert "add --workers or --cluster" in refused.err
