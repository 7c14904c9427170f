"""Commands of the product in processes of their own, and what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class Done:
    """A command that succeeded.

    Attributes:
        seconds: wall time of the whole process.
        out: its standard output.
        err: its standard error.
    """

    seconds: float
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
        if beside is None:
            process.wait()
        else:
            with beside(process.pid):
                process.wait()
        seconds = time.perf_counter() - start
        for file in (out, err):
            file.seek(0, os.SEEK_SET)
        done = Done(seconds, out.read(), err.read().decode("utf-8", "replace"))
    if process.returncode:
        raise InvalidInputError(
            "a command that is timed succeeds",
            received=f"edgequant {words[0]}: {(done.err.strip().splitlines() or ['nothing'])[-1]}",
            remedy="run it alone",
        )
    return done
