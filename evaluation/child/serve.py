"""Requests that a child answers: open a file, run images, time, run a task."""

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
from typing import TYPE_CHECKING

from evaluation.child.tasks import TASKS
from evaluation.child.wire import Message, receive, send
from evaluation.latency import ClockPlan, times_of
from evaluation.session import Batched, Session, runtimes
from evaluation.sessions.tensor_io import joined
from foundation.errors import EdgequantError
from foundation.foreign import reading

if TYPE_CHECKING:
    import numpy as np

_RUNS = "a file is one that its runtime can load and run"
_AGAIN = "export the file again"


_SHARE, _MOST_CALLS = 0.1, 256


class _Service:
    """Answers to requests for one file, in one runtime at a time."""

    def __init__(self, path: Path, limit: float) -> None:
        self.path = path
        self.limit = limit
        self._session: Session | None = None
        self._chunk = 1
        self._calls = 1

    def answer(self, request: Message) -> Message:
        """Answer a request, within the time limit per image."""
        handlers: dict[str, Callable[[Message], Message]] = {
            "open": self._open,
            "run": self._run,
            "times": self._times,
            "task": self._task,
        }
        with reading(self.path, _RUNS, _AGAIN):
            return handlers[request.values["op"]](request)

    @property
    def _opened(self) -> Session:
        assert self._session is not None
        return self._session

    def _open(self, request: Message) -> Message:
        self._session, self._calls = None, 1
        _pin_to(request.values["cpus"])
        _arm(max(self.limit, 60.0))
        runtime = runtimes()[request.values["runtime"]]
        session = self._session = runtime.open(self.path, request.values["threads"])
        self._chunk = session.batch if isinstance(session, Batched) else 1
        _arm(0)
        outputs = list(session.outputs)
        return Message({"info": asdict(session.info), "outputs": outputs, "chunk": self._chunk})

    def _run(self, request: Message) -> Message:
        (images,) = request.arrays
        outputs: list[tuple[np.ndarray, ...]] = []
        start = 0
        while start < len(images) or not outputs:
            batch = images[start : start + self._chunk * self._calls]
            _arm(self.limit * self._chunk)
            started = time.monotonic()
            outputs.append(self._opened.run(batch))
            self._pace((time.monotonic() - started) * self._chunk / max(len(batch), 1))
            start += len(batch)
        _arm(0)
        return Message({}, joined(outputs, self.path.name))

    def _pace(self, seconds: float) -> None:
        """Set the number of calls under one alarm, so that they take a tenth of its time.

        Args:
            seconds: time of one call.
        """
        most = _SHARE * self.limit * self._chunk / max(seconds, 1e-6)
        self._calls = min(max(int(most), 1), _MOST_CALLS)

    def _times(self, request: Message) -> Message:
        plan = ClockPlan(**request.values["plan"])
        _arm(self.limit * (plan.warmup + plan.least) + plan.seconds)
        times = times_of(self._opened, request.arrays[0], plan)
        _arm(0)
        return Message({"times": times})

    def _task(self, request: Message) -> Message:
        _arm(request.values["seconds"])
        task = TASKS[request.values["task"]]
        arrays = task(self.path, request.values["arguments"], request.arrays)
        _arm(0)
        return Message({}, tuple(arrays))


def _pin_to(cpus: list[int]) -> None:
    """Pin the threads of this process, and those that start later, to these processors."""
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


def _answer(channel: socket.socket, service: _Service, request: Message) -> None:
    try:
        answer = service.answer(request)
    except EdgequantError as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        words = {"rule": error.rule, "received": error.received, "remedy": error.remedy}
        send(channel, {"error": words})
    else:
        send(channel, answer.values, answer.arrays)


def _arm(seconds: float) -> None:
    """End this process by SIGALRM after a number of seconds; 0 cancels the alarm."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
