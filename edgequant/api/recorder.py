"""Terminal whose output is collected for a Python program instead of printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequant.cli.terminal import Advance, Below, Terminal

if TYPE_CHECKING:
    from rich.table import Table

Tell = Callable[[dict[str, Any]], None]


class Recorder(Terminal):
    """Collects what a command prints; progress is told at once.

    Args:
        tell: takes an event: ``{"begin": text, "total": n or None}``, then ``{"steps": n}``.
        call: the Python call, for pages that name the command that wrote them.

    Attributes:
        call: that call.
        values: the JSON object of the command.
        tables: tables as plain values: ``head``, ``rows`` and ``right`` (columns of numbers).
        remarks: lines for standard error.
        lines: lines for standard output.
        files: paths of written files that the command names.
    """

    def __init__(self, tell: Tell, call: str) -> None:
        nowhere = StringIO()  # nothing is printed
        super().__init__(machine_readable=False, out=nowhere, err=nowhere)
        self._tell = tell
        self.call = call
        self.values: dict[str, Any] = {}
        self.tables: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.lines: list[str] = []
        self.files: list[str] = []

    def say(self, text: str = "") -> None:
        """Collect a line."""
        if text:
            self.lines.append(text)

    def say_file(self, path: Path, label: str = "") -> None:  # noqa: ARG002
        """Collect a path."""
        self.files.append(str(path.absolute()))

    def note(self, text: str) -> None:
        """Collect a remark, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def table(self, table: Table, details: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Collect the texts of a whole table."""
        columns = [[str(cell) for cell in column.cells] for column in table.columns]
        self.tables.append(
            {
                "head": [str(column.header) for column in table.columns],
                "rows": [list(row) for row in zip(*columns, strict=True)],
                "right": [column.justify == "right" for column in table.columns],
            }
        )

    def result(self, values: dict[str, Any]) -> None:
        """Keep the JSON object."""
        self.values = values

    @contextmanager
    def _bar(
        self,
        text: str,
        total: int | None,
        below: Below | None,  # noqa: ARG002 - a bar of the user's program has no lines below it
    ) -> Iterator[Advance]:
        self._tell({"begin": text, "total": total})
        yield lambda steps: self._tell({"steps": int(steps)})
        self._tell({"end": True})
