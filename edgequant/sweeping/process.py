"""A worker's process: it answers requests one after another, in one import of TensorFlow.

Whatever starts it, a thread of this command or one of a Dask worker, it has the settings of our
own processes, one core, and ends with the thread. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from threading import local
from typing import Any

from edgequant.api.worker import START, our_environment

_CHILD = "edgequant.sweeping.child"

_OF_DASK = "MALLOC_TRIM_THRESHOLD_"
"""Dask's nanny sets it for its workers, and glibc then gives the memory of large arrays back to the
system each time they are freed: a plan took 41 % more processor time."""


class WorkerLost(RuntimeError):  # noqa: N818 - what happened, not a mistake
    """The process ended before it answered: it was killed, or the machine had no memory left."""


class WorkerProcess:
    """Process that answers requests; it is started at the first one, and again after its end."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer to a request.

        Raises:
            WorkerLost: the process ended first.
        """
        child = self._running()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except (OSError, ValueError):  # a closed pipe, also one that close() closed
            line = ""
        if not line.endswith("\n"):
            code = self.close()
            raise WorkerLost(f"its process ended with {_ending(code)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> int:
        """End the process; returns its exit code."""
        child, self._child = self._child, None
        if child is None:
            return 0
        child.kill()
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was still to be written has no reader
                    continue
        return code

    def _running(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", str(START), _CHILD],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        return self._child


class Workers:
    """A process for each thread that asks."""

    def __init__(self) -> None:
        self._mine = local()
        self._started: list[WorkerProcess] = []

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer of this thread's process to a request.

        Raises:
            WorkerLost: the process ended first.
        """
        process: WorkerProcess | None = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = WorkerProcess()
            self._started.append(process)
        return process.ask(request)

    def close(self) -> None:
        """End all processes."""
        for process in self._started:
            process.close()


def _environment() -> dict[str, str]:
    """Environment variables for a worker's process, whatever starts it."""
    return {name: value for name, value in our_environment().items() if name != _OF_DASK}


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
