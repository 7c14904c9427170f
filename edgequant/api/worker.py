"""Process in which the work of a call is done, seen from the user's program.

The same settings, and so the same bytes, as on the command line: the order of sums, TensorFlow as
Keras's backend, and no module of the program in the way (docs/adr/0029-python-api.md).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from calibration_data.datasets.given import FOLDER
from edgequant.api.exchange import Job, Outcome, read_error, read_outcome, write_job
from foundation.errors import EdgequantError, InvalidInputError

START = Path(__file__).with_name("start.py")
"""Script of a process of ours."""
_CHILD = "edgequant.api.child"
_LOG = "log"
_NOT_PASSED_ON = ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS")
"""Environment variables that are the program's own."""
_LAST_LINES = 12

Listen = Callable[[dict[str, object]], None]


def work(folder: Path, job: Job, listen: Listen) -> Outcome:
    """Run a command in a process of its own.

    Args:
        folder: private folder, with the arrays and models that the words name.
        job: the command.
        listen: takes the events of its progress.

    Raises:
        EdgequantError: of the type that the command raised, in words of Python.
        RuntimeError: a bug, with the last lines of the process.
    """
    write_job(folder, job)
    code = _run(folder, listen)
    error = read_error(folder)
    if error is not None:
        raise in_python(error, folder)
    outcome = read_outcome(folder)
    if outcome is None:
        raise _ended(code, folder / _LOG)
    return outcome


def _run(folder: Path, listen: Listen) -> int:
    """Exit code of the process; it ends with the call, also when that is interrupted."""
    environment = our_environment()
    environment[FOLDER] = str(folder)
    with (folder / _LOG).open("wb") as log:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(START), _CHILD, str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert child.stdout is not None
        try:
            _hear(child.stdout, listen)
            return child.wait()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()


def our_environment() -> dict[str, str]:
    """Environment variables for a process of ours."""
    return {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}


def _hear(lines: IO[str], listen: Listen) -> None:
    for line in lines:
        if line.startswith("{"):
            listen(json.loads(line))


def _ended(code: int, log: Path) -> Exception:
    """Error for a process without an outcome."""
    if code < 0:
        return InvalidInputError(
            "the work of a call runs to its end in a process of its own",
            received=f"one that was ended by signal {-code}",
            remedy="give fewer samples or a smaller model if memory was short",
        )
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = "\n".join(lines[-_LAST_LINES:])
    return RuntimeError(f"this is a bug of edgequant; please report it with these lines:\n{last}")


def in_python(error: EdgequantError, folder: Path) -> EdgequantError:
    """The error in words of Python: arguments for options, and no private folder.

    Args:
        error: as the command line says it.
        folder: folder whose path is left out.
    """
    rule, received, remedy = (
        re.sub(rf"{re.escape(str(folder))}/(model/|reference/)?", "", _words(text))
        for text in (error.rule, error.received, error.remedy)
    )
    return type(error)(rule, received=received, remedy=remedy)


def _words(text: str) -> str:
    """Text with ``max_drop`` for ``--max-drop``, and ``latency=False`` for ``--no-latency``."""

    def name(found: re.Match[str]) -> str:
        word = found[1].replace("-", "_")
        return f"{word.removeprefix('no_')}=False" if word.startswith("no_") else word

    return re.sub(r"(?<![\w-])--([a-z][a-z0-9-]*)", name, text)
