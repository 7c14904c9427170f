"""Memory of the machine, as its system tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes of main memory.

    Attributes:
        total: all of it; None where the system does not say.
        available: what programs can still take without swapping; None where it is not known.
    """

    total: int | None
    available: int | None


def memory(meminfo: Path = Path("/proc/meminfo")) -> Memory:
    """Memory of this machine.

    Args:
        meminfo: Linux's description of it; without it, what POSIX tells is used.
    """
    try:
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return Memory(_by_pages(), None)
    fields = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(_bytes(fields.get("MemTotal")), _bytes(fields.get("MemAvailable")))


def _bytes(words: list[str] | None) -> int | None:
    return int(words[0]) * _KIB if words and words[0].isdecimal() else None


def _by_pages() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # a name or a call that the system does not have
        return None
