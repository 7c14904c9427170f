"""What runs where, in a few lines below the bar of a sweep: read from the marks in the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgequant.sweeping.store import Store, read_record
from foundation.errors import InvalidInputError

_SECONDS = 2.0
"""Time between two looks at the store."""
_LINES = 8


class Watch:
    """Tasks that are being done.

    Args:
        store: store of the sweep.
        shown: what each task is in a few words, by the name of its mark without the folder.
    """

    def __init__(self, store: Store, shown: Mapping[str, str]) -> None:
        self._store = store
        self._shown = shown
        self._count = 0
        self._marks: dict[str, dict[str, Any]] = {}

    def look(self) -> None:
        """Read the marks that are new.

        Raises:
            InvalidInputError: the store does not answer.
        """
        names = sorted(self._store.names("running") & self._shown.keys())
        known = [name for name in names if name in self._marks]
        marks = {}
        for name in [*known, *(name for name in names if name not in self._marks)][:_LINES]:
            mark = self._marks.get(name) or read_record(self._store, f"running/{name}")
            if mark is not None:  # it ended meanwhile
                marks[name] = mark
        self._count, self._marks = len(names), marks

    def lines(self) -> list[str]:
        """A line for each of the first few tasks: where it runs, since when, and what it is."""
        now = time.time()
        lines = [
            f"  {mark['where']}, {max(0, now - float(mark['started'])):.0f} s: {self._shown[name]}"
            for name, mark in self._marks.items()
        ]
        more = self._count - len(self._marks)
        return [*lines, f"  and {more} more"] if more > 0 else lines


@contextmanager
def watched(store: Store, shown: Mapping[str, str]) -> Iterator[Callable[[], list[str]]]:
    """Look at the store every few seconds while the block runs.

    Args:
        store: store of the sweep.
        shown: as for ``Watch``.

    Yields:
        Function that gives the lines of now, at once.
    """
    watch, ended = Watch(store, shown), threading.Event()

    def work() -> None:
        while not ended.wait(_SECONDS):
            try:
                watch.look()
            except InvalidInputError:  # asked again; the sweep itself says what is wrong
                continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield watch.lines
    finally:
        ended.set()
