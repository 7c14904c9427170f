"""What the child does for its parent: open a file, predict, time, look inside."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from evaluation.child.tasks import TASKS
from evaluation.child.wire import Message, receive, send
from evaluation.latency import ClockPlan, times_of
from evaluation.session import Batched, Session, runtimes
from foundation.errors import EdgequantError
from foundation.foreign import reading

_RUNS = "a file is one that its runtime can load and run"
_AGAIN = "export the file again"


_SHARE, _MOST_CALLS = 0.1, 256


class _Service:
    """One file, in one runtime."""

    def __init__(self, path: Path, limit: float) -> None:
        self.path = path
        self.limit = limit
        self._session: Session | None = None
        self._chunk = 1
        self._calls = 1

    def answer(self, asked: Message) -> Message:
        """Do what is asked, within the time limit for each image."""
        does: dict[str, Callable[[Message], Message]] = {
            "open": self._open,
            "predict": self._predict,
            "times": self._times,
            "task": self._task,
        }
        with reading(self.path, _RUNS, _AGAIN):
            return does[asked.values["op"]](asked)

    @property
    def _opened(self) -> Session:
        assert self._session is not None
        return self._session

    def _open(self, asked: Message) -> Message:
        self._session, self._calls = None, 1
        _keep_to(asked.values["cpus"])
        _arm(max(self.limit, 60.0))
        runtime = runtimes()[asked.values["runtime"]]
        session = self._session = runtime.open(self.path, asked.values["threads"])
        self._chunk = session.batch if isinstance(session, Batched) else 1
        _arm(0)
        return Message({"info": asdict(session.info), "chunk": self._chunk})

    def _predict(self, asked: Message) -> Message:
        import numpy as np

        (images,) = asked.arrays
        outputs: list[np.ndarray] = []
        start = 0
        while start < len(images) or not outputs:
            part = images[start : start + self._chunk * self._calls]
            _arm(self.limit * self._chunk)
            begun = time.monotonic()
            outputs.append(self._opened.predict(part))
            self._pace((time.monotonic() - begun) * self._chunk / max(len(part), 1))
            start += len(part)
        _arm(0)
        return Message({}, (np.concatenate(outputs),))

    def _pace(self, seconds: float) -> None:
        """Run so many calls under one alarm that they take a tenth of its time.

        Args:
            seconds: that one call took.
        """
        most = _SHARE * self.limit * self._chunk / max(seconds, 1e-6)
        self._calls = min(max(int(most), 1), _MOST_CALLS)

    def _times(self, asked: Message) -> Message:
        plan = ClockPlan(**asked.values["plan"])
        _arm(self.limit * (plan.warmup + plan.least) + plan.seconds)
        times = times_of(self._opened, asked.arrays[0], plan)
        _arm(0)
        return Message({"times": times})

    def _task(self, asked: Message) -> Message:
        _arm(asked.values["seconds"])
        arrays = TASKS[asked.values["task"]](self.path, asked.values["arguments"], asked.arrays)
        _arm(0)
        return Message({}, tuple(arrays))


def _keep_to(cpus: list[int]) -> None:
    """Hold the threads of this process, and those that start later, on these processors."""
    if sys.platform != "linux" or not cpus:
        return
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setaffinity(int(thread.name), cpus)


def serve(channel: socket.socket) -> None:
    """Answer requests until the parent closes the socket."""
    try:
        hello = receive(channel).values
        service = _Service(Path(hello["path"]), hello["limit"])
        while True:
            _answer(channel, service, receive(channel))
    except (EOFError, ConnectionError):
        return


def _answer(channel: socket.socket, service: _Service, asked: Message) -> None:
    try:
        told = service.answer(asked)
    except EdgequantError as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        words = {"rule": error.rule, "received": error.received, "remedy": error.remedy}
        send(channel, {"error": words})
    else:
        send(channel, told.values, told.arrays)


def _arm(seconds: float) -> None:
    """End this process by SIGALRM after so many seconds; 0 stops the clock."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
