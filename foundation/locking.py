"""Locks on folders, released when their process ends, and a block that defers Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from foundation.errors import InvalidInputError
from foundation.foreign import printable

_POLL_SECONDS = 0.02


@contextmanager
def exclusive(folder: Path, wait_seconds: float = 30.0) -> Iterator[None]:
    """Lock a folder against other edgequant processes while the block runs.

    Args:
        folder: existing folder; the lock leaves no file in it.
        wait_seconds: longest wait for another process, in seconds.

    Raises:
        InvalidInputError: another process holds the lock for longer.
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + wait_seconds
        while not try_lock(descriptor):
            if time.monotonic() > end:
                raise InvalidInputError(
                    "one process at a time delivers files into a folder",
                    received=f"{printable(folder)}, which another one is writing to",
                    remedy="wait for it, or choose another --output",
                )
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open folder until its descriptor is closed; False if it is locked already.

    The result is True on systems and file systems without locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python interrupts only the main thread
        return
    deferred: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: deferred.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
    if deferred and callable(handler):
        handler(*deferred[0])
