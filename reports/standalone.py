"""Figures of pages as SVG files of their own, in the colours of one theme."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as ET

from reports.svg import HALO

_STYLE = Path(__file__).parent / "templates" / "page.css"
_SETS = re.compile(r"\{% set (\w+) %\}(.*?)\{% endset %\}", re.DOTALL)
_COLOR = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
_VARIABLE = re.compile(r"var\(--([\w-]+), #[0-9a-f]{6}\)")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"


class Theme(StrEnum):
    """Colours of a page, by the reader's choice or that of the system."""

    LIGHT = "light"
    DARK = "dark"


def standalone(svg: str, theme: Theme, title: str) -> str:
    """File of a figure that shows it on any page, without a style sheet.

    Args:
        svg: element drawn by ``reports.figures``, whose colours are variables of the page.
        theme: theme whose colours replace them.
        title: text for readers who do not see the figure.

    Returns:
        The text of an SVG file.
    """
    colors = palette(theme)
    drawing = _VARIABLE.sub(lambda match: colors[match[1]], svg)
    root = ET.fromstring(drawing.replace("currentColor", colors["ink"]))  # noqa: S314 - ours
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("font-family", _FONT)
    root.set("role", "img")
    for element in root.iter():
        if element.attrib.pop("class", "") == HALO:  # what the page's style sheet gives it
            rim = f"stroke:{colors['paper']};stroke-width:3;paint-order:stroke"
            for text in element.iter("text"):
                text.set("style", f"{text.get('style', '')};{rim}")
    name = ET.Element("title")
    name.text = title
    root.insert(0, name)
    ground = ET.Element("rect", {"width": "100%", "height": "100%", "fill": colors["paper"]})
    root.insert(1, ground)
    return ET.tostring(root, encoding="unicode") + "\n"


def palette(theme: Theme) -> dict[str, str]:
    """Colours of a theme by the names of the page's variables."""
    sets = dict(_SETS.findall(_STYLE.read_text(encoding="utf-8")))
    return dict(_COLOR.findall(sets[theme]))
