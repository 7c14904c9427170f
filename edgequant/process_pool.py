"""Processes of ours that work for a command, each with its own interpreter lock and libraries."""

from __future__ import annotations

import edgequant.process  # noqa: F401 - a new process imports this module before all others

import multiprocessing  # isort: skip
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from foundation.confinement import die_with_parent
from foundation.errors import InvalidInputError
from foundation.threads import cores

MOST = 8
"""Largest number of processes: each loads TensorFlow into memory."""


@contextmanager
def process_pool(tasks: int) -> Iterator[Executor | None]:
    """One process for each core, which end with the block; None where one would work alone.

    They are started as new programs, since a copy of a process in which TensorFlow has threads
    hangs. An error or an interrupt in the block ends them at once.

    Args:
        tasks: number of tasks that can be done at the same time.

    Raises:
        InvalidInputError: a process that was ended from outside, for instance for lack of memory.
    """
    count = min(cores(), tasks, MOST)
    if count < 2:
        yield None
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start)
    before = set(multiprocessing.active_children())
    try:
        yield pool
    except BaseException as error:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise InvalidInputError(
                f"{count} processes at once need memory for each, about 2 GB",
                received="one that was ended from outside",
                remedy="run the command again, with taskset -c 0 for a single process; finished "
                "steps are not repeated",
            ) from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    """Begin a process: it ends with its parent, and says nothing when both are interrupted."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
