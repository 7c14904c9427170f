"""Kills a child process before each call that changes a folder; for scripts that tests run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any


def kill_before_each(names: Sequence[str], prepare: Callable[[int], Callable[[], object]]) -> int:
    """Run an action until it ends by itself, each time killed before a later call.

    Args:
        names: functions of ``os`` that count as calls.
        prepare: takes the number of the run, from 0, and gives its action.

    Returns:
        How many calls the whole action makes: runs 0 to that number less 1 were killed.
    """
    stop, status = 0, -1
    while status:
        action = prepare(stop)
        child = os.fork()
        if child == 0:
            left = [stop]
            for name in names:
                setattr(os, name, _counted(getattr(os, name), left))
            action()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), status
        stop += 1
    return stop - 1


def _counted(original: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return original(*arguments, **named)

    return call
