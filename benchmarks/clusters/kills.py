"""Kills of random workers while a sweep runs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

POOL = "edgequant.sweeping.child"
"""In the command line of a process that answers a sweep's tasks."""
DASK = "multiprocessing.spawn"
"""In the command line of a Dask worker that a nanny started."""


@dataclass
class Kills:
    """Kills that were made.

    Attributes:
        count: their number.
    """

    count: int = field(default=0)


@contextmanager
def killed_every(seconds: float, workers: Callable[[], list[psutil.Process]]) -> Iterator[Kills]:
    """Kill a random one of the workers every so many seconds while the block runs (SIGKILL)."""
    ended, kills, chance = threading.Event(), Kills(), random.Random(0)

    def work() -> None:
        while not ended.wait(seconds):
            found = workers()
            if not found:
                continue
            try:
                chance.choice(found).kill()
            except psutil.NoSuchProcess:  # it ended by itself meanwhile
                continue
            kills.count += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield kills
    finally:
        ended.set()
        thread.join()


def workers_below(process: int | None, text: str) -> list[psutil.Process]:
    """Descendants of a process, or of this one, whose command line has a text."""
    found = []
    try:
        children = psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in children:
        try:
            if any(text in word for word in child.cmdline()):
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return sorted(found, key=lambda one: one.pid)


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far."""
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)
