"""What a command costs: wall time, processor time and peak memory; and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
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
        out: its standard output.
        err: its standard error.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int
    out: bytes
    err: str


Beside = Callable[[int], AbstractContextManager[object]]
"""Takes the number of a process, and gives what is open while it runs."""


def alone(_: int) -> AbstractContextManager[object]:
    """Nothing is open beside the process."""
    return nullcontext()


def cost(command: Sequence[str], beside: Beside = alone) -> Cost:
    """Run a command in a process of its own, to its end.

    Raises:
        InvalidInputError: it failed; has the last line that it printed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        with beside(process.pid):
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0, os.SEEK_SET)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        processor, said = usage.ru_utime + usage.ru_stime, err.read().decode("utf-8", "replace")
        done = Cost(seconds, processor, peak, out.read(), said)
    if process.returncode:
        lines = (said.strip() or done.out.decode("utf-8", "replace").strip()).splitlines()
        raise InvalidInputError(
            "a command that is timed succeeds",
            received=f"{' '.join(command[1:4])}: {(lines or ['nothing'])[-1]}",
            remedy="run it alone",
        )
    return done


def cost_of_edgequant(*arguments: str, beside: Beside = alone) -> Cost:
    """Run a command of the product; raises InvalidInputError as ``cost`` does."""
    return cost([sys.executable, "-m", "edgequant", *arguments], beside)
