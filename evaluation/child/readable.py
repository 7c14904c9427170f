"""Folders that a child process must read: Python, its packages, and what the system tells."""

from __future__ import annotations

import sys
from pathlib import Path

_SYSTEM = (
    "/dev/null",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/sys/devices/system",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
)
"""Shared libraries, and what the kernel tells of the processor."""


def code_folders(home: Path) -> tuple[Path, ...]:
    """Folders of code, without the user's.

    Args:
        home: folder that our packages lie in, which may hold the user's files too.
    """
    ours = [file.parent for file in home.glob("*/__init__.py")]
    path = [Path(entry).resolve() for entry in sys.path if entry]
    python = [Path(sys.prefix), Path(sys.base_prefix)]
    return (
        *(Path(name) for name in _SYSTEM),
        *ours,
        *python,
        *(entry for entry in path if entry != home),
    )
