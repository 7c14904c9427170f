"""Page of ``edgequant compare``: float against every recipe, from its JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calibration_data.task import Task
from reports import box_pictures, tables
from reports.compare_figures import drops, trade
from reports.compare_lead import compared, headline, lead
from reports.mask_galleries import MaskKey, changed_masks
from reports.page import (
    Cell,
    Column,
    Facts,
    Gallery,
    Kind,
    Page,
    Prose,
    Section,
    Table,
    Thumb,
)
from reports.pictures import short_name
from reports.task_rows import (
    by_output,
    drop_head,
    expected_sentence,
    kind_of,
    loss_text,
    no_labels,
    part_words,
    title_of,
    value_text,
)
from reports.task_rows import labelled as rows_labelled

Document = dict[str, Any]
Row = dict[str, Any]

MOST_PICTURES = 240
"""Largest number of pictures on the page; with many changed answers, each recipe shows fewer."""
_CLASSES = 40
_CHANGED = "Images whose answer changed"
_PART_NOTES = {
    Task.MULTI_LABEL: "average precision",
    Task.DETECTION: "average precision of the class, mean over overlaps of 0.50:0.95",
    Task.SEGMENTATION: "intersection over union of the pixels of the class, over all images",
}
_NOTES = {
    "top-1 %": "right answers",
    "top-5 %": "right answer among the five best scores",
    "drop, points [95 %]": "float minus this row on the same images, with its interval",
    "answers changed": "against float; lost: right before, won: right now",
    "expected flips [95 %]": "changes that errors of this spread make on average; less is better, "
    "and surer than the count",
    "as float %": "images on which both give one answer, right or wrong",
    "SQNR dB": "signal to quantization noise of the outputs; more is better",
    "p50 ms": "median latency of one image",
    "p90/p99 ms": "latency that 90 and 99 percent of the runs keep",
    "size kB": "of the file",
}


def page(
    report: Document,
    pictures: Mapping[int, bytes],
    generated: str,
    data: tuple[tuple[str, str], ...] = (),
    masks: Mapping[MaskKey, bytes] | None = None,
) -> Page:
    """Page of a comparison.

    Args:
        report: document from ``reports.tables.document``.
        pictures: PNG of the images in ``shown_images``, by number; missing ones are left out.
        generated: command that made the report.
        data: name and relative path of each file beside the page.
        masks: PNG of the photos in ``shown_masks``; missing ones are left out.
    """
    sections = [
        section for part in by_output(report) for section in _of_output(part, pictures, masks or {})
    ]
    sections.append(_conditions(report))
    return Page(
        f"{report['model']}: float against quantized",
        lead(report),
        tuple(sections),
        generated,
        data,
    )


def _of_output(
    report: Document, pictures: Mapping[int, bytes], masks: Mapping[MaskKey, bytes]
) -> list[Section]:
    """Sections of one output, whose name is in their titles if there are several."""
    sections = [
        *trade(report),
        *drops(report),
        *box_pictures.curves(report),
        Section("All figures", _tables(report)),
        *(changed_masks(report, masks) if _has_masks(report) else _changed(report, pictures)),
        *_by_class(report),
        *_by_part(report),
    ]
    if "output" not in report:
        return sections
    return [replace(section, title=f"{title_of(report)}: {section.title}") for section in sections]


def _has_masks(report: Document) -> bool:
    """Whether the answers of one output are masks."""
    return kind_of(report["rows"][0]).task is Task.SEGMENTATION


def labelled(report: Document) -> bool:
    """Whether the images had labels, so that right answers are known."""
    return rows_labelled(report["rows"])


def shown_images(report: Document) -> list[int]:
    """Numbers of the images whose pictures the page shows, ascending."""
    return sorted(
        {
            flip["image"]
            for part in by_output(report)
            if not _has_masks(part)
            for row in compared(part)
            for flip in row.get("flipped", ())[: _limit(part)]
        }
    )


def _tables(report: Document) -> tuple[Table, ...]:
    """All columns of the rows: the minor metrics in a table of their own, so that each fits."""
    shown = tables.columns_of(report["rows"])
    minor = tuple(c for c in shown if c.minor and c is not tables.EXPECTED)
    major = tuple(c for c in shown if c not in minor)
    caption = f"{report['n']:,} images of {report['data']}, the same tensors for every row."
    found = (_table(report["rows"], major, caption),)
    if not minor:
        return found
    named = (*tables.NAMES, *minor)
    return (*found, _table(report["rows"], named, "More metrics of the same images."))


def _table(rows: list[Row], shown: tuple[tables.Column, ...], caption: str) -> Table:
    notes = _notes(rows[0])
    columns = tuple(
        Column(c.head, Kind.NUMBER if c.numeric else Kind.TEXT, notes.get(c.head, ""))
        for c in shown
    )
    return Table(caption, columns, tuple(tuple(_cell(c, row) for c in shown) for row in rows))


def _notes(row: Row) -> dict[str, str]:
    """Explanations of the columns by their heads."""
    kind = kind_of(row)
    if kind.task is Task.CLASSIFICATION:
        return _NOTES
    minus = "this row minus float" if kind.lower_is_better else "float minus this row"
    return {
        **_NOTES,
        **{metric.head: metric.note for metric in kind.metrics},
        drop_head(kind): f"{minus} on the same images, with its interval",
    }


def _cell(column: tables.Column, row: Row) -> Cell:
    text = column.cell(row)
    return Cell(text, math.inf if text == "inf" else None)


def _limit(report: Document) -> int:
    """Largest number of pictures per recipe with which a page keeps to MOST_PICTURES."""
    counts = [len(row.get("flipped", ())) for row in compared(report)]
    limit = max(counts, default=0)
    detects = kind_of(report["rows"][0]).task is Task.DETECTION
    most = box_pictures.MOST_PHOTOS if detects else MOST_PICTURES
    while limit > 1 and sum(min(count, limit) for count in counts) > most:
        limit -= 1
    return limit


def _changed(report: Document, pictures: Mapping[int, bytes]) -> list[Section]:
    """Section of the images whose answer changed, recipe by recipe."""
    limit = _limit(report)
    galleries = []
    detects = kind_of(report["rows"][0]).task is Task.DETECTION
    for row in compared(report):
        if detects:
            flips = [f for f in row.get("flipped", ())[:limit] if f["image"] in pictures]
            galleries += [box_pictures.gallery(row, flips, pictures)] if flips else []
            continue
        thumbs = tuple(
            _thumb(flip, pictures[flip["image"]], kind_of(row).task.decides)
            for flip in row.get("flipped", ())[:limit]
            if flip["image"] in pictures
        )
        if thumbs:
            flips = row["flips"]
            some = f"{len(thumbs)} of " if len(thumbs) < flips["changed"] else ""
            caption = f"**{row['name']}**: {some}{flips['changed']} changed"
            if "right_to_wrong" in flips:
                caption += f", {flips['right_to_wrong']} lost and {flips['wrong_to_right']} won"
            galleries.append(Gallery(caption, thumbs))
    if not galleries:
        return []
    first = headline(report)
    galleries.sort(key=lambda g: first is None or not g.caption.startswith(f"**{first['name']}**"))
    if detects:
        return [Section(_CHANGED, (box_pictures.explanation(), *galleries))]
    text = (
        "Each picture is the input of the network, with the answer of the float network and, after "
        "the arrow, that of the file. "
    )
    if labelled(report):
        text += "Lost: float was right. Won: the file is right. "
    kind = kind_of(report["rows"][0])
    text += "Images on which float was most certain come first, by " + (
        "the distance of its score from the threshold."
        if kind.task.decides
        else "the lead of its best score over its second."
    )
    return [Section(_CHANGED, (Prose(text), *galleries))]


def _thumb(flip: dict[str, Any], png: bytes, decides: bool) -> Thumb:
    answers = f"{flip['before']} \N{RIGHTWARDS ARROW} {flip['after']}"
    lead_of_best = f"{'from threshold' if decides else 'lead'} {flip['margin']:.2g}, "
    lead_of_best += short_name(flip["name"])
    if flip["label"] is None:
        return Thumb(png, answers, (lead_of_best,))
    what = "wrong both times"
    if flip["before"] == flip["label"]:
        what = "lost"
    elif flip["after"] == flip["label"]:
        what = "won"
    return Thumb(png, answers, (f"{what}; it is {flip['label']}", lead_of_best))


def _by_class(report: Document) -> list[Section]:
    """Section of the loss by class, for the row of the main result."""
    row = headline(report)
    classes = [] if row is None else [c for c in row.get("per_class", ()) if c["drop"] is not None]
    if row is None or not classes:
        return []
    classes.sort(key=lambda c: (-c["drop"], c["class"]))
    columns = (
        Column("class"),
        Column("images", Kind.NUMBER),
        Column("float top-1 %", Kind.NUMBER),
        Column("top-1 %", Kind.NUMBER),
        Column("drop, points", Kind.NUMBER),
    )
    rows = tuple(
        (
            c["label"],
            f"{c['n']:,}",
            f"{c['top1'] + c['drop']:.2f}",
            f"{c['top1']:.2f}",
            Cell(f"{c['drop']:+.2f}", c["drop"]),
        )
        for c in classes[:_CLASSES]
    )
    rest = len(classes) - len(rows)
    left = f" The {rest:,} other classes lost less; the JSON has them." if rest else ""
    caption = f"`{row['name']}`; a class has few images, so that its drop is rough.{left}"
    return [Section("By class", (Table(caption, columns, rows),))]


def _by_part(report: Document) -> list[Section]:
    """Section of the loss by label or quantity, for the row of the main result."""
    row = headline(report)
    parts = [p for p in (row or {}).get("parts", ()) if p["drop"] is not None]
    if row is None or not parts:
        return []
    kind = kind_of(row)
    parts.sort(key=lambda p: (-p["drop"], p["part"]))
    what, metric = part_words(kind)
    columns = (
        Column(what),
        Column("images", Kind.NUMBER, f"that have the {what}" if what != "value" else ""),
        Column(metric, Kind.NUMBER, _PART_NOTES.get(kind.task, kind.first.note)),
        Column("growth" if kind.lower_is_better else "drop, points", Kind.NUMBER, "against float"),
    )
    rows = tuple(
        (
            part["label"],
            f"{part['n']:,}",
            value_text(kind.first, part["value"]),
            Cell(loss_text(row, part["drop"]), part["drop"]),
        )
        for part in parts[:_CLASSES]
    )
    left = f" The {len(parts) - len(rows):,} others lost less." if len(parts) > len(rows) else ""
    caption = f"`{row['name']}`, the largest loss first.{left}"
    return [Section(f"By {what}", (Table(caption, columns, rows),))]


def _conditions(report: Document) -> Section:
    """Section of the conditions of the measurement."""
    rows, machine = report["rows"], report["machine"]
    items = [("Images", f"{report['n']:,} of {report['data']}")]
    items += [("Images", remark) for remark in report.get("remarks", ())]
    parts = by_output(report)
    without = [no_labels(kind_of(part["rows"][0])) for part in parts if not labelled(part)]
    items += [("Labels", text) for text in dict.fromkeys(without)]
    methods = [row["drop_method"] for row in rows if "drop_method" in row]
    items += [("Interval", method) for method in dict.fromkeys(methods)]
    expected = [row["expected_flips"]["method"] for row in rows if "expected_flips" in row]
    items += [("Expected flips", expected_sentence(method)) for method in dict.fromkeys(expected)]
    timed = next((row["latency_ms"] for row in rows if row["latency_ms"]), None)
    if timed is None:
        items.append(("Latency", "was not measured"))
    else:
        how = f"{timed['threads']} thread(s), {timed['pinning']}, {timed['warmup']} warm-up runs"
        items.append(("Latency", f"of one image: {how}; Keras uses TensorFlow's own threads"))
    items += [("Kernels", f"{what}: {', '.join(r)}") for what, r in tables.kernels(rows).items()]
    flags = "flags unknown"
    if machine["flags"] is not None:
        flags = ", ".join(machine["flags"]) or "no flags of interest"
    cpu = f"{machine['cpu']}, {machine['architecture']}"
    items += [
        ("Machine", f"{cpu}, {machine['usable_cores']} cores; {flags}"),
        ("Python", machine["python"]),
        ("Packages", ", ".join(f"{n} {v}" for n, v in machine["packages"].items())),
    ]
    items += [
        ("Note", f"{text}: {', '.join(names)}") for text, names in tables.remarks(rows).items()
    ]
    return Section("Conditions of the measurement", (Facts(tuple(items)),))
