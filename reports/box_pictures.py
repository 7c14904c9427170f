"""Photos with the boxes of a float network and of a file, and their curves, for pages."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.figures import plain, svg
from reports.page import Figure, Gallery, Prose, Section, Thumb
from reports.pictures import png_of_few_colours, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = dict[str, Any]
Row = dict[str, Any]

SIDE = 400
"""Largest length of the longer side of a photo in pixels."""
MOST_PHOTOS = 36
"""Largest number of photos on a page."""
_FLOAT, _FILE = (0, 114, 178), (230, 97, 0)
"""Colours of boxes, which colour-blind readers tell apart."""


def boxed(png: bytes, flip: Mapping[str, Any]) -> bytes:
    """Photo as PNG with wide blue boxes of float below narrow orange ones of the file.

    Args:
        png: the photo, scaled down or not.
        flip: ``evaluation.detected.ChangedBoxes`` as plain values.
    """
    from PIL import Image, ImageDraw

    image = Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGB")
    scale = image.height / flip["size"][0]
    draw = ImageDraw.Draw(image)
    for found, colour, width in ((flip["before"], _FLOAT, 4), (flip["after"], _FILE, 2)):
        for one in found:
            top, left, bottom, right = (round(edge * scale) for edge in one["box"])
            corners = (left, top, max(left, right - 1), max(top, bottom - 1))
            draw.rectangle(corners, outline=colour, width=width)
    return png_of_few_colours(image)


def gallery(row: Row, flips: list[dict[str, Any]], pictures: Mapping[int, bytes]) -> Gallery:
    """Photos of one file, the most changed first.

    Args:
        row: row of the file.
        flips: its changed photos that are shown.
        pictures: PNG of each photo by number.
    """
    thumbs = tuple(
        Thumb(
            boxed(pictures[flip["image"]], flip),
            f"{flip['lost']} lost, {flip['gained']} gained",
            (_listed(flip), short_name(flip["name"])),
        )
        for flip in flips
    )
    changed = row["flips"]["changed"]
    some = f"{len(thumbs)} of " if len(thumbs) < changed else ""
    counts = row["metrics"]
    caption = (
        f"**{row['name']}**: photos that changed: {some}{changed}; detections on all photos: "
        f"{counts['lost']:.0f} lost, {counts['gained']:.0f} gained"
    )
    return Gallery(caption, thumbs, wide=True)


def explanation() -> Prose:
    """What the colours and the order of the photos mean."""
    return Prose(
        "Blue, wide: detections of the float network. Orange, narrow: those of the file, both from "
        "the contract's score threshold on. A detection is lost or gained where the other network "
        "has none of its class that overlaps it by half. Photos with the most of them come first."
    )


def curves(report: Document) -> list[Section]:
    """Figure of precision over recall of each row, at an overlap of 0.5."""
    rows = [row for row in report["rows"] if row.get("curve")]
    if not rows:
        return []

    def draw(axes: Axes) -> None:
        for row in rows:
            values = row["curve"]
            recalls = [100 * place / (len(values) - 1) for place in range(len(values))]
            dashed = "--" if row["size_bytes"] is None else "-"
            axes.plot(recalls, [100 * v for v in values], dashed, label=plain(row["name"]))
        axes.set_xlabel("recall, %")
        axes.set_ylabel("precision, %")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.legend(loc="upper right", fontsize="small")

    middle = {row["name"]: 100 * row["curve"][len(row["curve"]) // 2] for row in rows}
    alt = " ".join(
        f"{name}: precision {value:.1f} % at recall 50 %." for name, value in middle.items()
    )
    caption = (
        "Precision at each recall or above, mean over the classes, of detections that overlap a "
        "true box by half. The area below a line is AP50. Float is broken."
    )
    return [Section("Precision and recall", (Figure(caption, alt, svg(draw, (7.0, 4.2))),))]


def _listed(flip: Mapping[str, Any]) -> str:
    """Classes of the detections of both, counted."""
    parts = []
    for what, found in (("float", flip["before"]), ("file", flip["after"])):
        counts: dict[str, int] = {}
        for one in found:
            counts[one["class"]] = counts.get(one["class"], 0) + 1
        listed = ", ".join(f"{n} {name}" if n > 1 else name for name, n in counts.items())
        parts.append(f"{what}: {listed or 'none'}")
    return "; ".join(parts)
