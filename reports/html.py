"""Pages as self-contained HTML documents."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.atomic import write_whole
from reports.page import Cell, Column, Figure, Gallery, Kind, Page, Part, Prose, Thumb
from reports.svg import prefixed

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
_MARKS = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|\[([^\]]+)\]\(([^)\s]+)\)")
_WHOLE = re.compile(r"(?:\[[^\]]*\]|\([^)]*\)|\S)+")
_SAFE_LINK = re.compile(r"(?:#|https?://|[^:/?#]+(?:[/?#]|$))")
_NUMBER = re.compile(r"[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_SVG_WIDTH = re.compile(r'<svg\b[^>]*?\swidth="(\d+)')
_PNG_SIZE = slice(16, 24)
_CONTENTS_FROM = 3


def render(page: Page) -> str:
    """Self-contained HTML document of a page; equal pages give equal texts."""
    return _template().render(page=page, sections=_sections(page), contents=_contents(page))


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        inline=inline, blocks=list_blocks, pieces=pieces, cell=as_cell, order=order, picture=picture
    )
    environment.tests["number"] = lambda column: column.kind is Kind.NUMBER
    return environment.get_template("page.html")


def write_page(page: Page, path: Path) -> None:
    """Write the whole document of a page, or none.

    Raises:
        InvalidInputError: the folder cannot be written.
    """
    text = render(page)
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def slug(title: str) -> str:
    """Id of a section: its title in small letters, with hyphens for all but letters and digits."""
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-") or "section"


def inline(text: str) -> Markup:
    """Text as HTML: `code`, **bold** and [links](#x) are formatted, everything else is escaped.

    A link leads to a section of the page, to a file beside it or to a web page; a link with another
    scheme, such as ``javascript:``, stays text.
    """
    from markupsafe import Markup, escape

    parts: list[Markup | str] = []
    end = 0
    for found in _MARKS.finditer(text):
        parts += [escape(text[end : found.start()]), _marked(found)]
        end = found.end()
    return Markup().join([*parts, escape(text[end:])])


def _marked(found: re.Match[str]) -> Markup:
    from markupsafe import Markup, escape

    code, bold, label, target = found.groups()
    if code is not None:
        return Markup("<code>{}</code>").format(code)
    if bold is not None:
        return Markup("<strong>{}</strong>").format(inline(bold))
    if _SAFE_LINK.match(target):
        return Markup('<a href="{}">{}</a>').format(target, inline(label))
    return escape(found[0])


def pieces(text: str) -> Markup:
    """Text that breaks into lines between its words only, not within one or inside brackets."""
    from markupsafe import Markup

    found = _WHOLE.findall(text)
    whole = Markup("<span>{}</span>")
    return Markup(" ").join(whole.format(p) if re.search(r"\s|\w-", p) else p for p in found)


@dataclass(frozen=True)
class Block:
    """Paragraph (one line) or list (one line per item)."""

    is_list: bool
    lines: tuple[str, ...]


def list_blocks(prose: Prose) -> list[Block]:
    """Paragraphs and lists of a text."""
    blocks = []
    for paragraph in re.split(r"\n\s*\n", prose.text.strip()):
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines and all(line.startswith("- ") for line in lines):
            blocks.append(Block(is_list=True, lines=tuple(line[2:] for line in lines)))
        elif lines:
            blocks.append(Block(is_list=False, lines=(" ".join(lines),)))
    return blocks


def as_cell(cell: Cell | str) -> Cell:
    """Cell of a text."""
    return cell if isinstance(cell, Cell) else Cell(cell)


def order(cell: Cell, column: Column) -> str:
    """Sort key of a cell if it is not its text; empty for a missing number."""
    if cell.value is not None:
        return _number(cell.value)
    if column.kind is Kind.TEXT:
        return ""
    found = _NUMBER.match(cell.text.strip().replace("\N{MINUS SIGN}", "-"))
    return _number(float(found[0].replace(",", ""))) if found else ""


def _number(value: float) -> str:
    """Number as JavaScript reads it; empty for NaN, which cannot be sorted."""
    if math.isnan(value):
        return ""
    return repr(float(value)).replace("inf", "Infinity")


def picture(thumb: Thumb) -> dict[str, Any]:
    """Source and size in pixels of a picture."""
    size = thumb.png[_PNG_SIZE]
    return {
        "source": "data:image/png;base64," + base64.b64encode(thumb.png).decode("ascii"),
        "width": int.from_bytes(size[:4]),
        "height": int.from_bytes(size[4:]),
    }


def _contents(page: Page) -> bool:
    """Whether a page is long enough for a table of contents."""
    return len(page.sections) >= _CONTENTS_FROM


def _sections(page: Page) -> list[dict[str, Any]]:
    """Sections with unique ids, and their parts with the kind that the template draws."""
    ids: dict[str, int] = {}
    sections = []
    number = iter(range(1, 1_000_000))
    for section in page.sections:
        name = slug(section.title)
        ids[name] = ids.get(name, 0) + 1
        anchor = name if ids[name] == 1 else f"{name}-{ids[name]}"
        parts = list(_parts(section.parts, number))
        sections.append({"id": anchor, "title": section.title, "parts": parts})
    return sections


def _parts(parts: tuple[Part, ...], number: Iterator[int]) -> Iterator[dict[str, Any]]:
    """Parts of a section for the template; galleries after the first are folded."""
    from markupsafe import Markup

    first = next((part for part in parts if isinstance(part, Gallery)), None)
    for part in parts:
        kind = type(part).__name__.lower()
        place = next(number)
        drawing, width = Markup(), ""
        if isinstance(part, Figure):
            width = _natural_width(part)
            drawing = Markup(prefixed(part.svg, f"p{place}-"))  # noqa: S704 - from reports.figures
        yield {
            "kind": kind,
            "part": part,
            "number": place,
            "drawing": drawing,
            "width": width,
            "open": part is first,
        }


def _natural_width(figure: Figure) -> str:
    """Width in pixels at which the letters of a figure have the size that they were drawn in."""
    found = _SVG_WIDTH.search(figure.svg)
    return found[1] if found else "640"
