"""Pages to test with: every kind of part, texts that try to break out, and real documents."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from reports import compare_page
from reports.figures import SERIES, panels, plain, svg
from reports.page import (
    Cell,
    Column,
    Facts,
    Figure,
    Gallery,
    Kind,
    Page,
    Prose,
    Section,
    Table,
    Thumb,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

HOSTILE = (
    """<script>alert("x")</script><img src=x onerror='alert(1)'> & $\\frac$ {{ 7 * 7 }} --> ]]>"""
)
_RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"


def picture(seed: int, side: int = 28) -> bytes:
    """A small PNG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def lines(axes: Axes) -> None:
    """A line a series, with a legend."""
    for number, color in enumerate(SERIES):
        axes.plot([1, 2, 3], [number, number + 1, number], "o-", color=color, label=plain(HOSTILE))
    axes.set_xlabel(plain(HOSTILE))
    axes.legend()


def bars(axes: Sequence[Axes]) -> None:
    """Bars in each pair of axes."""
    for number, one in enumerate(axes):
        one.bar([0, 1, 2], [1, 2 + number, 3])
        one.set_title(f"panel {number}")


def figure(caption: str = "A figure.") -> Figure:
    """A figure with clip paths, marks and a legend."""
    return Figure(caption, f"alternative {HOSTILE}", svg(lines, (6, 3)))


def sortable() -> Table:
    """Numbers whose order is not that of their texts, with one missing."""
    columns = (
        Column("name", note=HOSTILE),
        Column("size kB", Kind.NUMBER),
        Column("score", Kind.NUMBER),
    )
    rows = (
        ("beta 10", Cell("1,000", 1000), "+0.5 [0.1, 0.9]"),
        ("beta 9", Cell("90.5", 90.5), "inf"),
        ("alpha", "-", "-1.25 [-2.0, -0.5]"),
        ("Gamma", Cell("7", 7), Cell("7e-3 of 1")),
        (HOSTILE, Cell("12", 12), "n/a"),
    )
    return Table("A **table** to `sort`.", columns, rows)


def wide() -> Table:
    """More columns than a phone has room for."""
    columns = tuple(Column(f"column {i} of many", Kind.NUMBER) for i in range(20))
    return Table("Wide.", columns, tuple(tuple(f"{i * j:,}" for i in range(20)) for j in range(4)))


def everything() -> Page:
    """A page with every kind of part."""
    prose = Prose(
        f"One `code`, **bold `code`** and [a link](#tables).\n\n- {HOSTILE}\n- two\n\n"
        "[no](javascript:alert(1)) [no](data:text/html,x) [web](https://example.org/a?b=c&d)"
    )
    thumbs = tuple(Thumb(picture(i), f"{i} {HOSTILE}", ("float: a", HOSTILE)) for i in range(3))
    facts = Facts((("n", "1,000"), (HOSTILE, HOSTILE), ("sha256", "0123456789abcdef" * 8)))
    return Page(
        title=f"Everything {HOSTILE}",
        lead=f"The **finding** {HOSTILE}",
        sections=(
            Section("Words", (prose,)),
            Section("Tables", (sortable(), wide())),
            Section("Figures", (figure(), figure(), Figure("p", "p", panels(bars, 1, 2, (9, 3))))),
            Section("Pictures", (Gallery("first", thumbs), Gallery("second", thumbs[:1]))),
            Section(HOSTILE, (facts,)),
            Section("Words", (Prose("A title that was there."),)),
        ),
        generated=f"edgequant {HOSTILE}",
        data=(("JSON", f"a b{HOSTILE}.json"), ("CSV", "x.csv")),
    )


def compared() -> dict[str, Any]:
    """The committed comparison of the shipped network, with some changed answers."""
    path = _RESULTS / "mobilenet_v2_small-compare.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for row in report["rows"]:
        if "drop" in row:
            count = min(row["flips"]["changed"], 40)
            row["flipped"] = [_flip(number) for number in range(count)]
    return report


def unlabelled() -> dict[str, Any]:
    """The same comparison, had its images no labels."""
    report = compared()
    report["remarks"] = ["3 of 9 images were CMYK, converted to RGB by Pillow"]
    drops = [key for key in report["rows"][-1] if key.startswith("drop")]
    for row in report["rows"]:
        row |= {"top1": None, "top1_interval": None, "top5": None, "per_class": []}
        for key in (*drops, "mcnemar_p"):
            row.pop(key, None)
        if "flips" in row:
            row["flips"] = {"changed": row["flips"]["changed"]}
            row["flipped"] = [{**flip, "label": None} for flip in row["flipped"]]
    return report


def far() -> Page:
    """The same comparison with a large and slow file that is far from float: wide figures."""
    report = compared()
    row = report["rows"][-1]
    row |= {"name": "onnx-int8-per-tensor", "runtime": "litert-reference", "flipped": []}
    row |= {"drop": 12.34, "drop_interval": [11.50, 13.17], "size_bytes": 114_012_000}
    row["flips"] = {"changed": 2345, "right_to_wrong": 1456, "wrong_to_right": 234}
    row["expected_flips"] |= {"count": 2345.6, "interval": [2300.1, 2390.2]}
    row["latency_ms"] |= {"p50": 123.45, "p90": 123.99, "p99": 145.67}
    return compare_page.page(report, {}, "edgequant compare")


def _flip(number: int) -> dict[str, Any]:
    after = ("shirt", "coat", HOSTILE)[number % 3]
    return {
        "image": number,
        "name": f"/home/somebody/photos/image {number}.png",
        "label": ("shirt", "bag", "coat")[number % 3],
        "before": "bag",
        "after": after,
        "margin": 1 / (1 + number),
    }


def comparison() -> Page:
    """The page of ``compared``."""
    report = compared()
    pictures = {number: picture(number) for number in compare_page.shown_images(report)}
    return compare_page.page(report, pictures, "edgequant compare", (("JSON", "a.json"),))
