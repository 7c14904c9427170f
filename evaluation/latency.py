"""Latency of one inference on this machine: one image, a warm session, pinned threads."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from foundation.errors import InvalidInputError
from foundation.threads import require_threads

if TYPE_CHECKING:
    import numpy as np

    from evaluation.session import RuntimeInfo, Session


@dataclass(frozen=True)
class ClockPlan:
    """Number of runs, and time, of a measurement.

    Attributes:
        warmup: number of runs before the clock starts.
        repeats: largest number of runs to time.
        seconds: time after which no run is started, once ``least`` runs have been timed.
        least: smallest number of runs to time.

    Raises:
        InvalidInputError: less than one run, or a negative number.
    """

    warmup: int = 10
    repeats: int = 200
    seconds: float = 10.0
    least: int = 10

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.seconds < 0 or not 1 <= self.least <= self.repeats:
            raise InvalidInputError(
                "latency is measured over 1 run or more, after 0 warm-up runs or more",
                received=str(self),
                remedy="give such numbers, with least at most repeats",
            )


@runtime_checkable
class OwnClock(Protocol):
    """A session that measures its own time, since it runs in another process."""

    def times(self, image: np.ndarray, plan: ClockPlan) -> list[int]:
        """Nanoseconds of each timed run; arguments as in ``times_of``."""
        ...


@dataclass(frozen=True)
class Latency:
    """Statistics of the time of one inference with batch 1.

    Attributes:
        p50_ms: median, in milliseconds.
        p90_ms: 90th percentile; percentiles are linearly interpolated between runs.
        p99_ms: 99th percentile; near the slowest run when there are fewer than 100.
        mean_ms: mean.
        runs: number of timed runs.
        warmup: number of runs before them.
        threads: number of threads of the session.
        pinned_cpus: processors to which the threads were pinned; empty when not pinned.
        runtime: runtime, version and kernels.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    runs: int
    warmup: int
    threads: int
    pinned_cpus: tuple[int, ...]
    runtime: RuntimeInfo

    @property
    def pinning(self) -> str:
        """``pinned to CPU 0, 1`` or ``not pinned``."""
        if not self.pinned_cpus:
            return "not pinned"
        return f"pinned to CPU {', '.join(map(str, self.pinned_cpus))}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "pinned_cpus": list(self.pinned_cpus), "pinning": self.pinning}


def latency(
    open_session: Callable[[], Session],
    image: np.ndarray,
    threads: int,
    plan: ClockPlan | None = None,
) -> Latency:
    """Open a session on pinned processors and time it with the monotonic clock.

    The session is opened here, since the threads of a runtime keep the affinity of the thread
    that starts them. Threads that a runtime shares within the process (TensorFlow's) and started
    earlier are not pinned. The garbage collector is off while the clock runs.

    Args:
        open_session: function that opens a session of ``threads`` threads, used by no other thread.
        image: float32 ``[1, height, width, 3]``, preprocessed.
        threads: number of threads in the session, and of processors to pin to.
        plan: number of runs and time; the default plan when None.

    Raises:
        InvalidInputError: fewer threads than one, or more than there are cores; also any error of
            opening and running the session.
    """
    import numpy as np

    require_threads(threads)
    plan = plan or ClockPlan()
    with pinned(threads) as cpus:
        session = open_session()
        times = (
            session.times(image, plan)
            if isinstance(session, OwnClock)
            else times_of(session, image, plan)
        )
        times_ms = np.array(times) / 1e6
        info = session.info
    p50, p90, p99 = (float(p) for p in np.percentile(times_ms, (50, 90, 99)))
    return Latency(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=float(times_ms.mean()),
        runs=len(times_ms),
        warmup=plan.warmup,
        threads=threads,
        pinned_cpus=cpus,
        runtime=info,
    )


def times_of(session: Session, image: np.ndarray, plan: ClockPlan) -> list[int]:
    """Warm a session up and time it, in this process.

    Args:
        session: session that no other thread uses.
        image: float32 ``[1, height, width, 3]``, preprocessed.
        plan: number of runs and time.

    Returns:
        Nanoseconds of each timed run.
    """
    call = session.timed_call(image)
    for _ in range(plan.warmup):
        call()
    return _timed(call, plan)


@contextmanager
def pinned(threads: int) -> Iterator[tuple[int, ...]]:
    """Pin this thread, and those it starts, to the first ``threads`` processors it may use.

    The affinity is restored at the end, also after an error.

    Args:
        threads: number of processors, at least 1; all where there are fewer.

    Yields:
        Numbers of the processors; empty where the system does not let a program choose them.
    """
    if sys.platform != "linux":
        yield ()
        return
    allowed = os.sched_getaffinity(0)
    chosen = tuple(sorted(allowed)[:threads])
    try:
        os.sched_setaffinity(0, chosen)
    except OSError:  # a sandbox may forbid it
        chosen = ()
    try:
        yield chosen
    finally:
        if chosen:
            os.sched_setaffinity(0, allowed)


def _timed(call: Callable[[], object], plan: ClockPlan) -> list[int]:
    """Nanoseconds of each call."""
    times: list[int] = []
    clock = time.perf_counter_ns
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        deadline = clock() + int(plan.seconds * 1e9)
        while len(times) < plan.repeats:
            start = clock()
            if start >= deadline and len(times) >= plan.least:
                break
            call()
            times.append(clock() - start)
    finally:
        if collecting:
            gc.enable()
    return times
