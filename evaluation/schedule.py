"""Every network runs every batch once: who runs what when, on a number of threads.

The networks are opened at the same time, a thread for each, and one that is open runs the batches
that are there: while TensorFlow is imported and a Keras model is loaded, which takes seconds and
one core, photos are decoded and the files run on them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from evaluation.session import Closeable

if TYPE_CHECKING:
    import numpy as np

    from evaluation.session import RuntimeInfo, Session

AHEAD_BYTES = 3 << 27
"""Most bytes of images that wait for a network that is being opened: 668 photos of 224 x 224."""


class HasImages(Protocol):
    """A batch of preprocessed images."""

    @property
    def images(self) -> np.ndarray:
        """Preprocessed, float32 ``[b, ...]``."""
        ...


AnyBatch = TypeVar("AnyBatch", bound=HasImages)
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Ran:
    """What a network gave for a batch.

    Attributes:
        names: names of its outputs.
        arrays: its outputs, float32 ``[b, ...]``.
    """

    names: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]


@dataclass(eq=False)
class _Job(Generic[AnyBatch, Result]):
    """A batch on its way through the networks.

    Attributes:
        batch: the batch; None once it is finished.
        waiting: networks that have not begun with it, in their order.
        ran: what the others gave.
        results: its result, once it is finished.
    """

    batch: AnyBatch | None
    waiting: list[str]
    ran: dict[str, Ran] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)


class Schedule(Generic[AnyBatch, Result]):
    """Networks, each with as many sessions as there are working threads.

    Args:
        open_sessions: by name, a function that opens a session; called ``workers`` times, one
            call after another.
        workers: number of threads that run networks.
        finish: makes the result of a batch of what each network, by name, gave for it; called in a
            working thread.

    Attributes:
        infos: runtime, version and kernels by the name of the network, of its first session.
    """

    def __init__(
        self,
        open_sessions: Mapping[str, Callable[[], Session]],
        workers: int,
        finish: Callable[[AnyBatch, Mapping[str, Ran]], Result],
    ) -> None:
        self._open_sessions = open_sessions
        self._workers = workers
        self._finish = finish
        self._changed = threading.Condition()
        self._jobs: deque[_Job[AnyBatch, Result]] = deque()
        self._opened: list[Session] = []
        self._free: dict[str, list[Session]] = {name: [] for name in open_sessions}
        self._opening: list[Future[None]] = []
        self._futures: list[Future[None]] = []
        self._ended = False
        self._infos: dict[str, RuntimeInfo] = {}

    @property
    def infos(self) -> dict[str, RuntimeInfo]:
        """See the class; in the order of the networks."""
        return {name: self._infos[name] for name in self._open_sessions if name in self._infos}

    def results(self, batches: Iterable[AnyBatch]) -> Generator[Result, None, None]:
        """Results in the order of the batches, which are taken in the calling thread.

        At most ``workers + 1`` batches are unfinished; while a network is being opened, as many
        more as ``AHEAD_BYTES`` hold.

        Raises the first error of a session, a batch or a result, after all threads have ended.
        """
        pool = ThreadPoolExecutor(len(self._open_sessions) + self._workers)
        try:
            self._opening = [pool.submit(self._open, name) for name in self._open_sessions]
            working = [pool.submit(self._work) for _ in range(self._workers)]
            self._futures = [*self._opening, *working]
            for future in self._futures:
                future.add_done_callback(self._tell)
            for batch in batches:
                with self._changed:
                    self._jobs.append(_Job(batch, list(self._open_sessions)))
                    self._changed.notify_all()
                while (job := self._first_finished(self._is_full)) is not None:
                    yield from job.results
            while (job := self._first_finished(self._has_jobs)) is not None:
                yield from job.results
            for future in self._opening:
                future.result()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._close()
            pool.shutdown(wait=True)
            self._close()  # sessions that were opened meanwhile

    def _open(self, name: str) -> None:
        for _ in range(self._workers):
            if self._ended:
                return
            session = self._open_sessions[name]()
            self._opened.append(session)
            if name not in self._infos:
                self._infos[name] = session.info
            with self._changed:
                self._free[name].append(session)
                self._changed.notify_all()

    def _work(self) -> None:
        """Run networks until the schedule ends."""
        while (taken := self._taken()) is not None:
            job, name, session = taken
            batch = job.batch
            assert batch is not None
            ran = Ran(session.outputs, session.run(batch.images))
            with self._changed:
                self._free[name].append(session)
                job.ran[name] = ran
                whole = len(job.ran) == len(self._open_sessions)
                self._changed.notify_all()
            if whole:
                result = self._finish(batch, {name: job.ran[name] for name in self._open_sessions})
                with self._changed:
                    job.results.append(result)
                    job.batch = None
                    job.ran.clear()
                    self._changed.notify_all()
            del taken, job, batch, ran  # the next batch may be long in coming

    def _taken(self) -> tuple[_Job[AnyBatch, Result], str, Session] | None:
        """Oldest batch, and the first network that can run it; None at the end."""
        with self._changed:
            while not self._ended:
                for job in self._jobs:
                    for name in job.waiting:
                        if self._free[name]:
                            job.waiting.remove(name)
                            return job, name, self._free[name].pop()
                self._changed.wait()
        return None

    def _first_finished(self, worth_waiting: Callable[[], bool]) -> _Job[AnyBatch, Result] | None:
        """Oldest batch, which is waited for if that is worth it; None if it is unfinished."""
        with self._changed:
            while True:
                for future in self._futures:
                    if future.done():
                        future.result()  # raises what ended it
                if self._jobs and self._jobs[0].results:
                    return self._jobs.popleft()
                if not worth_waiting():
                    return None
                self._changed.wait()

    def _has_jobs(self) -> bool:
        return bool(self._jobs)

    def _is_full(self) -> bool:
        """Whether no other batch may be taken yet."""
        if len(self._jobs) <= self._workers:
            return False
        held = sum(0 if job.batch is None else job.batch.images.nbytes for job in self._jobs)
        return all(future.done() for future in self._opening) or held >= AHEAD_BYTES

    def _tell(self, _: Future[None]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _close(self) -> None:
        """Close the sessions that are open, also those in use."""
        while self._opened:
            session = self._opened.pop()
            if isinstance(session, Closeable):
                session.close()  # ends a batch that would run for ever
