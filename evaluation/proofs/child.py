"""A child process in which a runtime opens a file that may be foreign.

It has limits on time, output and sizes of files, no network where the system allows that, and a
home and a folder for temporary files that are removed after it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from foundation.foreign import printable
from foundation.scratch import refuse_full

_SECONDS = 600
"""Time limit of a child."""
_MOST_LOG = 1 << 20
"""Largest number of bytes of a child's output in memory; half of them are from its end."""
_LIMITS = 'ulimit -c 0; ulimit -f 8388608; exec "$@"'
"""No core files, and no file above 4 GiB (in blocks of 512 bytes)."""
_ENVIRONMENT = (
    "PATH", "LD_LIBRARY_PATH", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT",
)  # fmt: skip
"""Variables by which a child finds its programs and libraries; it gets no others."""


@dataclass(frozen=True)
class Done:
    """A finished child.

    Attributes:
        code: exit code; a negative one is the signal that ended it.
        log: its output, both streams together.
    """

    code: int
    log: str

    @property
    def last_line(self) -> str:
        """Last line of the output, with unprintable characters replaced."""
        lines = self.log.strip().splitlines()
        return printable(lines[-1]) if lines else "no message"


def run_tool(command: list[str], folder: Path, extra: Mapping[str, str] | None = None) -> Done:
    """Run a child with few threads, and collect its output.

    Args:
        command: program and arguments.
        folder: working folder, home and folder for temporary files of the child.
        extra: additional variables of its environment.

    Raises:
        InvalidInputError: the folder for temporary files is full.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    environment |= {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", **(extra or {})}
    limited = [*_without_network(command[0]), "/bin/sh", "-c", _LIMITS, "sh", *command]
    with tempfile.TemporaryFile(dir=folder) as log:
        try:
            process = subprocess.Popen(  # noqa: S603 - commands of ours
                limited,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Done(127, str(error))
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            return Done(127, f"no end within {_SECONDS} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and its children
            process.wait()
        done = Done(code, _head_and_tail(log))
    if done.code:
        refuse_full(folder, done.log)
    return done


@cache
def _without_network(program: str) -> tuple[str, ...]:
    """Command that runs a program without the network; empty where the system forbids it."""
    unshare = shutil.which("unshare")
    test = shutil.which("test")
    if unshare is None or test is None:
        return ()
    path = shutil.which(program) or program
    for prefix in ((unshare, "--net"), (unshare, "--user", "--map-current-user", "--net")):
        attempt = subprocess.run(  # noqa: S603 - a command of ours
            [*prefix, test, "-x", path], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if attempt.returncode == 0:
            return prefix
    return ()


def _head_and_tail(log: BinaryIO) -> str:
    """Output of a child; of a long one, the beginning and the end."""
    size = log.seek(0, os.SEEK_END)
    log.seek(0)
    if size <= _MOST_LOG:
        return log.read().decode("utf-8", "replace")
    first = log.read(_MOST_LOG // 2)
    log.seek(size - _MOST_LOG // 2)
    return (first + b"\n" + log.read(_MOST_LOG // 2)).decode("utf-8", "replace")
