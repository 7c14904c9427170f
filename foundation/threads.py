"""Cores of this machine, and how many of them TensorFlow takes for one operator."""

from __future__ import annotations

import os

OPERATOR_CORES = "TF_NUM_INTRAOP_THREADS"
"""Environment variable of that number, read when TensorFlow computes for the first time."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
