from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.runner import Group, predict_all, predict_many
from evaluation.session import RuntimeInfo, runtimes
from evaluation.sessions.keras_model import KerasSession
from foundation.errors import InvalidInputError
from tests.evaluation.conftest import random_images


@dataclass(frozen=True)
class Images:
    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def stream(indices: np.ndarray, size: int) -> Iterator[Images]:
    """Images whose pixels are their index; the label is the index modulo 10."""
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        images = np.broadcast_to(part[:, None, None, None], (len(part), 2, 2, 3))
        yield Images(images.astype(np.float32), part % 10, part)


class Sleepy:
    """A session whose output is the index of the image; it notices two threads at once."""

    info = RuntimeInfo("sleepy", "1", "none", 1)
    outputs: tuple[str, ...] = ("scores",)

    def __init__(self, seed: int = 0, fail_at: int | None = None) -> None:
        self.rng, self.fail_at = np.random.default_rng(seed), fail_at
        self.busy = threading.Lock()
        self.seen: list[np.ndarray] = []

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        assert self.busy.acquire(blocking=False)
        self.seen.append(images)
        time.sleep(self.rng.uniform(0, 0.004))
        self.busy.release()
        if self.fail_at is not None and images.max() >= self.fail_at:
            raise ArithmeticError("broken image")
        return (images[:, 0, 0, :2] * np.array([1, -1], np.float32),)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_outputs_are_in_the_order_of_the_indices_whatever_the_timing(workers: int) -> None:
    indices = np.random.default_rng(2).permutation(103)
    opened: list[Sleepy] = []
    outputs, labels = predict_all(
        lambda: opened.append(Sleepy(len(opened))) or opened[-1], stream(indices, 4), workers
    )
    assert len(opened) == workers
    assert np.array_equal(outputs[:, 0], np.arange(103))
    assert np.array_equal(outputs[:, 1], -np.arange(103))
    assert outputs.dtype == np.float32
    assert labels.dtype == np.int64
    assert np.array_equal(labels, np.arange(103) % 10)


def test_workers_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=5)

    class Meeting(Sleepy):
        def run(self, images):
            meeting.wait()
            return super().run(images)

    outputs, _ = predict_all(Meeting, stream(np.arange(8), 2), workers=2)
    assert np.array_equal(outputs[:, 0], np.arange(8))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_batches_in_flight_is_bounded(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    most = 0
    finished: list[int] = [0]
    monkeypatch.setattr("evaluation.schedule.AHEAD_BYTES", 0)

    def counted():
        nonlocal taken, most
        for batch in stream(np.arange(60), 2):
            taken += len(batch.labels)
            most = max(most, taken - finished[-1])
            yield batch

    predict_all(Sleepy, counted(), workers, finished.append)
    assert finished[-1] == 60
    assert finished == sorted(finished)
    assert most <= 2 * (workers + 1)


def test_all_networks_see_identical_tensors_and_images_are_made_once() -> None:
    sessions = {"a": Sleepy(1), "b": Sleepy(2)}
    made: list[int] = []

    def counted():
        for batch in stream(np.arange(20), 5):
            made.append(len(batch.labels))
            yield batch

    result = predict_many({name: lambda n=name: sessions[n] for name in sessions}, counted())
    assert list(result.outputs) == ["a", "b"]
    assert sum(made) == 20
    assert [id(x) for x in sessions["a"].seen] == [id(x) for x in sessions["b"].seen]
    assert np.array_equal(result.outputs["a"], result.outputs["b"])
    assert np.array_equal(result.indices, np.arange(20))


def test_an_error_in_a_worker_reaches_the_caller_and_stops_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evaluation.schedule.AHEAD_BYTES", 0)
    taken: list[int] = []
    opened: list[Sleepy] = []

    def counted():
        for batch in stream(np.arange(1000), 2):
            taken.append(len(batch.labels))
            yield batch

    def open_session():
        opened.append(Sleepy(fail_at=20))
        return opened[-1]

    before = threading.active_count()
    with pytest.raises(ArithmeticError, match="broken image"):
        predict_all(open_session, counted(), workers=2)
    assert sum(taken) < 60
    assert sum(len(session.seen) for session in opened) < 30
    assert threading.active_count() == before


def test_an_error_in_the_stream_or_in_progress_reaches_the_caller() -> None:
    def broken():
        yield from stream(np.arange(6), 2)
        raise OSError("disk")

    before = threading.active_count()
    with pytest.raises(OSError, match="disk"):
        predict_all(Sleepy, broken(), workers=2)

    def refuse(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        predict_all(Sleepy, stream(np.arange(60), 2), 2, refuse)
    assert threading.active_count() == before
    assert caught.value.__traceback__ is not None


def test_an_error_when_a_session_is_opened_reaches_the_caller() -> None:
    def refuse():
        raise InvalidInputError("no", received="file", remedy="give another")

    with pytest.raises(InvalidInputError, match="give another"):
        predict_all(refuse, stream(np.arange(4), 2))


def test_the_first_session_runs_while_the_second_is_opened() -> None:
    ran = threading.Event()

    class Early(Sleepy):
        def run(self, images):
            ran.set()
            return super().run(images)

    opened: list[Sleepy] = []

    def open_session():
        assert not opened or ran.wait(timeout=5)
        opened.append(Early())
        return opened[-1]

    outputs, _ = predict_all(open_session, stream(np.arange(8), 2), workers=2)
    assert np.array_equal(outputs[:, 0], np.arange(8))
    assert len(opened) == 2


def test_an_open_network_runs_the_images_while_another_is_being_opened() -> None:
    done = threading.Event()

    class Counting(Sleepy):
        def run(self, images):
            if len(self.seen) == 9:
                done.set()
            return super().run(images)

    def late():
        assert done.wait(timeout=5)
        return Sleepy()

    sessions = {"late": late, "early": Counting}
    result = predict_many(sessions, stream(np.arange(20), 2), workers=1)
    assert list(result.outputs) == ["late", "early"]
    assert list(result.infos) == ["late", "early"]
    assert np.array_equal(result.outputs["late"], result.outputs["early"])
    assert np.array_equal(result.indices, np.arange(20))


def test_images_that_wait_for_a_network_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = 2 * 12 * 4  # bytes of two images of 2 x 2 x 3
    monkeypatch.setattr("evaluation.schedule.AHEAD_BYTES", 7 * batch)
    taken: list[int] = []
    full = threading.Event()

    def counted():
        for images in stream(np.arange(60), 2):
            taken.append(1)
            if len(taken) == 7:
                full.set()
            yield images

    def late():
        assert full.wait(timeout=5)
        time.sleep(0.2)
        assert len(taken) == 7
        return Sleepy()

    result = predict_many({"early": Sleepy, "late": late}, counted(), workers=1)
    assert np.array_equal(result.indices, np.arange(60))


def test_sessions_that_were_opened_are_closed_once_when_another_cannot_be() -> None:
    closed: list[int] = []

    class Closing(Sleepy):
        def close(self) -> None:
            closed.append(1)

    opened: list[Closing] = []

    def open_session():
        if len(opened) == 2:
            raise InvalidInputError("no", received="file", remedy="give another")
        opened.append(Closing())
        return opened[-1]

    before = threading.active_count()
    with pytest.raises(InvalidInputError, match="give another"):
        predict_all(open_session, stream(np.arange(40), 2), workers=3)
    assert len(closed) == len(opened) == 2
    assert threading.active_count() == before


def test_empty_streams_missing_networks_and_repeated_indices_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="one image at least"):
        predict_all(Sleepy, iter(()))
    with pytest.raises(InvalidInputError, match="0 workers"):
        predict_all(Sleepy, stream(np.arange(4), 2), workers=0)
    with pytest.raises(InvalidInputError, match="0 networks"):
        predict_many({}, stream(np.arange(4), 2))
    with pytest.raises(ValueError, match="occurs twice"):
        predict_all(Sleepy, stream(np.array([0, 1, 1]), 2))


def test_files_and_the_keras_model_side_by_side(
    litert_files: dict[str, Path], keras_model: Any
) -> None:
    images = random_images(33, seed=9)
    order = np.random.default_rng(0).permutation(33)
    batches = [Images(images[i], np.zeros(len(i), np.int64), i) for i in np.split(order, [8, 20])]
    shared = KerasSession(keras_model)
    open_litert = runtimes()["litert-xnnpack"].open
    sessions = {
        "keras": lambda: shared,
        "float32": lambda: open_litert(litert_files["float32"], 1),
        "int8": lambda: open_litert(litert_files["int8"], 1),
    }
    result = predict_many(sessions, batches, workers=2)
    np.testing.assert_allclose(
        result.outputs["keras"], keras_model(images).numpy(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        result.outputs["float32"], result.outputs["keras"], rtol=1e-4, atol=1e-5
    )
    alone = open_litert(litert_files["int8"], 1).predict(images)
    assert np.array_equal(result.outputs["int8"], alone)


class Headed(Sleepy):
    """Two outputs; the order of their names is chosen."""

    def __init__(self, *outputs: str) -> None:
        super().__init__()
        self.outputs = outputs

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        by_name = {"whole": images, "mean": images.mean((1, 2))}
        return tuple(by_name[name] for name in self.outputs)


def test_outputs_are_in_the_order_of_the_first_network() -> None:
    sessions = {"a": lambda: Headed("whole", "mean"), "b": lambda: Headed("mean", "whole")}
    result = predict_many(sessions, stream(np.arange(12), 5), workers=2)
    assert list(result.by_output) == ["whole", "mean"]
    for arrays in result.by_output.values():
        assert np.array_equal(arrays["a"], arrays["b"])
    assert result.outputs is result.by_output["whole"]
    assert np.array_equal(result.by_output["mean"]["b"][:, 0], np.arange(12))


def test_a_reduction_sees_all_networks_batch_by_batch_and_only_its_rows_are_kept() -> None:
    seen: list[int] = []

    def sums(arrays: Any, batch: Any) -> dict[str, np.ndarray]:
        seen.append(len(batch.indices))
        assert set(arrays) == {"a", "b"}
        return {name: array.sum((1, 2))[:, :1] for name, (array,) in arrays.items()}

    sessions = {name: lambda: Headed("whole", "mean") for name in "ab"}

    def groups(names: tuple[str, ...]) -> tuple[Group, ...]:
        return tuple(Group(name, (name,), {"whole": sums}.get(name)) for name in names)

    result = predict_many(sessions, stream(np.arange(10), 4), 2, groups=groups)
    assert sorted(seen) == [2, 4, 4]
    assert result.by_output["whole"]["b"].shape == (10, 1)
    assert np.array_equal(result.by_output["whole"]["b"][:, 0], 4 * np.arange(10))
    assert result.by_output["mean"]["a"].shape == (10, 3)
