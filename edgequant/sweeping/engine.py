"""Port between a sweep and what runs its tasks: a process a core here, or a Dask cluster.

It has the shape of ``concurrent.futures.Executor``; a request and its answer are plain values.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from edgequant.sweeping.process import WorkerLost, Workers
from foundation.errors import InvalidInputError
from foundation.threads import cores

Answer = dict[str, Any]


class Engine(Protocol):
    """What runs requests.

    Attributes:
        lost: exceptions of a request whose worker was lost, and which another one can answer.
    """

    lost: tuple[type[BaseException], ...]

    def submit(self, request: dict[str, Any]) -> Future[Answer]:
        """Send a request to a free worker, or to the next one that is."""
        ...

    def size(self) -> int:
        """Number of workers now."""
        ...

    def place(self) -> str:
        """Where the workers are, in words."""
        ...


class LocalEngine:
    """Processes of this machine, one a core.

    Args:
        count: number of processes.
    """

    lost: tuple[type[BaseException], ...] = (WorkerLost, CancelledError)

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers = Workers()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sweep")

    def submit(self, request: dict[str, Any]) -> Future[Answer]:
        """Send a request to a free process."""
        return self._threads.submit(self._workers.ask, request)

    def size(self) -> int:
        """Number of processes."""
        return self._count

    def place(self) -> str:
        """The processes in words."""
        return f"{self._count} process{'es' if self._count > 1 else ''} of this machine"

    def close(self) -> None:
        """End all processes, also those that are at work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._workers.close()
        self._threads.shutdown(wait=True)


@contextmanager
def open_engine(cluster: str | None, workers: int | None) -> Iterator[Engine]:
    """Engine that is closed at the end of the block.

    Args:
        cluster: address of a Dask scheduler; None for processes of this machine.
        workers: number of processes of this machine; None for one a core.

    Raises:
        InvalidInputError: an address that does not answer, workers of another version, or more
            processes than cores.
    """
    check_workers(cluster, workers)
    if cluster is None:
        engine = LocalEngine(workers or cores())
        try:
            yield engine
        finally:
            engine.close()
        return
    from edgequant.sweeping.dask_engine import open_dask

    with open_dask(cluster) as dask:
        yield dask


def require_dask(cluster: str) -> None:
    """Raise InvalidInputError where Dask is not installed."""
    if find_spec("distributed") is None:
        raise InvalidInputError(
            "--cluster is read by Dask",
            received=f"{cluster} without the package distributed",
            remedy="run pip install 'edgequant[cluster]'",
        )


def check_workers(cluster: str | None, workers: int | None) -> None:
    """Check what ``open_engine`` takes, before anything is started.

    Raises:
        InvalidInputError: a number of processes for a cluster, more of them than cores, or Dask is
            not installed.
    """
    if cluster is None:
        _check_count(workers)
        return
    if workers is not None:
        raise InvalidInputError(
            "--workers is a number of processes of this machine",
            received=f"--workers {workers} with --cluster {cluster}",
            remedy="leave it out: a cluster has the workers that it was started with",
        )
    require_dask(cluster)


def _check_count(workers: int | None) -> None:
    most = cores()
    if workers is not None and workers > most:
        raise InvalidInputError(
            f"each process has a core of its own, of which this machine has {most}",
            received=f"--workers {workers}",
            remedy="give at most as many, or a cluster (--cluster)",
        )
