"""Paths that a child process must read: Python, its packages, libraries and system files."""

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
"""Shared libraries, and the kernel's files on processor and memory."""


def code_folders(home: Path) -> tuple[Path, ...]:
    """Folders with code, without those of the user.

    Args:
        home: folder of our packages, which may also have files of the user.
    """
    packages = [file.parent for file in home.glob("*/__init__.py")]
    path = [Path(entry).resolve() for entry in sys.path if entry]
    python = [Path(sys.prefix), Path(sys.base_prefix)]
    return (
        *(Path(name) for name in _SYSTEM),
        *packages,
        *python,
        *(entry for entry in path if entry != home),
    )
