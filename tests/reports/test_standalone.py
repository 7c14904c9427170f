"""Figures as files of their own: colours of one theme, no variable, readable without a page."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from reports.figures import INK, MUTED, RULE, SERIES, svg
from reports.standalone import Theme, palette, standalone


@pytest.fixture(scope="module")
def drawing() -> str:
    return svg(lambda axes: axes.plot([0, 1], [0, 1], label="one"), (3, 2))


def test_the_light_palette_is_that_of_the_figures() -> None:
    light = palette(Theme.LIGHT)
    assert (light["ink"], light["muted"], light["rule"]) == (INK, MUTED, RULE)
    assert tuple(light[f"series-{number}"] for number in range(1, 9)) == SERIES


@pytest.mark.parametrize("theme", list(Theme))
def test_a_file_has_the_colours_of_its_theme_and_no_variable(drawing: str, theme: Theme) -> None:
    text = standalone(drawing, theme, "a < b")
    assert "var(" not in text
    assert "currentColor" not in text
    colors = palette(theme)
    assert colors["series-1"] in text
    assert colors["ink"] in text
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    title, ground = root[0], root[1]
    assert title.text == "a < b"
    assert ground.get("fill") == colors["paper"]


def test_the_themes_differ_in_colours_alone(drawing: str) -> None:
    light, dark = (standalone(drawing, theme, "t") for theme in Theme)
    pairs = dict(zip(palette(Theme.LIGHT).values(), palette(Theme.DARK).values(), strict=True))
    for before, after in pairs.items():
        light = light.replace(f"{before}", f"@{after[1:]}")
    assert light.replace("@", "#") == dark
