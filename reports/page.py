"""Pages as plain values: sections of tables, figures, prose, pictures and facts.

``reports.html`` turns a page into one HTML document. Nothing here depends on HTML, and callers
escape nothing: every text may hold any character.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Kind of a column's values, which decides how they are aligned and sorted."""

    TEXT = "text"
    NUMBER = "number"


@dataclass(frozen=True)
class Column:
    """Column of a table.

    Attributes:
        title: title with the unit.
        kind: kind of the values; numbers are aligned right and sorted as numbers.
        note: meaning of the column, shown when the pointer is on the title.
    """

    title: str
    kind: Kind = Kind.TEXT
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: text that is shown.
        value: sort key. None for the text, or in a column of numbers the number that it begins
            with; cells without a number come last.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Table that readers can sort; a wide one scrolls inside its frame.

    Attributes:
        caption: one sentence, with the markup of ``Prose``.
        columns: at least one column; the first names the row.
        rows: rows with one cell per column; a text is a Cell without a value.
        sentences: whether the last cell of a row is a sentence: a phone shows it below the others.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    sentences: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row has a cell for each of the {len(self.columns)} columns: {row}"
                )


@dataclass(frozen=True)
class Figure:
    """Drawing.

    Attributes:
        caption: description with the conditions of the data, with the markup of ``Prose``.
        alt: content of the figure in words, for screen readers.
        svg: element from ``reports.figures``, which goes into the page as it is.
    """

    caption: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Prose:
    """Paragraphs.

    Attributes:
        text: paragraphs with blank lines between them; a paragraph whose lines all begin with
            ``- `` is a list. Markup: `code`, **bold** and [links](#section); the id of a section
            is its title in small letters with hyphens.
    """

    text: str


@dataclass(frozen=True)
class Thumb:
    """Small picture.

    Attributes:
        png: bytes of the file.
        label: title of the picture.
        lines: lines below the title.
        wide: whether it is as wide as the page allows, with a row of its own.
    """

    png: bytes
    label: str
    lines: tuple[str, ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side.

    Attributes:
        caption: common property of the pictures, with the markup of ``Prose``.
        items: pictures in the order in which they are shown.
        wide: whether pictures are large, with their text below.
    """

    caption: str
    items: tuple[Thumb, ...]
    wide: bool = False


@dataclass(frozen=True)
class Facts:
    """Conditions of results: n, runtime, versions, machine, command.

    Attributes:
        items: name and value.
    """

    items: tuple[tuple[str, str], ...]


Part = Table | Figure | Prose | Gallery | Facts


@dataclass(frozen=True)
class Section:
    """Heading with its parts."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Page:
    """Page.

    Attributes:
        title: title of the document.
        lead: main result in one or two sentences, with the markup of ``Prose``.
        sections: sections in reading order.
        generated: command that made the page.
        data: name and relative path of the JSON and CSV beside the page.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    generated: str
    data: tuple[tuple[str, str], ...] = ()
