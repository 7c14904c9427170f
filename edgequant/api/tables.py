"""Tables of results as text and as HTML, for a shell and for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_MOST_ROWS = 30
"""Rows of a table in a notebook, above which it scrolls."""

_SMALL = '<div style="font-size: 85%; max-width: 75em">{}</div>'


@dataclass(frozen=True)
class Table:
    """A table as the command line prints it.

    Attributes:
        head: titles of the columns.
        rows: texts of the cells.
        right: whether a column is aligned right.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Table:
        """Table of the plain values of a recorder."""
        rows = tuple(tuple(row) for row in values["rows"])
        return cls(tuple(values["head"]), rows, tuple(values["right"]))

    def text(self) -> str:
        """Lines with aligned columns."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [self._line(row, widths) for row in (self.head, *self.rows)]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def html(self) -> str:
        """HTML of the table alone, in a box that scrolls; colours are those of the notebook.

        Columns without a value in any row, such as a latency that was not measured, are left out.
        """
        shown = [i for i, _ in enumerate(self.head) if any(row[i] != "-" for row in self.rows)]
        head = "".join(self._cell("th", i, self.head[i]) for i in shown)
        rows = (
            "<tr>" + "".join(self._cell("td", i, row[i]) for i in shown) + "</tr>"
            for row in self.rows
        )
        height = "; max-height: 32em" if len(self.rows) > _MOST_ROWS else ""
        return (
            f'<div style="overflow: auto{height}"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, self.right, strict=True)
        )
        return "  ".join(cells).rstrip()

    def _cell(self, tag: str, column: int, text: str) -> str:
        align = "right" if self.right[column] else "left"
        return f'<{tag} style="text-align: {align}; white-space: nowrap">{escape(text)}</{tag}>'


def text_of(tables: Sequence[Table], lines: Sequence[str], remarks: Sequence[str]) -> str:
    """Tables, lines and remarks below each other."""
    notes = [f"note: {remark}" for remark in remarks]
    return "\n\n".join(
        part for part in (*(t.text() for t in tables), "\n".join([*lines, *notes])) if part
    )


def html_of(tables: Sequence[Table], lines: Sequence[str], remarks: Sequence[str]) -> str:
    """The same as HTML for a notebook."""
    small = [*lines, *(f"note: {remark}" for remark in remarks)]
    below = "".join(f"<div>{escape(line)}</div>" for line in small)
    parts = (*(table.html() for table in tables), _SMALL.format(below) if below else "")
    return f"<div>{''.join(parts)}</div>"
