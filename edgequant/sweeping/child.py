"""What a worker's process does: reads requests from standard input, writes answers."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from edgequant.repeatable import one_order_of_sums
from foundation.confinement import die_with_parent
from foundation.locking import try_lock

_LOCKS = "edgequant-cores"
_PLACES = 8
"""Workers of a core that are told apart, of all sweeps and evaluations on the machine."""


def main() -> None:
    """Answer requests until standard input ends."""
    die_with_parent()
    one_order_of_sums()  # before NumPy is loaded
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # the SDKs write to both from C++
    lock = _claimed_core()
    from edgequant.sweeping.answering import answer

    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line)), allow_nan=False) + "\n")
    if lock is not None:
        os.close(lock)


def _claimed_core() -> int | None:
    """Pin this process to a core that no other worker of this machine has, or the fewest have.

    Returns:
        Descriptor that holds the place on the core while it is open; None where the system does
        not pin, or no file can be locked.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    folder = Path(tempfile.gettempdir()) / f"{_LOCKS}-{os.getuid()}"
    for place in range(_PLACES):  # a second worker of a core only where each has a first one
        for core in allowed:
            descriptor = _lock(folder, f"{core}.{place}" if place else str(core))
            if descriptor is not None:
                os.sched_setaffinity(0, {core})
                return descriptor
    os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})
    return None


def _lock(folder: Path, name: str) -> int | None:
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # no folder for temporary files
        return None
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def host() -> str:
    """Name of this machine."""
    return os.uname().nodename if hasattr(os, "uname") else "this machine"


def state() -> dict[str, Any]:
    """Versions and place of this process, which workers are compared by."""
    from edgequant.artifacts import code_digest, versions
    from evaluation.machine import PACKAGES

    return {
        "code": code_digest(),
        "versions": versions(PACKAGES),
        "host": host(),
        "process": os.getpid(),
    }
