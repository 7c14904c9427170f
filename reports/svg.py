"""Conversion of matplotlib's SVG files to elements of an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

HALO = "halo"
"""Id (``set_gid``) of texts that get a rim of the page's colour, to be readable on lines."""

_REFERENCE = re.compile(r"(url\(#|^#)([^)\s]+)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_MEASURES = {"cx", "cy", "d", "height", "points", "r", "width", "x", "x1", "x2", "y", "y1", "y2"}
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_POINTS_TO_PIXELS = 4 / 3


def clean(text: str, colors: Mapping[str, str]) -> str:
    """Figure of a file as an element of a page.

    Removed are the prologue, namespaces, metadata and the style sheet, which would apply to the
    whole page, and ids without a reference; other ids become short, and HALO becomes a class.
    Lengths are rounded to hundredths of a point, and the font is the page's.

    Args:
        text: content of the file.
        colors: replacement of each colour, such as ``#1b1d20`` -> ``currentColor``.

    Returns:
        An ``<svg>`` element.
    """
    root = ET.fromstring(text)  # noqa: S314 - matplotlib has just written it
    for element in root.iter():
        element.tag = _local(element.tag)
        for name in list(element.attrib):
            value = element.attrib.pop(name)
            element.set(_local(name), value)
    for parent in root.iter():
        for child in [c for c in parent if c.tag in {"metadata", "style"}]:
            parent.remove(child)
    _shorten_ids(root)
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _value(name, value, colors))
        element.tail = None  # matplotlib breaks lines between all elements, texts are in leaves
        if len(element):
            element.text = None
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    root.set("width", f"{width * _POINTS_TO_PIXELS:.0f}")
    root.set("height", f"{height * _POINTS_TO_PIXELS:.0f}")
    root.attrib.pop("version", None)
    return ET.tostring(root, encoding="unicode")


def prefixed(svg: str, prefix: str) -> str:
    """Figure whose ids and references begin with a prefix, so that figures can share a page."""
    root = ET.fromstring(svg)  # noqa: S314 - from clean
    for element, name, value in _attributes(root):
        if name == "id":
            element.set(name, prefix + value)
        elif name != "aria-label":
            element.set(name, _REFERENCE.sub(rf"\g<1>{prefix}\g<2>", value))
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """Name without its namespace, which HTML adds to all elements of an SVG."""
    return name.rpartition("}")[2]


def _attributes(root: ET.Element) -> Iterator[tuple[ET.Element, str, str]]:
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            yield element, name, value


def _shorten_ids(root: ET.Element) -> None:
    used = {
        found[1]
        for _, name, value in _attributes(root)
        if name != "id"
        for found in _REFERENCE.findall(value)
    }
    short: dict[str, str] = {}
    for element, name, value in _attributes(root):
        if name == "id":
            del element.attrib[name]
            if value in used:
                element.set(name, short.setdefault(value, f"a{len(short)}"))
            elif value == HALO:
                element.set("class", HALO)
    for element, name, value in _attributes(root):
        if name != "id":
            element.set(name, _REFERENCE.sub(lambda m: m[1] + short.get(m[2], m[2]), value))


def _value(name: str, value: str, colors: Mapping[str, str]) -> str:
    if name in _MEASURES:
        value = " ".join(_LONG_NUMBER.sub(lambda m: f"{float(m[0]):.2f}", value).split())
    if name == "style":
        value = _FONT_FAMILY.sub("", value)
    if name in {"style", "fill", "stroke"}:
        for color, replacement in colors.items():
            value = value.replace(color, replacement)
    return value
