"""Start-up time of `edgequant --help`, interpreter included."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from benchmarks.record import Figure

REPEATS = 20


def run() -> list[Figure]:
    """Median time of new processes, and of a bare interpreter in the same run."""
    commands = {
        "edgequant --help": [sys.executable, "-m", "edgequant", "--help"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    return [
        Figure(name, "start", float(np.median(_times(command))), "s", REPEATS, 1)
        for name, command in commands.items()
    ]


def _times(command: list[str]) -> list[float]:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return times
