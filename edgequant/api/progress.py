"""Progress of a call: a bar in a terminal or a notebook, or a function of the program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from edgequant.api.worker import Listen


@dataclass(frozen=True)
class Progress:
    """State of the running step of a call.

    Attributes:
        step: what is being done, such as ``tflite-int8``.
        done: number of images, or other units, that are done.
        total: number of all of them; None if unknown.
    """

    step: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None] | Literal[False] | None
"""A function that takes each state; None for a bar where one can be shown; False for nothing."""


@contextmanager
def listening(progress: OnProgress) -> Iterator[Listen]:
    """Function for the events of a process, while the block runs.

    Args:
        progress: see ``OnProgress``.
    """
    if progress is None and _can_show():
        with _bars() as listen:
            yield listen
    elif callable(progress):
        yield _teller(progress)
    else:
        yield lambda _: None


def _can_show() -> bool:
    """Whether a bar would be seen and not written into a log: a terminal, or a notebook.

    In a notebook it is drawn with ipywidgets.
    """
    if "ipykernel" in sys.modules:
        return find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


def _teller(tell: Callable[[Progress], None]) -> Listen:
    state: Progress | None = None

    def listen(event: dict[str, Any]) -> None:
        nonlocal state
        if "begin" in event:
            state = Progress(event["begin"], 0, event["total"])
        elif "steps" in event and state is not None:
            state = Progress(state.step, state.done + event["steps"], state.total)
        else:
            return
        tell(state)

    return listen


@contextmanager
def _bars() -> Iterator[Listen]:
    """Bars of the library that draws those of the command line; it knows notebooks."""
    from rich.console import Console

    from edgequant.cli.terminal import progress_bars

    with progress_bars(Console(stderr=True)) as bars:
        task = None

        def listen(event: dict[str, Any]) -> None:
            nonlocal task
            if task is not None and "steps" not in event:
                bars.remove_task(task)
                task = None
            if "begin" in event:
                task = bars.add_task(event["begin"], total=event["total"])
            elif "steps" in event and task is not None:
                bars.advance(task, event["steps"])

        yield listen
