"""Dask cluster as engine; imported only where one is used, here and on its workers.

A Dask worker starts a process of ours for each of its threads (``sweeping.process``), since NumPy
is loaded in its own before the order of sums can be set. Read of dask.distributed 2026.8:
``Client.get_executor``, ``WorkerPlugin``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any

from distributed import Client, KilledWorker, WorkerPlugin, get_worker
from distributed.comm.core import CommClosedError

import edgequant.process  # noqa: F401 - finds our packages, also on a worker
from edgequant.sweeping.child import state
from edgequant.sweeping.engine import Answer
from edgequant.sweeping.process import WorkerLost, Workers
from foundation.errors import InvalidInputError
from foundation.foreign import reason_of

_PLUGIN = "edgequant"
_SECONDS = 10.0
"""Longest wait for an address."""
_RECONNECT_SECONDS = 120.0
"""Longest wait for a scheduler that was restarted."""


class OurProcesses(WorkerPlugin):  # type: ignore[misc] # distributed has no types
    """Processes of ours on a Dask worker, which end with it."""

    name = _PLUGIN

    def setup(self, worker: Any) -> None:
        """Start with none: a thread's first request starts one."""
        worker.edgequant = Workers()

    def teardown(self, worker: Any) -> None:
        """End them."""
        worker.edgequant.close()


def ask(request: dict[str, Any]) -> Answer:
    """Answer to a request, by the process of this thread of a Dask worker.

    Raises:
        WorkerLost: that process ended first.
    """
    workers: Workers = get_worker().edgequant
    return workers.ask(request)


class DaskEngine:
    """Workers of a Dask cluster, however it was started.

    Args:
        address: address of the scheduler.

    Raises:
        InvalidInputError: it does not answer, or has a worker without edgequant or of another
            version.
    """

    lost: tuple[type[BaseException], ...] = (
        WorkerLost,
        KilledWorker,
        CommClosedError,
        CancelledError,
    )

    def __init__(self, address: str) -> None:
        self._address = address
        self._open(_SECONDS)

    def submit(self, request: dict[str, Any]) -> Future[Answer]:
        """Send a request to the cluster; connects again to a scheduler that was restarted."""
        if self._client.status != "running":
            self._reconnect()
        future: Future[Answer] = self._executor.submit(ask, request)
        return future

    def size(self) -> int:
        """Number of threads of all workers now."""
        return sum(self._client.nthreads().values()) if self._client.status == "running" else 1

    def place(self) -> str:
        """Address, workers and dashboard."""
        return (
            f"{self.size()} thread(s) of {len(self._client.nthreads())} Dask worker(s) at "
            f"{self._address}, dashboard {self._client.dashboard_link}"
        )

    def require_workers(self) -> None:
        """Raise InvalidInputError for a cluster without workers."""
        if not self._client.nthreads():
            raise InvalidInputError(
                "a cluster has a worker at least",
                received=f"none at {self._address}",
                remedy=f"start one with 'dask worker {self._address} --nthreads 1'",
            )

    def _require_equal(self) -> None:
        """Refuse workers without edgequant, and those of another version."""
        mine = state()
        for worker, theirs in self._client.run(state, on_error="return").items():
            if isinstance(theirs, BaseException):
                differs = reason_of(theirs)
            else:
                differs = _difference(mine, theirs)
            if differs:
                raise InvalidInputError(
                    "every worker has the edgequant and the packages of this command",
                    received=f"{worker} with {differs}",
                    remedy="install the same there, and start it again",
                )

    def close(self) -> None:
        """Leave the cluster; what it still runs is cancelled."""
        self._executor.shutdown(wait=False)
        self._client.close(timeout=_SECONDS)

    def _open(self, seconds: float) -> None:
        try:
            self._client = Client(self._address, timeout=seconds, set_as_default=False)
        except (OSError, ValueError, CommClosedError) as error:
            raise InvalidInputError(
                "--cluster is the address of a Dask scheduler that answers within "
                f"{seconds:g} seconds, such as tcp://host:8786",
                received=f"{self._address} ({reason_of(error)})",
                remedy="start one with 'dask scheduler', and see that this machine reaches it",
            ) from error
        self._require_equal()
        self._client.register_plugin(OurProcesses())
        self._executor = self._client.get_executor(pure=False)

    def _reconnect(self) -> None:
        """Wait for the scheduler; requests that it had are sent again."""
        end = time.monotonic() + _RECONNECT_SECONDS
        self._client.close(timeout=1)
        while True:
            try:
                self._open(_SECONDS)
            except InvalidInputError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
                continue
            return


def _difference(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """What differs on a worker, in words; empty for nothing."""
    packages = [
        f"{name} {theirs['versions'].get(name)} instead of {version}"
        for name, version in mine["versions"].items()
        if theirs["versions"].get(name) != version
    ]
    if packages:
        return ", ".join(packages)
    return "" if mine["code"] == theirs["code"] else "another edgequant"


@contextmanager
def open_dask(address: str) -> Iterator[DaskEngine]:
    """Engine of a cluster whose workers were compared; closed at the end of the block.

    Raises:
        InvalidInputError: as ``DaskEngine``; also a cluster without workers.
    """
    engine = DaskEngine(address)
    try:
        engine.require_workers()
        yield engine
    finally:
        engine.close()
