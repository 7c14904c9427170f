"""Simulated workers: Dask's own, many in a process, whose tasks sleep as long as recorded ones.

``python -m benchmarks.clusters.simulated ADDRESS COUNT FOLDER`` runs COUNT of them in one event
loop. Each is a whole Dask worker with a connection, heartbeats and a thread for its tasks; in place
of the process that makes files stands a sleep. What each Dask worker does for itself alone is
slowed down, since it would take the processor time of a thousand machines from this one: profiles
of its thread, ticks of its loop, samples of memory and disk.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from distributed import Client, Worker, WorkerPlugin

from edgequant.sweeping.dask_engine import OurProcesses

_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "5s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.worker.memory.spill": False,
}


class Sleeper:
    """Stands in place of the process that makes files."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Sleep for the task's seconds; the answer has its size."""
        time.sleep(request["seconds"])
        return {"seconds": request["seconds"], "padding": " " * request["answer_bytes"]}

    def close(self) -> None:
        """End: there is nothing to end."""


class Sleepers(WorkerPlugin):  # type: ignore[misc] # distributed has no types
    """Gives a Dask worker a sleeper where it had our processes."""

    name = OurProcesses.name

    def setup(self, worker: Any) -> None:
        """Replace them; none was started."""
        worker.edgequant = Sleeper()


def make_sleepers(address: str) -> None:
    """Give all workers of a cluster sleepers; after our engine has connected to it."""
    with Client(address, set_as_default=False) as client:
        client.register_plugin(Sleepers())


@contextmanager
def simulated_workers(address: str, count: int, processes: int) -> Iterator[None]:
    """Start workers in some processes, which end with the block.

    Args:
        address: address of the scheduler.
        count: number of workers of each process.
        processes: number of processes.
    """
    with ExitStack() as stack:
        for _ in range(processes):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            words = ["-m", __name__, address, str(count), folder]
            process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


async def _work(address: str, count: int, folder: str) -> None:
    workers = [
        Worker(address, nthreads=1, memory_limit=0, local_directory=folder, dashboard=False)
        for _ in range(count)
    ]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


def _main(arguments: list[str]) -> None:
    import dask

    address, count, folder = arguments
    with dask.config.set(_SETTINGS):
        asyncio.run(_work(address, int(count), folder))


if __name__ == "__main__":
    _main(sys.argv[1:])
