"""Locks on folders, which end with the process that holds them, and Ctrl-C held for a moment."""

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
    """Hold a folder against other processes of ours while the block runs.

    Args:
        folder: that exists; the lock leaves no file in it.
        wait_seconds: how long to wait for another process.

    Raises:
        InvalidInputError: another process holds it for longer.
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
    """Lock an open folder until its descriptor is closed; False when another one has locked it.

    A system or a file system without locks gives True.
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
    """Hold back Ctrl-C while the block runs; it is raised afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python interrupts the main thread alone
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if came and callable(before):
        before(*came[0])
