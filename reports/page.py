"""A page as plain values: sections of tables, figures, prose, pictures and facts.

``reports.html`` makes one HTML document of it. Nothing here knows HTML, and nothing needs to be
escaped by who fills it: every text may hold any character.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column holds, which decides how it is aligned and sorted."""

    TEXT = "text"
    NUMBER = "number"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: with the unit.
        kind: numbers stand to the right and sort as numbers.
        note: what the column means, shown when the title is pointed at.
    """

    title: str
    kind: Kind = Kind.TEXT
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what is shown.
        value: what is sorted by. None: the text, in a column of numbers the number it begins
            with; cells without one stand last.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table that readers can sort; wide ones scroll inside themselves.

    Attributes:
        caption: one sentence; see ``Prose`` for what may be marked in it.
        columns: at least one; the first names the row.
        rows: each with a cell a column; a text is a Cell without a value.

    Raises:
        ValueError: a row that is longer or shorter than the columns.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row has a cell for each of the {len(self.columns)} columns: {row}"
                )


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        caption: what is drawn, and on what it rests; marked as in ``Prose``.
        alt: what the figure says, for those who cannot see it.
        svg: of ``reports.figures``; it goes into the page as it is.
    """

    caption: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Prose:
    """Paragraphs.

    Attributes:
        text: paragraphs with blank lines between them; one whose lines all begin with ``- `` is a
            list. `code`, **bold** and [links](#section) are marked so; the id of a section is its
            title in small letters with hyphens.
    """

    text: str


@dataclass(frozen=True)
class Thumb:
    """A small picture.

    Attributes:
        png: the file's bytes.
        label: what it is.
        lines: what is said of it.
    """

    png: bytes
    label: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side.

    Attributes:
        caption: what they have in common; marked as in ``Prose``.
        items: in the order that is shown.
    """

    caption: str
    items: tuple[Thumb, ...]


@dataclass(frozen=True)
class Facts:
    """What results rest on: n, runtime, versions, machine, command.

    Attributes:
        items: name and value.
    """

    items: tuple[tuple[str, str], ...]


Part = Table | Figure | Prose | Gallery | Facts


@dataclass(frozen=True)
class Section:
    """A heading with what belongs to it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: of the document.
        lead: the most important finding, in a sentence or two; marked as in ``Prose``.
        sections: in reading order.
        generated: the command that made it.
        data: name and relative file of the JSON and CSV beside the page.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    generated: str
    data: tuple[tuple[str, str], ...] = ()
