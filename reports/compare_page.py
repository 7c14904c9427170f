"""Page of ``edgequant compare``: float against every recipe, from its JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from reports import tables
from reports.figures import INK, plain, svg
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
from reports.pareto import FORMATS, OTHER_FORMAT, Point, front, pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = dict[str, Any]
Row = dict[str, Any]

MOST_PICTURES = 240
"""Largest number of pictures on the page; with many changed answers, each recipe shows fewer."""
_HEADLINE = ("tflite-int8", "onnx-int8")
_CLASSES = 40
_DRAWN = {True: ("Accuracy", "top-1, %"), False: ("Likeness to float", "answers as float, %")}
"""What is drawn over the costs, by whether the images have labels."""
_FAR = 20.0
"""Points below the best at which a file would squeeze all others together in the figure."""
_NOTES = {
    "top-1 %": "right answers",
    "top-5 %": "right answer among the five best scores",
    "drop, points [95 %]": "float minus this row on the same images, with its interval",
    "answers changed": "against float; lost: right before, won: right now",
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
) -> Page:
    """Page of a comparison.

    Args:
        report: document from ``reports.tables.document``.
        pictures: PNG of the images in ``shown_images``, by number; missing ones are left out.
        generated: command that made the report.
        data: name and relative path of each file beside the page.
    """
    sections = [
        *_trade(report),
        *_drops(report),
        Section("All figures", (_table(report),)),
        *_changed(report, pictures),
        *_by_class(report),
        _conditions(report),
    ]
    return Page(
        f"{report['model']}: float against quantized",
        lead(report),
        tuple(sections),
        generated,
        data,
    )


def lead(report: Document) -> str:
    """Main result in one or two sentences: what the headline file costs and gains."""
    row = headline(report)
    if row is None:
        first = report["rows"][0]
        right = tables.percent(first["top1"])
        return f"`{first['name']}` is right on {right} % of {report['n']:,} images."
    if "drop" not in row:
        return (
            f"`{row['name']}` answers as float on **{row['agreement']:.2f} %** of "
            f"{report['n']:,} images{_gains(row, _like(report, row))}. They have no labels, so "
            "what it costs in accuracy is not known."
        )
    low, high = row["drop_interval"]
    gains = _gains(row, _like(report, row))
    what = (
        f"costs **{row['drop']:+.2f} points**"
        if row["drop"] >= 0
        else f"gains **{-row['drop']:.2f} points**"
    )
    sure = (
        f"No loss is shown, and one of up to {high:.2f} points is not ruled out."
        if low <= 0 <= high
        else "The interval lies above zero: the loss is real."
        if low > 0
        else "The interval lies below zero: the gain is real."
    )
    return (
        f"`{row['name']}` {what} of top-1 [{low:+.2f}, {high:+.2f}] on {report['n']:,} images"
        f"{gains}. {sure}"
    )


def labelled(report: Document) -> bool:
    """Whether the images had labels, so that right answers are known."""
    return all(row["top1"] is not None for row in report["rows"])


def headline(report: Document) -> Row | None:
    """Row of the page's main result: plain int8, else the smallest file; None without files."""
    compared = _compared(report)
    named = {row["name"]: row for row in compared}
    chosen = next((named[name] for name in _HEADLINE if name in named), None)
    return chosen or min(compared, key=lambda row: row["size_bytes"] or math.inf, default=None)


def shown_images(report: Document) -> list[int]:
    """Numbers of the images whose pictures the page shows, ascending."""
    limit = _limit(report)
    return sorted({f["image"] for r in _compared(report) for f in r.get("flipped", ())[:limit]})


def _compared(report: Document) -> list[Row]:
    return [row for row in report["rows"] if tables.compares(row)]


def _like(report: Document, row: Row) -> Row | None:
    """Row of the float32 file in the same format; None without one."""
    target = row["name"].partition("-")[0]
    names = {other["name"]: other for other in report["rows"]}
    return names.get(f"{target}-float32")


def _gains(row: Row, other: Row | None) -> str:
    """How much smaller and faster a file is, as a part of a sentence; empty without figures."""
    if other is None or other is row:
        return ""
    said = []
    if row["size_bytes"] and other["size_bytes"]:
        said.append(_times(other["size_bytes"] / row["size_bytes"], "smaller", "larger"))
    if row["latency_ms"] and other["latency_ms"]:
        ratio = other["latency_ms"]["p50"] / row["latency_ms"]["p50"]
        said.append(_times(ratio, "faster", "slower"))
    return f"; it is {' and '.join(said)} than `{other['name']}`" if said else ""


def _times(ratio: float, better: str, worse: str) -> str:
    return f"**{ratio:.1f} times** {better}" if ratio >= 1 else f"{1 / ratio:.1f} times {worse}"


def _trade(report: Document) -> list[Section]:
    """Figure of accuracy, or of agreement with float without labels, against size and latency."""
    known = labelled(report)
    rows = report["rows"] if known else _compared(report)
    least = max((_quality(row) for row in rows), default=0.0) - _FAR
    near = [row for row in rows if _quality(row) >= least]
    sizes = [_point(row, row["size_bytes"] / 1000) for row in near if row["size_bytes"]]
    times = [
        _point(row, row["latency_ms"]["p50"])
        for row in near
        if row["latency_ms"] and row["latency_ms"]["p50"] > 0
    ]
    groups = [("size of the file, kB", sizes), ("latency of one image, p50 ms", times)]
    groups = [group for group in groups if len(group[1]) > 1]
    if not groups:
        return []
    alt = " ".join(f"Best at {title}: {_listed(front(points))}." for title, points in groups)
    caption = "Up and left is better. The broken line joins the files that no other beats at both."
    if known:
        caption += (
            " Vertical lines are the intervals of the drop, paired with float, so differences "
            "within them are not shown by these images."
        )
    far = [row["name"] for row in rows if _quality(row) < least]
    if far:
        caption += f" Not drawn, at less than {least:.0f} %: {_enumerated(far)}."
    what, quality = _DRAWN[known]
    title = f"{what} against size and speed"
    return [Section(title, (Figure(caption, alt, pareto(groups, quality)),))]


def _quality(row: Row) -> float:
    """What is drawn over the costs, in percent: top-1, or answers as float without labels."""
    quality: float = row["agreement"] if row["top1"] is None else row["top1"]
    return quality


def _point(row: Row, cost: float) -> Point:
    suffix = "." + row["artifact"].rpartition(".")[2] if row["size_bytes"] else ""
    low, high = row.get("drop_interval", (0.0, 0.0))
    base = _quality(row) + row.get("drop", 0.0)
    return Point(row["name"], suffix, cost, _quality(row), base - high, base - low)


def _listed(points: Sequence[Point]) -> str:
    return ", ".join(f"{p.name} ({p.cost:,.3g}, {p.top1:.2f} %)" for p in points)


def _drops(report: Document) -> list[Section]:
    """Figure of the drop of each row with its interval."""
    rows = [row for row in report["rows"] if "drop" in row]
    if not rows:
        return []

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=1)
        for place, row in enumerate(rows):
            low, high = row["drop_interval"]
            suffix = "." + row["artifact"].rpartition(".")[2]
            _, color, marker = FORMATS.get(suffix, OTHER_FORMAT)
            axes.plot([low, high], [place, place], color=color, linewidth=1.6)
            axes.plot([row["drop"]], [place], marker, color=color, markersize=6)
        axes.set_yticks(range(len(rows)), [plain(row["name"]) for row in rows])
        axes.invert_yaxis()
        axes.margins(y=0.6 / len(rows))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("points of top-1 lost against float")

    clear = [row["name"] for row in rows if row["drop_interval"][0] > 0]
    caption = (
        f"Float minus recipe on the same {report['n']:,} images, with the paired 95 % interval. "
        "Where the line crosses zero, these images do not show a loss. Circles are TFLite files, "
        "squares ONNX."
    )
    alt = " ".join(
        f"{row['name']}: {row['drop']:+.2f} [{row['drop_interval'][0]:+.2f}, "
        f"{row['drop_interval'][1]:+.2f}]."
        for row in rows
    )
    text = (
        f"A loss is shown for {_enumerated(clear)}."
        if clear
        else "No recipe loses more than these images can tell from nothing."
    )
    drawing = svg(draw, (7.4, 1.0 + 0.27 * len(rows)))
    return [Section("What each recipe loses", (Prose(text), Figure(caption, alt, drawing)))]


def _enumerated(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _table(report: Document) -> Table:
    columns = tuple(
        Column(c.head, Kind.NUMBER if c.numeric else Kind.TEXT, _NOTES.get(c.head, ""))
        for c in tables.COLUMNS
    )
    rows = tuple(tuple(_cell(c, row) for c in tables.COLUMNS) for row in report["rows"])
    caption = f"{report['n']:,} images of {report['data']}, the same tensors for every row."
    return Table(caption, columns, rows)


def _cell(column: tables.Column, row: Row) -> Cell:
    text = column.cell(row)
    return Cell(text, math.inf if text == "inf" else None)


def _limit(report: Document) -> int:
    """Largest number of pictures per recipe with which a page keeps to MOST_PICTURES."""
    counts = [len(row.get("flipped", ())) for row in _compared(report)]
    limit = max(counts, default=0)
    while limit > 1 and sum(min(count, limit) for count in counts) > MOST_PICTURES:
        limit -= 1
    return limit


def _changed(report: Document, pictures: Mapping[int, bytes]) -> list[Section]:
    """Section of the images whose answer changed, recipe by recipe."""
    limit = _limit(report)
    galleries = []
    for row in _compared(report):
        thumbs = tuple(
            _thumb(flip, pictures[flip["image"]])
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
    text = (
        "Each picture is the input of the network, with the answer of the float network and, after "
        "the arrow, that of the file. "
    )
    if labelled(report):
        text += "Lost: float was right. Won: the file is right. "
    text += (
        "Images on which float was most certain come first, by the lead of its best score over its "
        "second."
    )
    first = headline(report)
    galleries.sort(key=lambda g: first is None or not g.caption.startswith(f"**{first['name']}**"))
    return [Section("Images whose answer changed", (Prose(text), *galleries))]


def _thumb(flip: dict[str, Any], png: bytes) -> Thumb:
    answers = f"{flip['before']} \N{RIGHTWARDS ARROW} {flip['after']}"
    lead_of_best = f"lead {flip['margin']:.2g}, {_short(flip['name'])}"
    if flip["label"] is None:
        return Thumb(png, answers, (lead_of_best,))
    what = "wrong both times"
    if flip["before"] == flip["label"]:
        what = "lost"
    elif flip["after"] == flip["label"]:
        what = "won"
    return Thumb(png, answers, (f"{what}; it is {flip['label']}", lead_of_best))


def _short(name: str) -> str:
    """Last two parts of a path; the rest of it would tell readers about the machine."""
    return "/".join(PurePath(name).parts[-2:])


def _by_class(report: Document) -> list[Section]:
    """Section of the loss by class, for the row of the main result."""
    row = headline(report)
    classes = [] if row is None else [c for c in row["per_class"] if c["drop"] is not None]
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


def _conditions(report: Document) -> Section:
    """Section of the conditions of the measurement."""
    rows, machine = report["rows"], report["machine"]
    items = [("Images", f"{report['n']:,} of {report['data']}")]
    items += [("Images", remark) for remark in report.get("remarks", ())]
    if not labelled(report):
        items.append(("Labels", tables.NO_LABELS))
    method = next((row["drop_method"] for row in rows if "drop_method" in row), None)
    if method is not None:
        items.append(("Interval", method))
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
