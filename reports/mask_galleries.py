"""Section of the photos whose mask changed, on the page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from calibration_data.task import Task
from reports.compare_lead import compared, headline
from reports.page import Gallery, Prose, Section, Thumb
from reports.task_rows import by_output, kind_of

Document = dict[str, Any]
Row = dict[str, Any]
MaskKey = tuple[str, str, int]
"""Output (empty for the only one), name of a row, and number of a photo."""

MOST_SHOWN = 48
"""Largest number of photos on a page; with many files, each shows fewer."""
_MOST_OF_ROW = 12


def shown_masks(report: Document) -> list[MaskKey]:
    """Photos whose masks the page shows, file by file, the most changed first."""
    return [
        (part.get("output", ""), row["name"], flip["image"])
        for part in by_output(report)
        if kind_of(part["rows"][0]).task is Task.SEGMENTATION
        for row in compared(part)
        for flip in _shown(part, row)
    ]


def changed_masks(report: Document, pictures: Mapping[MaskKey, bytes]) -> list[Section]:
    """Section of one output.

    Args:
        report: report of the output.
        pictures: PNG of the photos in ``shown_masks``; missing ones are left out.
    """
    galleries = []
    for row in compared(report):
        key = (report.get("output", ""), row["name"])
        thumbs = tuple(
            Thumb(pictures[*key, flip["image"]], _share(flip), _lines(flip), wide=True)
            for flip in _shown(report, row)
            if (*key, flip["image"]) in pictures
        )
        if thumbs:
            some = f"{len(thumbs)} of " if len(thumbs) < row["flips"]["changed"] else ""
            caption = f"**{row['name']}**: {some}{row['flips']['changed']} photos with changed "
            caption += f"pixels, {row['metrics']['pixels_changed']:.2f} % of the pixels of all"
            galleries.append(Gallery(caption, thumbs))
    if not galleries:
        return []
    text = (
        "From left to right: the photo with the mask of the float network, with that of the file, "
        "and in red the pixels that differ. Photos with the largest share of changed pixels come "
        "first."
    )
    first = headline(report)
    galleries.sort(key=lambda g: first is None or not g.caption.startswith(f"**{first['name']}**"))
    return [Section("Photos whose mask changed", (Prose(text), *galleries))]


def _shown(report: Document, row: Row) -> list[dict[str, Any]]:
    """Changed photos of a row that a page shows."""
    most = max(MOST_SHOWN // max(len(compared(report)), 1), 1)
    flips: list[dict[str, Any]] = list(row.get("flipped", ()))
    return flips[: min(most, _MOST_OF_ROW)]


def _share(flip: dict[str, Any]) -> str:
    return f"{flip['margin']:.2f} % of the pixels changed"


def _lines(flip: dict[str, Any]) -> tuple[str, ...]:
    most = f"most of them {flip['before']} \N{RIGHTWARDS ARROW} {flip['after']}"
    return most, "/".join(PurePath(flip["name"]).parts[-2:])
