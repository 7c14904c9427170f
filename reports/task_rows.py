"""Rows of a report by the task of their output: columns, figures and words."""

from __future__ import annotations

import math
from typing import Any

from calibration_data.task import Task
from evaluation.metrics import Metric
from evaluation.task import TaskKind, task_kinds

Document = dict[str, Any]
Row = dict[str, Any]


def kind_of(row: Row) -> TaskKind:
    """Task of a row's output; rows without a word of it are of classifiers."""
    return task_kinds()[Task(row.get("task", Task.CLASSIFICATION))]


def part_words(kind: TaskKind) -> tuple[str, str]:
    """What the parts of an output are, and the metric of each."""
    words = {
        Task.MULTI_LABEL: ("label", "AP %"),
        Task.DETECTION: ("class", "AP %"),
        Task.SEGMENTATION: ("class", "IoU %"),
    }
    return words.get(kind.task, ("value", kind.first.head))


def compares(row: Row) -> bool:
    """Whether a row was compared with the float network."""
    return "sqnr_db" in row or "flips" in row


def primary(row: Row) -> float | None:
    """Primary metric of the row's task; None where it was not measured."""
    kind = kind_of(row)
    values = row if kind.task is Task.CLASSIFICATION else row["metrics"]
    value: float | None = values.get(kind.primary)
    return value


def labelled(rows: list[Row]) -> bool:
    """Whether the images had labels, so that right answers are known."""
    return all(primary(row) is not None for row in rows)


def by_output(report: Document) -> list[Document]:
    """One report for each output: itself for a network with one.

    Each has ``output``, the name, if there are several.
    """
    names = list(dict.fromkeys(row.get("output", "") for row in report["rows"]))
    if names == [""]:
        return [report]
    return [
        {
            **report,
            "output": name,
            "rows": [row for row in report["rows"] if row.get("output", "") == name],
        }
        for name in names
    ]


def title_of(report: Document) -> str:
    """Name of the output with its task; empty for a network with one."""
    if "output" not in report:
        return ""
    return f"{report['output']} ({kind_of(report['rows'][0]).task})"


def percent(value: float | None) -> str:
    """A percentage with two decimals; a dash where it was not measured."""
    return "-" if value is None else f"{value:.2f}"


def value_text(metric: Metric, value: float | None, row: Row | None = None) -> str:
    """A value of a metric with the digits that it deserves; a dash without one.

    Args:
        metric: metric of the value.
        value: the value; None where it was not measured, or for an infinite SQNR.
        row: row that has the value, to tell the two apart.
    """
    if metric.unit == "dB":
        if row is not None and metric.name not in row["metrics"]:
            return "-"
        return "inf" if value is None or math.isinf(value) else f"{value:.1f}"
    if value is None:
        return "-"
    if metric.unit == "%":
        return f"{value:.2f}"
    if metric.unit == "count":
        return f"{value:.0f}"
    return f"{value:.4f}" if metric.unit == "" else f"{value:.4g}"


def loss_text(row: Row, value: float) -> str:
    """A loss of the primary metric with its sign."""
    text = f"{value:+.2f}" if kind_of(row).first.unit == "%" else f"{value:+.3g}"
    return "+0.00" if text == "-0.00" and "task" in row else text


def card_heads(values: Document) -> tuple[Metric, Metric]:
    """Metrics of the two figures of a bundle's files: the primary one and the likeness to float."""
    kind = task_kinds()[Task(values.get("task", Task.CLASSIFICATION))]
    return kind.first, kind.metric(kind.likeness)


def card_figures(values: Document, row: Row) -> tuple[str, str]:
    """The two figures of a file of a bundle as texts."""
    if "top1" in row:
        return percent(row["top1"]), f"{row['as_float']:.2f}"
    first, likeness = card_heads(values)
    near = row["likeness"]
    return value_text(first, row["metric"]), value_text(likeness, near)


def card_labelled(values: Document) -> bool:
    """Whether the images of a bundle's figures had labels."""
    return all(row.get("top1", row.get("metric")) is not None for row in values["rows"])


def drop_text(row: Row) -> str:
    """Loss of a row with its interval; a dash where it was not measured."""
    if "drop" not in row:
        return "-"
    low, high = row["drop_interval"]
    return f"{loss_text(row, row['drop'])} [{loss_text(row, low)}, {loss_text(row, high)}]"


def drop_head(kind: TaskKind) -> str:
    """Head of the column of losses."""
    if kind.task is Task.CLASSIFICATION:
        return "drop, points [95 %]"
    what = "growth" if kind.lower_is_better else "drop"
    unit = ", points" if kind.first.unit == "%" else ""
    return f"{what} of {kind.first.title}{unit} [95 %]"


def drop_sentence(kind: TaskKind, method: str) -> str:
    """What a drop is, for the conditions below a table."""
    if kind.task is Task.CLASSIFICATION:
        what = "Drop is float minus row on the same images, in points of top-1"
    elif kind.lower_is_better:
        what = f"Growth is row minus float on the same images, of {kind.first.title}"
    else:
        what = f"Drop is float minus row on the same images, in points of {kind.first.title}"
    name = "growth" if kind.lower_is_better else "drop"
    return f"{what}; a negative {name} is a gain. Interval: {method}."


def expected_sentence(method: str) -> str:
    """What expected flips are, for the conditions below a table."""
    return (
        "Expected flips (in the Markdown, CSV, JSON and page) are the answers that errors of the "
        "observed spread change on average: the chance that such an error crosses the float "
        f"network's margin, summed over the images. Interval: {method}."
    )


def no_labels(kind: TaskKind) -> str:
    """What is missing without labels where rows are compared with float."""
    by = "by SQNR" if kind.changed is None else "by their answers and by SQNR"
    loss = "growth" if kind.lower_is_better else "drop"
    return (
        f"The images have no labels, so {kind.first.title} and its {loss} are not measured: rows "
        f"are compared with float {by}."
    )


def nothing_compared(kind: TaskKind) -> str:
    """What is missing without labels and without float."""
    return (
        f"The images have no labels, so {kind.first.title} is not measured: give --reference MODEL "
        "to compare with float."
    )
