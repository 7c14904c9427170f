"""Output for the user: results on standard output, progress on standard error, nothing else.

The SDKs write to the file descriptors from C++ (start-up banners, converter dumps); that goes to a
log, so that tables stay readable and ``--json`` prints one object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from edgequant.cli.fitting import WIDTH, fitted
from edgequant.cli.streams import close_quietly, output_of, remarks_of
from foundation.foreign import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

Advance = Callable[[int], None]
Below = Callable[[], Sequence[str]]
_WIDEST = 1000


class Terminal:
    """Output of one command.

    Attributes:
        machine_readable: print one JSON object and no text.
        wide: show all columns of tables, however wide they are.
    """

    def __init__(
        self, *, machine_readable: bool, out: IO[str], err: IO[str], wide: bool = False
    ) -> None:
        self.machine_readable = machine_readable
        self.wide = wide
        self._out = out
        self._err = err
        self._noted: set[str] = set()
        self._live: Console | None = None

    @property
    def interactive(self) -> bool:
        """Whether standard error is a terminal: only there is progress shown."""
        return self._err.isatty()

    def say(self, text: str = "") -> None:
        """Print a line, unless JSON was asked for."""
        if not self.machine_readable:
            print(_shown(text), file=self._out, flush=True)

    def say_file(self, path: Path, label: str = "") -> None:
        """Print the path of a written file, with a label before it."""
        self.say(f"{label}  {path}")

    def note(self, text: str) -> None:
        """Print a line to standard error, once."""
        if text not in self._noted:
            self._noted.add(text)
            if self._live is None:
                print(_shown(text), file=self._err, flush=True)
            else:  # above the bar, which is drawn again
                self._live.print(_shown(text), markup=False, highlight=False, soft_wrap=True)

    def table(self, table: Table, details: Sequence[str] = ()) -> None:
        """Print a table, unless JSON was asked for.

        Args:
            table: the whole table; it takes 100 columns of the screen, or fewer on a narrow one,
                unless ``wide`` is set.
            details: titles of columns that may be left out for that, the least important first.
        """
        if self.machine_readable:
            return
        from rich.console import Console

        # Names of tensors come from foreign files and are not parsed as markup.
        console = Console(file=self._out, markup=False, emoji=False)
        ruler = Console(width=_WIDEST, markup=False, emoji=False)
        limit = _WIDEST if self.wide else self._columns()
        shown = fitted(table, details, limit, lambda one: ruler.measure(one).maximum)
        console.width = shown.width
        console.print(shown.table, soft_wrap=True)
        if shown.left_out:
            self.say(f" --wide shows more: {', '.join(shown.left_out)}")

    def _columns(self) -> int:
        """Columns of the screen for tables."""
        if not self._out.isatty():
            return WIDTH
        return min(WIDTH, os.get_terminal_size(self._out.fileno()).columns or WIDTH)

    def result(self, values: dict[str, Any]) -> None:
        """Print the JSON object, if it was asked for."""
        if self.machine_readable:
            print(json.dumps(values, allow_nan=False), file=self._out, flush=True)

    @contextmanager
    def progress(
        self, text: str, total: int | None, below: Below | None = None
    ) -> Iterator[Advance]:
        """Show a bar while the block runs, if standard error is a terminal.

        A MemoryError of the block gets ``text`` as a note: what was being done.

        Args:
            text: what is done.
            total: number of steps; None for unknown.
            below: gives the lines below the bar, each time that it is drawn.

        Yields:
            Function to call with the number of steps just done.
        """
        try:
            with self._bar(text, total, below) as advance:
                yield advance
        except MemoryError as error:
            error.add_note(text)
            raise

    @contextmanager
    def _bar(self, text: str, total: int | None, below: Below | None) -> Iterator[Advance]:
        if not self.interactive:
            yield lambda _: None
            return
        from rich.console import Console

        outer, console = self._live, Console(file=self._err)
        with progress_bars(console, below) as bar:
            task = bar.add_task(text, total=total)
            self._live = console
            try:
                yield lambda steps: bar.advance(task, steps)
            finally:
                self._live = outer


def progress_bars(console: Console, below: Below | None = None) -> Progress:
    """Bars of progress, which disappear at their end.

    Args:
        console: where they are drawn.
        below: gives the lines below them.
    """
    from rich.console import RenderableType
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Bars(Progress):  # type: ignore[misc] # rich's types are not read
        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            for line in below() if below is not None else ():
                yield Text(_shown(line), no_wrap=True, overflow="ellipsis")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=console, transient=True)


@contextmanager
def _log() -> Iterator[IO[bytes]]:
    """File that the SDKs write to; the null device if no temporary file can be written."""
    with ExitStack() as stack:
        log: IO[bytes]
        try:
            log = stack.enter_context(tempfile.TemporaryFile())
        except OSError:
            log = stack.enter_context(Path(os.devnull).open("wb"))
        yield log


@contextmanager
def open_terminal(*, machine_readable: bool, debug: bool, wide: bool = False) -> Iterator[Terminal]:
    """Separate the output of the SDKs from ours while the block runs.

    Args:
        machine_readable: print one JSON object and no text.
        debug: let the SDKs write to standard error.
        wide: show all columns of tables.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if debug else "3")
    sys.stdout.flush()
    sys.stderr.flush()
    descriptors = os.dup(1), os.dup(2)
    stdout, stderr = sys.stdout, sys.stderr
    # The duplicates are the same device: isatty() answers as before.
    out, err = output_of(descriptors[0], stdout), remarks_of(descriptors[1], stderr)
    try:
        with _log() as log, warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            os.dup2(2 if debug else log.fileno(), 1)
            os.dup2(2 if debug else log.fileno(), 2)
            sys.stdout, sys.stderr = err, err
            yield Terminal(machine_readable=machine_readable, out=out, err=err, wide=wide)
            out.flush()
    finally:
        err.flush()
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        sys.stdout, sys.stderr = stdout, stderr
        for descriptor in descriptors:
            os.close(descriptor)
        close_quietly(out)
        close_quietly(err)


def _shown(text: str) -> str:
    """Text without control characters, which names from foreign files may hold."""
    return "\n".join(printable(line) for line in text.split("\n"))


def terminal_of(values: dict[str, Any]) -> AbstractContextManager[Terminal]:
    """Terminal for a command; takes its options --json, --debug and --wide out of ``values``.

    A program that runs the command line itself may give one as the object of click's context.
    """
    machine_readable, debug = values.pop("as_json"), values.pop("debug")
    wide = values.pop("wide", False)
    context = click.get_current_context(silent=True)
    if context is not None and isinstance(context.obj, Terminal):
        return nullcontext(context.obj)
    return open_terminal(machine_readable=machine_readable, debug=debug, wide=wide)


def plain_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = (), right: Collection[str] = ()
) -> Any:
    """Table of rows, for ``Terminal.table``.

    Args:
        rows: values by column, one mapping per row.
        columns: columns to show; all by default.
        right: columns of formatted figures, to be aligned right as columns of numbers are.
    """
    from rich import box
    from rich.table import Table

    columns = columns or (tuple(rows[0]) if rows else ("nothing",))
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        numbers = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        justify: Literal["left", "right"] = "right" if numbers or column in right else "left"
        table.add_column(column, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(printable(row[column]) for column in columns))
    return table
