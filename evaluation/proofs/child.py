"""A child process in which a runtime meets a file that others may have written.

Bounded in time, in what it prints and in what it writes; without the network where the system
allows; with a home and a folder for temporary files that go away with it.
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
"""Bytes of a child's output that are kept: half of them from its end."""
_LIMITS = 'ulimit -c 0; ulimit -f 8388608; exec "$@"'
"""No core files, and no file above 4 GiB (in blocks of 512 bytes)."""
_ENVIRONMENT = (
    "PATH", "LD_LIBRARY_PATH", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "SDKROOT",
)  # fmt: skip
"""Variables that a child needs to find its programs and libraries; it gets no other."""


@dataclass(frozen=True)
class Done:
    """A finished child.

    Attributes:
        code: exit code; negative: the signal that ended it.
        log: what it printed, both streams together.
    """

    code: int
    log: str

    @property
    def last_line(self) -> str:
        """The last line that it printed, printable."""
        lines = self.log.strip().splitlines()
        return printable(lines[-1]) if lines else "no message"


def run_tool(command: list[str], folder: Path, extra: Mapping[str, str] | None = None) -> Done:
    """Run a child with few threads, both outputs taken.

    Args:
        command: program and arguments.
        folder: working folder, home and folder for temporary files of the child.
        extra: variables of its environment.

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
                os.killpg(process.pid, signal.SIGKILL)  # children of its own too
            process.wait()
        done = Done(code, _kept(log))
    if done.code:
        refuse_full(folder, done.log)
    return done


@cache
def _without_network(program: str) -> tuple[str, ...]:
    """The command that takes the network from a program; empty where the system forbids it."""
    unshare = shutil.which("unshare")
    test = shutil.which("test")
    if unshare is None or test is None:
        return ()
    found = shutil.which(program) or program
    for how in ((unshare, "--net"), (unshare, "--user", "--map-current-user", "--net")):
        tried = subprocess.run(  # noqa: S603 - a command of ours
            [*how, test, "-x", found], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        if tried.returncode == 0:
            return how
    return ()


def _kept(log: BinaryIO) -> str:
    """The beginning and the end of what was printed."""
    size = log.seek(0, os.SEEK_END)
    log.seek(0)
    if size <= _MOST_LOG:
        return log.read().decode("utf-8", "replace")
    first = log.read(_MOST_LOG // 2)
    log.seek(size - _MOST_LOG // 2)
    return (first + b"\n" + log.read(_MOST_LOG // 2)).decode("utf-8", "replace")
