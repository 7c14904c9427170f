"""Cores of this machine, and how many of them TensorFlow takes for one operator."""

from __future__ import annotations

import os

from foundation.errors import InvalidInputError

OPERATOR_CORES = "TF_NUM_INTRAOP_THREADS"
"""Environment variable of that number, read when TensorFlow computes for the first time."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_threads(threads: int) -> int:
    """Refuse a number of threads that runtimes would hang or crash on.

    Args:
        threads: of one session.

    Returns:
        The same number.

    Raises:
        InvalidInputError: fewer than one, or more than the cores that this process may use.
    """
    most = cores()
    if not 1 <= threads <= most:
        raise InvalidInputError(
            f"a session has from one thread to as many as there are cores here, {most}",
            received=f"--threads {threads}",
            remedy="give a number in between",
        )
    return threads
