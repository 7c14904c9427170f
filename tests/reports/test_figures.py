"""Figures for pages: their colours, their ids, their bytes."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.text import Text

from reports.figures import SERIES, panels, plain, svg
from reports.naming import Named, name_points
from reports.pareto import Point, front, pareto
from reports.svg import prefixed
from tests.reports.samples import HOSTILE, bars, lines


def test_equal_drawings_are_equal_bytes() -> None:
    assert svg(lines) == svg(lines)
    assert panels(bars, 2, 2, (8, 6)) == panels(bars, 2, 2, (8, 6))


def test_no_file_format_is_left_in_it() -> None:
    text = svg(lines)
    assert text.startswith('<svg width="672" height="384" viewBox="0 0 504 288">')
    for word in ("http", "xmlns", "<?xml", "<!DOCTYPE", "metadata", "<style", "DejaVu"):
        assert word not in text
    assert not re.search(r"[ \"]-?\d+\.\d{3,}[ \"]", re.sub(r'transform="[^"]*"', "", text))


def test_colours_are_the_pages() -> None:
    text = svg(lines)
    left = set(re.findall(r"#[0-9a-f]{6}", re.sub(r"var\([^)]*\)", "", text)))
    assert not left
    for number, _ in enumerate(SERIES, 1):
        assert f"var(--series-{number}, " in text
    assert "currentColor" in text


def test_texts_are_drawn_as_they_are() -> None:
    shown = [element.text for element in ET.fromstring(svg(lines)).iter("text")]
    assert shown.count(HOSTILE) == len(SERIES) + 1


def test_figures_can_share_a_page() -> None:
    one, two = prefixed(svg(lines), "a-"), prefixed(svg(lines), "b-")
    ids = [re.findall(r'\bid="([^"]+)"', text) for text in (one, two)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for text, own in zip((one, two), ids, strict=True):
        used = re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text)
        assert {a or b for a, b in used} == set(own)


def test_names_do_not_overlap() -> None:
    points = [Named(1 + i / 50, 1 + (i % 3) / 50, f"a name {i}") for i in range(8)]
    extents = []

    def draw(axes) -> None:
        axes.set_xlim(0, 2)
        axes.set_ylim(0, 2)
        name_points(axes, points, [(1.5, 1.5)])
        axes.figure.draw_without_rendering()
        for note in axes.texts:
            box = Text.get_window_extent(note)  # an annotation's own has its line in it
            extents.append((box.y0, box.y1, box.x0, box.x1))

    assert svg(draw, (8, 5)).count('class="halo"') == len(extents) == len(points)
    for number, one in enumerate(extents):
        for other in extents[:number]:
            apart = (
                one[0] >= other[1] - 1
                or other[0] >= one[1] - 1
                or one[2] >= other[3] - 1
                or other[2] >= one[3] - 1
            )
            assert apart, (one, other)


def _point(name: str, cost: float, top1: float) -> Point:
    return Point(name, ".tflite", cost, top1, top1 - 1, top1 + 1)


def test_the_front_is_what_nothing_beats() -> None:
    points = [
        _point("best", 1, 90), _point("beaten", 2, 89), _point("dear", 3, 91),
        _point("equal", 1, 90), _point("as good, dearer", 4, 91), _point("worst", 1, 10),
    ]  # fmt: skip
    assert [p.name for p in front(points)] == ["best", "equal", "dear"]


def test_the_front_by_definition_on_random_points() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = [_point(str(i), *map(float, rng.integers(1, 9, 2))) for i in range(12)]
        chosen = front(points)
        for p in points:
            beaten = any(
                o.cost <= p.cost and o.top1 >= p.top1 and (o.cost < p.cost or o.top1 > p.top1)
                for o in points
            )
            assert (p in chosen) is not beaten


@pytest.mark.parametrize("count", [1, 12])
def test_a_pareto_plot_names_its_front(count: int) -> None:
    points = [_point(f"file {i}", 100.0 * (i + 1), 60.0 + 2 * i) for i in range(count)]
    text = pareto([("size, kB", points), ("latency, ms", points[:1])])
    shown = [element.text for element in ET.fromstring(text).iter("text")]
    for point in points:
        assert point.name in shown


def test_a_dollar_is_a_dollar() -> None:
    def draw(axes) -> None:
        axes.set_title(plain("$a$ and $"))

    assert "$a$ and $" in svg(draw)
