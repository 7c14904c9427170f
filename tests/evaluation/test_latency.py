from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.latency import ClockPlan, latency, pinned
from evaluation.session import RuntimeInfo, runtimes
from foundation.errors import InvalidInputError

linux = pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux' own")
IMAGE = np.zeros((1, 16, 16, 3), np.float32)


@pytest.fixture(autouse=True)
def _affinity_is_as_before():
    """After each test, so that a first one that loses it cannot hide it from the next."""
    before = os.sched_getaffinity(0) if sys.platform == "linux" else None
    yield
    if before is not None:
        after = os.sched_getaffinity(0)
        os.sched_setaffinity(0, before)
        assert after == before


class Waiting:
    """A session that waits and writes down where and how it was called."""

    info = RuntimeInfo("waiting", "1", "none", 1)

    def __init__(self, seconds: float = 0.0, fail_at: int | None = None) -> None:
        self.seconds, self.fail_at = seconds, fail_at
        self.calls = 0
        self.collecting: list[bool] = []
        self.cpus = os.sched_getaffinity(0) if sys.platform == "linux" else set()

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        return self._call

    def _call(self) -> None:
        self.calls += 1
        self.collecting.append(gc.isenabled())
        if self.calls == self.fail_at:
            raise ArithmeticError("broken")
        time.sleep(self.seconds)


def test_times_are_those_of_the_call_in_milliseconds() -> None:
    session = Waiting(0.002)
    result = latency(lambda: session, IMAGE, 1, ClockPlan(warmup=3, repeats=20))
    assert (result.runs, result.warmup, result.threads, session.calls) == (20, 3, 1, 23)
    assert 2.0 <= result.p50_ms < 50
    assert result.p50_ms <= result.p90_ms <= result.p99_ms
    assert result.mean_ms >= 2.0
    assert result.runtime == Waiting.info
    read = json.loads(json.dumps(result.to_dict()))
    assert read["pinning"] == result.pinning
    assert read["runtime"]["kernels"] == "none"


def test_the_budget_ends_the_runs_but_not_before_the_least() -> None:
    plan = ClockPlan(warmup=0, repeats=1000, seconds=0.03, least=3)
    assert 3 <= latency(lambda: Waiting(0.002), IMAGE, 1, plan).runs < 1000
    plan = ClockPlan(warmup=0, repeats=1000, seconds=0.0, least=5)
    assert latency(Waiting, IMAGE, 1, plan).runs == 5


def test_the_collector_rests_while_the_clock_runs_and_not_after() -> None:
    session = Waiting()
    assert gc.isenabled()
    latency(lambda: session, IMAGE, 1, ClockPlan(warmup=1, repeats=10))
    assert session.collecting == [True] + [False] * 10
    assert gc.isenabled()


@linux
def test_the_session_is_opened_on_the_pinned_processors_and_the_affinity_comes_back() -> None:
    before = os.sched_getaffinity(0)
    session: list[Waiting] = []
    result = latency(lambda: session.append(Waiting()) or session[0], IMAGE, 1)
    first = min(before)
    assert session[0].cpus == {first}
    assert result.pinned_cpus == (first,)
    assert result.pinning == f"pinned to CPU {first}"
    assert os.sched_getaffinity(0) == before


@linux
@pytest.mark.parametrize("fail_at", [1, 5])
def test_everything_is_restored_after_an_error(fail_at: int) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ArithmeticError):
        latency(lambda: Waiting(fail_at=fail_at), IMAGE, 1, ClockPlan(warmup=2))
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()


@linux
def test_more_threads_than_processors_are_pinned_to_all() -> None:
    with pinned(10_000) as cpus:
        assert set(cpus) == os.sched_getaffinity(0)


@linux
def test_a_system_that_forbids_pinning_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_):
        raise PermissionError("no")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    result = latency(Waiting, IMAGE, 1, ClockPlan(repeats=10))
    assert (result.pinned_cpus, result.pinning) == ((), "not pinned")


def test_other_systems_are_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert latency(Waiting, IMAGE, 1, ClockPlan(repeats=10)).pinning == "not pinned"


@linux
def test_the_threads_of_a_runtime_stay_on_the_pinned_processors(
    litert_files: dict[str, Path],
) -> None:
    """XNNPACK's second thread is started inside and inherits the affinity."""
    tasks = Path("/proc/self/task")
    before = {t.name for t in tasks.iterdir()}
    with pinned(1) as cpus:
        session = runtimes()["litert-xnnpack"].open(litert_files["float32"], 2)
        session.timed_call(IMAGE)()
        new = {t.name for t in tasks.iterdir()} - before
        assert new
        assert all(os.sched_getaffinity(int(task)) == set(cpus) for task in new)


def test_a_file_is_timed(litert_files: dict[str, Path]) -> None:
    path = litert_files["int8"]
    plan = ClockPlan(warmup=2, repeats=20)
    result = latency(lambda: runtimes()["litert-xnnpack"].open(path, 1), IMAGE, 1, plan)
    assert 0 < result.p50_ms < 100
    assert result.runtime.kernels == "XNNPACK"


@pytest.mark.parametrize(
    "plan", [{"warmup": -1}, {"repeats": 0}, {"seconds": -1}, {"least": 0}, {"least": 300}]
)
def test_impossible_plans_are_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="1 run or more"):
        ClockPlan(**plan)


def test_no_threads_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"from 1 to \d+ threads"):
        latency(Waiting, IMAGE, 0)
