"""A Dask cluster of this machine, each part a process of its own, as Dask's commands start it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import InvalidInputError

_SECONDS = 60.0
"""Longest wait for a scheduler and its workers."""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler that listens.

    Attributes:
        address: its address.
        process: its process.
    """

    address: str
    process: int


@contextmanager
def scheduler() -> Iterator[Scheduler]:
    """Scheduler on a free port of this machine, killed at the end of the block.

    Raises:
        InvalidInputError: it does not listen within a minute.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
        with _started("scheduler", *words, "--dashboard-address", "127.0.0.1:0") as process:
            yield Scheduler(_address(file), process.pid)


@contextmanager
def cluster(workers: int, threads: int = 1) -> Iterator[str]:
    """Address of a scheduler with workers that were just started.

    Args:
        workers: number of worker processes, each with a nanny that starts it again.
        threads: threads of each; each thread starts a process of ours at its first task.

    Raises:
        InvalidInputError: they are not there within a minute.
    """
    with scheduler() as found, tempfile.TemporaryDirectory() as folder:
        counts = ["--nworkers", str(workers), "--nthreads", str(threads)]
        places = ["--local-directory", folder, "--dashboard-address", "127.0.0.1:0"]
        with _started("worker", found.address, *counts, *places):
            wait_for_workers(found.address, workers)
            yield found.address


def wait_for_workers(address: str, count: int, seconds: float = _SECONDS) -> None:
    """Return once a cluster has this number of workers.

    Raises:
        InvalidInputError: it has fewer after ``seconds``.
    """
    from distributed import Client

    with Client(address, timeout=seconds, set_as_default=False) as client:
        try:
            client.wait_for_workers(count, timeout=seconds)
        except TimeoutError as error:
            raise InvalidInputError(
                f"a cluster that is measured has its {count} workers within {seconds:g} seconds",
                received=f"{len(client.nthreads())} of them",
                remedy="run it on a machine that is idle, with more memory",
            ) from error


@contextmanager
def _started(part: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Process of a part of Dask; ended with those that it started."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{part}", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()  # a nanny ends its worker
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(file: Path) -> str:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        try:
            address: str = json.loads(file.read_text(encoding="utf-8"))["address"]
        except (OSError, ValueError):  # not there, or not whole
            time.sleep(0.1)
            continue
        return address
    raise InvalidInputError(
        f"a scheduler of this machine listens within {_SECONDS:g} seconds",
        received="none",
        remedy="run pip install 'edgequant[cluster]'",
    )
