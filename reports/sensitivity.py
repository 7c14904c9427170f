"""Ranking of layers as screen table, CSV and plot, all rendered from one JSON document."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantize.sensitivity.ranking import Sensitivity

if TYPE_CHECKING:
    from rich.table import Table

Document = dict[str, Any]

CSV_FIELDS = (
    "rank", "name", "kind", "multiply_adds",
    "weights_sqnr_db", "weights_drop", "weights_agreement",
    "activations_sqnr_db", "activations_drop", "activations_agreement", "clipping_share",
)  # fmt: skip
_PARTS = ("weights", "activations")
_PLOTTED = 40

MUCH_CLIPPING = 0.5
"""Share of the noise of a layer's activations above which clipping is what its figure tells."""


def document(ranking: Sensitivity, **more: Any) -> Document:
    """All measurements as plain values, the most sensitive layer first."""
    rows = [{"rank": i, **row.to_dict()} for i, row in enumerate(ranking.layers, 1)]
    float_values = {"top1": ranking.top1, "float": ranking.value}
    return {**more, "n": ranking.images, **float_values, "rows": rows}


NO_LABELS = "no labels that count the outputs, so that float's answers count as right"
NO_CLASSES = "an output without classes, so that noise alone is measured"


def labelled(report: Document) -> bool:
    """Whether right answers are known; reports of earlier versions do not say, and were."""
    known: bool = report.get("labelled", True)
    return known and (report["top1"] is not None or report.get("float") is not None)


def metric_of(report: Document) -> str:
    """Title of the metric whose loss is told."""
    return str(report.get("metric", "top-1"))


def float_value(report: Document) -> str:
    """The float network's metric, or why there is none."""
    if labelled(report):
        value = report["top1"] if report["top1"] is not None else report["float"]
        return f"{value:.2f} %"
    return NO_LABELS if _has_drops(report) else NO_CLASSES


def _has_drops(report: Document) -> bool:
    parts = (row[part] for row in report["rows"] for part in _PARTS if row[part] is not None)
    return any(part["drop"] is not None for part in parts)


def conditions(report: Document) -> list[str]:
    """Conditions of the measurement, line by line."""
    n = f"n = {report['n']:,} images of {report['data']} that took part in no decision"
    alone = (
        "Only weights or only activations of one layer in integers, everything else in float32; "
        "activations are a layer's results"
    )
    how = f"Recipe {report['recipe']}, --optimize {report['optimization']}"
    known = float_value(report)
    if labelled(report):
        known = f"float {metric_of(report)} {known}"
    step = f"; one image is {100 / report['n']:.2f} points" if "top-1" in metric_of(report) else ""
    return [
        f"{n}; {known}{step}.",
        f"{alone}. Ranked by the noise of both on the outputs.",
        f"{how}; float arithmetic on the integers, no runtime's kernels.",
        *clipping(report),
    ]


def clipping(report: Document) -> list[str]:
    """Sentence on ranges that do not hold for other images; none where rounding is what costs."""
    rows = [row for row in report["rows"] if row.get("clipping_share", 0) > MUCH_CLIPPING]
    if not rows:
        return []
    worst = max(rows, key=lambda row: -row["activations"]["sqnr_db"])
    ranged = report.get("ranged")
    those = "the calibration images" if ranged is None else f"{ranged:,} calibration images"
    layers = f"{len(rows)} of {len(report['rows'])} layers"
    cut = (
        f"Clipping, not rounding, is more than half of the activations' noise in {layers} (most in "
        f"{worst['name']}, {100 * worst['clipping_share']:.0f} % of it): the ranges of {those} do "
        "not hold for other images, and with more of them these figures change."
    )
    return [cut]


def screen_table(report: Document, most: int) -> Table:
    """Table for the terminal, with the first ``most`` rows."""
    from rich import box
    from rich.table import Table

    total = sum(row["multiply_adds"] for row in report["rows"]) or 1
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("rank", "layer", "operator"):
        table.add_column(head, no_wrap=True, justify="right" if head == "rank" else "left")
    for head in (
        "weights dB", "drop, points", "activations dB", "drop, points", "clipping %",
        "multiply-adds %",
    ):  # fmt: skip
        table.add_column(head, no_wrap=True, justify="right")
    for row in report["rows"][:most]:
        cells = [cell for part in _PARTS for cell in _cells(row[part])]
        share = f"{100 * row['multiply_adds'] / total:.1f}" if row["multiply_adds"] else "-"
        table.add_row(str(row["rank"]), row["name"], row["kind"], *cells, clipping_text(row), share)
    return table


def _cells(effect: dict[str, Any] | None) -> tuple[str, str]:
    if effect is None:
        return "-", "-"
    sqnr = effect["sqnr_db"]
    return "inf" if sqnr is None else f"{sqnr:.1f}", drop_text(effect)


def clipping_text(row: dict[str, Any]) -> str:
    """Clipping as a share of the activations' noise, in percent."""
    share = row.get("clipping_share", 0.0)
    return f"{100 * share:.0f}" if share else "-"


def drop_text(effect: dict[str, Any]) -> str:
    """Loss of a part in points; a dash for an output without classes."""
    return "-" if effect["drop"] is None else f"{effect['drop']:+.2f}"


def csv_table(report: Document) -> str:
    """Rows as CSV with a header line; a cell is empty if the layer has no such part.

    A network with several outputs has a column more for each of them and each part.
    """
    flats = []
    for row in report["rows"]:
        flat = {name: row[name] for name in CSV_FIELDS[:4]}
        flat["clipping_share"] = round(row.get("clipping_share", 0.0), 4)
        for part in _PARTS:
            values = dict(row[part] or {})
            of_outputs = values.pop("outputs_sqnr_db", {})
            values |= {f"sqnr_db_{output}": value for output, value in of_outputs.items()}
            for name, value in values.items():
                flat[f"{part}_{name}"] = "" if value is None else round(value, 4)
        flats.append(flat)
    fields = dict.fromkeys([*CSV_FIELDS, *(name for flat in flats for name in flat)])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(fields), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(flats)
    return buffer.getvalue()


def plot(report: Document, path: Path) -> None:
    """Draw the most sensitive layers: SQNR of weights and of activations, the worst on top.

    Args:
        report: document from ``document``.
        path: path of the PNG; equal reports give equal bytes with one version of matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = report["rows"][:_PLOTTED]
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(rows)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for part, marker in zip(_PARTS, ("o", "s"), strict=True):
        points = [
            (row[part]["sqnr_db"], place)
            for place, row in enumerate(rows)
            if row[part] is not None and row[part]["sqnr_db"] is not None
        ]
        axes.plot([p[0] for p in points], [p[1] for p in points], marker, label=part)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("SQNR of the outputs with this part alone in integers, dB")
    axes.set_title(f"{report['model']}, {report['recipe']}, n = {report['n']}", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    with path.open("wb") as handle:
        canvas.print_png(handle, metadata={"Software": None})
