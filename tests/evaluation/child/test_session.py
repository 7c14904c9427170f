"""Foreign files in a child process: the same answers, and one sentence for each failure."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from evaluation.child.policy import OURS, Isolation
from evaluation.child.process import Child
from evaluation.child.session import ChildSession, ForeignFile, look_inside, open_foreign
from evaluation.child.wire import receive, send
from evaluation.latency import ClockPlan, latency
from evaluation.runner import predict_all
from evaluation.session import runtime_for
from foundation.errors import InvalidInputError
from tests.evaluation.child.foreign_cases import SHAPE, pooled, save_endless, save_network


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very fast file with three scores."""
    return save_network(tmp_path_factory.mktemp("child") / "net.onnx", pooled(), [])


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a Loop that runs for years."""
    return save_endless(tmp_path_factory.mktemp("endless") / "net.onnx")


def _images(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, *SHAPE[1:])).astype(np.float32)


@pytest.fixture
def session(network: Path) -> Iterator[ChildSession]:
    """Session of the network in a child process."""
    opened = open_foreign(runtime_for(network), network, 1, Isolation())
    assert isinstance(opened, ChildSession)
    yield opened
    opened.close()


def test_a_child_gives_the_same_scores_and_tells_the_same_of_itself(
    network: Path, session: ChildSession
) -> None:
    here = open_foreign(runtime_for(network), network, 1, OURS)
    assert not isinstance(here, ChildSession)
    np.testing.assert_array_equal(session.predict(_images(5)), here.predict(_images(5)))
    assert session.info == here.info


def test_the_clock_runs_in_the_child(network: Path) -> None:
    file = ForeignFile(runtime_for(network), network, Isolation())
    result = latency(lambda: file.open(1), _images(1), 1, ClockPlan(2, 20, 1.0, 5))
    assert 0 < result.p50_ms <= result.p99_ms
    assert result.runs >= 5


def test_a_child_is_used_again_for_another_session(network: Path) -> None:
    file = ForeignFile(runtime_for(network), network, Isolation(), workers=1)
    first = file.open(1)
    expected = first.predict(_images(2))
    assert isinstance(first, ChildSession)
    first.close()
    second = file.open(1)
    assert isinstance(second, ChildSession)
    assert second._child is first._child
    np.testing.assert_array_equal(second.predict(_images(2)), expected)


def test_a_graph_without_end_is_stopped_in_one_sentence(endless: Path) -> None:
    opened = open_foreign(runtime_for(endless), endless, 1, Isolation(time_limit=1))
    started = time.monotonic()
    with pytest.raises(InvalidInputError, match=r"within 1 seconds.*--time-limit"):
        opened.predict(_images(1))
    assert time.monotonic() - started < 60


def test_an_error_elsewhere_ends_a_graph_without_end(endless: Path) -> None:
    class Batch:
        images, labels, indices = _images(1), np.zeros(1, np.int64), np.zeros(1, np.int64)

    def batches() -> Iterator[Batch]:
        yield Batch()
        time.sleep(1)
        raise KeyboardInterrupt

    file = ForeignFile(runtime_for(endless), endless, Isolation(time_limit=600))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        predict_all(lambda: file.open(1), batches(), workers=1)
    assert time.monotonic() - started < 60


def test_an_interrupt_while_a_child_works_kills_it(endless: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    opened = open_foreign(runtime_for(endless), endless, 1, Isolation(time_limit=600))
    assert isinstance(opened, ChildSession)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 3)
    try:
        with pytest.raises(KeyboardInterrupt):
            opened.predict(_images(1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert opened._child._process.poll() == -signal.SIGKILL


def test_a_crash_is_one_sentence(session: ChildSession) -> None:
    session.predict(_images(1))
    os.kill(session._child._process.pid, signal.SIGSEGV)
    with pytest.raises(InvalidInputError, match=r"net\.onnx, whose process was ended by SIGSEGV"):
        session.predict(_images(1))


def test_a_file_that_the_runtime_refuses_is_one_sentence(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["image", "image"], ["scores"])]
    path = save_network(tmp_path / "bad.onnx", nodes, [])
    with pytest.raises(InvalidInputError, match=r"bad\.onnx"):
        open_foreign(runtime_for(path), path, 1, Isolation()).predict(_images(1))


def test_images_of_another_size_are_refused_and_the_child_lives(session: ChildSession) -> None:
    with pytest.raises(InvalidInputError, match="this file takes"):
        session.predict(np.zeros((1, 5, 5, 3), np.float32))
    assert len(session.predict(_images(2))) == 2


def test_layers_are_the_same_in_a_child(network: Path) -> None:
    there = look_inside("onnx_layers", network, {"names": ["scores"]}, _images(3), Isolation())
    here = look_inside("onnx_layers", network, {"names": ["scores"]}, _images(3), OURS)
    np.testing.assert_array_equal(there[0], here[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_does_not_get_the_users_secrets(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret-of-mine")
    child = Child(network, (), 60)
    try:
        environment = Path(f"/proc/{child._process.pid}/environ").read_bytes()
        assert b"PATH=" in environment
        assert b"secret-of-mine" not in environment
    finally:
        child.close()


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_limit_that_limits_nothing_is_refused(limit: float) -> None:
    with pytest.raises(InvalidInputError, match="--time-limit"):
        Isolation(time_limit=limit)


@given(st.binary(max_size=200))
def test_nonsense_on_the_channel_is_no_message(content: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(content)
        there.shutdown(socket.SHUT_WR)
        with pytest.raises((EOFError, ValueError)):
            receive(here)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("object", [1]), ("float32", [-1]), ("float32", [1 << 40]), ("float32", "1"), (None, None)],
)
def test_arrays_that_cannot_be_are_refused(dtype: object, shape: object) -> None:
    here, there = socket.socketpair()
    with here, there:
        header = {"values": {}, "arrays": [{"dtype": dtype, "shape": shape}]}
        content = json.dumps(header).encode()
        there.sendall(len(content).to_bytes(8, "little") + content)
        with pytest.raises(ValueError, match="an array"):
            receive(here)


def test_arrays_of_every_shape_come_through() -> None:
    here, there = socket.socketpair()
    arrays = [np.arange(12, dtype=np.int8).reshape(3, 4).T, np.empty((0, 3)), np.float32(2.5)]
    with here, there:
        sender = threading.Thread(
            target=send, args=(there, {"a": 1}, [np.asarray(a) for a in arrays])
        )
        sender.start()
        told = receive(here)
        sender.join()
    assert told.values == {"a": 1}
    for sent, got in zip(arrays, told.arrays, strict=True):
        np.testing.assert_array_equal(sent, got)
