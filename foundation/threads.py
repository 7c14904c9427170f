"""Number of available cores, and the number that TensorFlow uses for one operator."""

from __future__ import annotations

import os

from foundation.errors import InvalidInputError

OPERATOR_CORES = "TF_NUM_INTRAOP_THREADS"
"""Environment variable for TensorFlow's cores per operator; read at its first computation."""


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_threads(threads: int) -> int:
    """Refuse a number of threads with which runtimes would hang or crash.

    Args:
        threads: number of threads of one session.

    Returns:
        The argument ``threads``.

    Raises:
        InvalidInputError: fewer than one, or more than the cores that this process may use.
    """
    most = cores()
    if not 1 <= threads <= most:
        raise InvalidInputError(
            f"a session has from 1 to {most} threads, the number of available cores",
            received=f"--threads {threads}",
            remedy="give a number in that range",
        )
    return threads
