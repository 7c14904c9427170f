"""Commands of the product in processes of their own, and what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class Done:
    """A command that succeeded.

    Attributes:
        seconds: wall time of the whole process.
        processor: processor time of it and of the processes that it started, in seconds.
        out: its standard output.
        err: its standard error.
    """

    seconds: float
    processor: float
    out: bytes
    err: str


def command(
    *words: str, beside: Callable[[int], AbstractContextManager[object]] | None = None
) -> Done:
    """Run a command to its end.

    Args:
        words: words after ``edgequant``.
        beside: takes the number of the process, and gives what is open while it runs.

    Raises:
        InvalidInputError: it failed; has the last line that it printed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "edgequant", *words], stdout=out, stderr=err
        )
        with nullcontext() if beside is None else beside(process.pid):
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0, os.SEEK_SET)
        processor = usage.ru_utime + usage.ru_stime
        done = Done(seconds, processor, out.read(), err.read().decode("utf-8", "replace"))
    if process.returncode:
        raise InvalidInputError(
            "a command that is timed succeeds",
            received=f"edgequant {words[0]}: {(done.err.strip().splitlines() or ['nothing'])[-1]}",
            remedy="run it alone",
        )
    return done
