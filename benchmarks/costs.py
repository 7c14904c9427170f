"""What a command costs: wall time, processor time and peak memory of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: wall time.
        processor_seconds: processor time of the process and of those that it waited for, user and
            system.
        peak_bytes: largest resident memory of the process.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int


def cost(command: Sequence[str]) -> Cost:
    """Run a command in a process of its own.

    Raises:
        InvalidInputError: it failed; has the last line that it printed.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            raise InvalidInputError(
                "a command that is timed succeeds",
                received=f"{' '.join(command[1:4])}: {lines[-1]}",
                remedy="run it alone",
            )
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


def cost_of_edgequant(*arguments: str) -> Cost:
    """Run a command of the product; raises InvalidInputError as ``cost`` does."""
    return cost([sys.executable, "-m", "edgequant", *arguments])
