"""Tables of a width that a terminal has: details are left out first, then texts take more lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Column, Table

WIDTH = 100
"""Columns of the screen that a table takes at most, unless --wide is given."""

_NARROWEST_TEXT = 12
"""Columns that a text keeps when it takes several lines."""

Measure = Callable[["Table"], int]


@dataclass(frozen=True)
class Fitted:
    """A table and the width that it is drawn in.

    Attributes:
        table: the table, perhaps with fewer columns.
        width: columns of the screen.
        left_out: titles of the columns that were left out.
    """

    table: Table
    width: int
    left_out: tuple[str, ...] = ()


def fitted(table: Table, details: Sequence[str], width: int, measure: Measure) -> Fitted:
    """Table that fits; figures are never cut, so that one of many figures alone may be wider.

    Args:
        table: table with ``no_wrap`` columns.
        details: titles of columns that may be left out, the least important one first.
        width: columns of the screen.
        measure: width that a table needs.
    """
    if measure(table) <= width:
        return Fitted(table, measure(table))
    titles = {str(column.header) for column in table.columns}
    left_out: list[str] = []
    for title in (None, *(title for title in details if title in titles)):
        left_out += [] if title is None else [title]
        shown = _part(table, left_out)
        if (needed := measure(shown)) <= width:
            return Fitted(shown, needed, tuple(left_out))
    texts = [column for column in shown.columns if column.justify == "left"]
    folded = [column for column in texts if column is not shown.columns[0]]  # names stay whole
    if needed - _savings(folded) > width:
        folded = texts
    names = {str(column.header) for column in folded}
    least = max(width, needed - _savings(folded))
    return Fitted(_part(shown, (), names), least, tuple(left_out))


def _savings(columns: Sequence[Column]) -> int:
    """Columns of the screen that are saved when these texts take several lines."""
    longest = (max(len(str(c)) for c in (column.header, *column.cells)) for column in columns)
    return sum(max(0, length - _NARROWEST_TEXT) for length in longest)


def _part(table: Table, left_out: Collection[str], folded: Collection[str] = ()) -> Table:
    """Copy of a table without some columns, and with less space between them.

    Args:
        table: the whole table.
        left_out: titles of the columns that the copy does not have.
        folded: titles of the columns whose texts may take several lines.
    """
    from rich.table import Table

    part = Table(
        box=table.box,
        title=table.title,
        title_justify=table.title_justify,
        collapse_padding=True,
        pad_edge=False,
    )
    columns = [column for column in table.columns if str(column.header) not in left_out]
    for column in columns:
        may_fold = str(column.header) in folded
        part.add_column(
            column.header,
            justify=column.justify,
            no_wrap=not may_fold,
            overflow="fold" if may_fold else column.overflow,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        part.add_row(*row)
    return part
