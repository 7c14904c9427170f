"""Sessions of foreign files, each in a child process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.child.policy import Isolation
from evaluation.child.process import Child
from evaluation.child.tasks import TASKS
from evaluation.child.wire import Message
from evaluation.session import Runtime, RuntimeInfo, Session
from evaluation.sessions.tensor_io import only_output
from export.foreign import admit
from foundation.errors import InvalidInputError
from foundation.foreign import printable

if TYPE_CHECKING:
    import numpy as np

    from evaluation.latency import ClockPlan


class ChildSession:
    """A session in a child process, which opens the file at the first use.

    Args:
        child: child process that no other session uses.
        runtime: runtime that opens the file.
        threads: number of threads; they run on the processors of the calling thread.
        give_back: called with the child when the session is closed and the child still works.
    """

    def __init__(
        self, child: Child, runtime: Runtime, threads: int, give_back: Callable[[Child], None]
    ) -> None:
        self._child = child
        self._limit = child.limit
        self._request = {"op": "open", "runtime": runtime.name, "threads": threads}
        self._request["cpus"] = _allowed_cpus()
        self._give_back = give_back

    @cached_property
    def _opened(self) -> Message:
        return self._child.ask(self._request, seconds=max(self._limit, 60.0))

    @cached_property
    def info(self) -> RuntimeInfo:
        """Runtime, version and kernels."""
        info = self._opened.values["info"]
        words = {key: printable(info[key]) for key in ("runtime", "version", "kernels")}
        return RuntimeInfo(**words, threads=int(info["threads"]))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """See Session.outputs."""
        return tuple(printable(str(name)) for name in self._opened.values["outputs"])

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run images as Session.run does.

        Raises:
            InvalidInputError: also when the child ends, is too slow, or gives no valid outputs.
        """
        import numpy as np

        names = self.outputs
        answer = self._child.ask({"op": "run"}, [images], self._limit * (len(images) + 1))
        outputs = answer.arrays
        fits = len(outputs) == len(names) and all(
            output.dtype == np.float32 and output.ndim >= 1 and len(output) == len(images)
            for output in outputs
        )
        if not fits:
            shown = ", ".join(f"{output.dtype} {list(output.shape)}" for output in outputs)
            raise InvalidInputError(
                "a network gives one row of each output for each image",
                received=f"{shown or 'nothing'} for {len(images)} images",
                remedy="export the network with its batch axis",
            )
        return outputs

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict."""
        return only_output(self.run(images), self._child.path.name)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call; its time includes the messages, that of ``times`` does not."""
        return partial(self.run, image)

    def times(self, image: np.ndarray, plan: ClockPlan) -> list[int]:
        """Nanoseconds of each run by the child's clock; arguments as in ``latency.times_of``."""
        self._opened  # noqa: B018 - opens
        seconds = self._limit * (plan.warmup + plan.least) + plan.seconds
        answer = self._child.ask({"op": "times", "plan": asdict(plan)}, [image], seconds)
        return [int(time) for time in answer.values["times"]]

    def close(self) -> None:
        """End a busy child; give another one back for the next session."""
        if self._child.busy:
            self._child.close()
        else:
            self._give_back(self._child)


class ForeignFile:
    """A foreign file with child processes to run it, which start at once.

    Args:
        runtime: runtime that opens it.
        path: path of the file.
        isolation: rights and time limit of the file.
        workers: number of processes to start.

    Raises:
        InvalidInputError: operators or data that ``export.foreign.admit`` refuses.
    """

    def __init__(
        self, runtime: Runtime, path: Path, isolation: Isolation, workers: int = 0
    ) -> None:
        self._runtime = runtime
        self._path = path
        self._isolation = isolation
        self._beside = () if isolation.trust else admit(path)
        self._free = [] if isolation.trust else [self._child() for _ in range(workers)]

    def open(self, threads: int) -> Session:
        """Open a session with a number of threads; in this process if the file is trusted."""
        if self._isolation.trust:
            return self._runtime.open(self._path, threads)
        child = self._free.pop() if self._free else self._child()
        return ChildSession(child, self._runtime, threads, self._free.append)

    def _child(self) -> Child:
        return Child(self._path, self._beside, self._isolation.time_limit)


def open_foreign(runtime: Runtime, path: Path, threads: int, isolation: Isolation) -> Session:
    """Open one session of a foreign file, as ``ForeignFile`` does."""
    return ForeignFile(runtime, path, isolation).open(threads)


def _allowed_cpus() -> list[int]:
    """Processors of the calling thread; empty where the system has no call for them."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def look_inside(
    task: str,
    path: Path,
    arguments: dict[str, Any],
    images: np.ndarray,
    isolation: Isolation,
) -> Sequence[np.ndarray]:
    """Run a task of ``evaluation.child.tasks`` on a foreign file.

    Args:
        task: name of the task.
        path: path of the file.
        arguments: plain values for the task.
        images: images to run.
        isolation: rights and time limit of the file.

    Raises:
        InvalidInputError: the file cannot be run, ends its process, or is too slow.
    """
    if isolation.trust:
        return TASKS[task](path, arguments, (images,))
    child = Child(path, admit(path), isolation.time_limit)
    seconds = max(isolation.time_limit * (len(images) + 1), 60.0)
    try:
        request = {"op": "task", "task": task, "arguments": arguments, "seconds": seconds}
        return child.ask(request, [images], seconds).arrays
    finally:
        child.close()
