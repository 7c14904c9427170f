"""Page of ``edgequant sensitivity``: the ranking of layers, from its JSON document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reports.figures import SERIES, plain, svg
from reports.page import Cell, Column, Facts, Figure, Kind, Page, Prose, Section, Table
from reports.sensitivity import clipping_text, conditions, drop_text, float_value, metric_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = dict[str, Any]
Row = dict[str, Any]

PLOTTED = 40
_PARTS = (("weights", SERIES[0], "o"), ("activations", SERIES[1], "s"))


def page(report: Document, generated: str, data: tuple[tuple[str, str], ...] = ()) -> Page:
    """Page of a ranking.

    Args:
        report: document from ``reports.sensitivity.document``.
        generated: command that made the report.
        data: name and relative path of each file beside the page.
    """
    rows = report["rows"]
    _, *rest = conditions(report)
    facts = Facts(
        (
            ("Images", f"{report['n']:,} of {report['data']} that nothing was decided on"),
            (f"Float {metric_of(report)}", float_value(report)),
            ("Recipe", f"{report['recipe']}, --optimize {report['optimization']}"),
        )
    )
    sections = (
        Section("The most sensitive layers", (_figure(rows[:PLOTTED], len(rows)),)),
        Section("All layers", (_table(report),)),
        Section("Conditions of the measurement", (facts, Prose("\n\n".join(rest)))),
    )
    title = f"{report['model']}: which layers lose most in int8"
    return Page(title, lead(report), sections, generated, data)


def lead(report: Document) -> str:
    """Main result in two sentences: the worst layer, and the median of all layers."""
    rows = report["rows"]
    if not rows:
        return "No layer has anything to quantize."
    worst, part = rows[0], _worse_part(rows[0])
    first = (
        f"`{worst['name']}` loses most: with its **{part}** alone in integers the outputs keep "
        f"**{_decibels(worst[part])} dB**."
    )
    effects = [_loudest(row) for row in rows]
    middle = sorted(effects)[len(effects) // 2]
    if len(rows) < 3 or not math.isfinite(middle):
        return first
    return f"{first} The median of {len(rows)} layers keeps {middle:.1f} dB."


def _worse_part(row: Row) -> str:
    """Name of the part that adds more noise: weights or activations."""
    return min((name for name, _, _ in _PARTS if row[name]), key=lambda name: _sqnr(row[name]))


def _loudest(row: Row) -> float:
    return min(_sqnr(row[name]) for name, _, _ in _PARTS if row[name])


def _sqnr(effect: Row) -> float:
    value = effect["sqnr_db"]
    return math.inf if value is None else float(value)


def _decibels(effect: Row) -> str:
    value = _sqnr(effect)
    return f"{value:.1f}" if math.isfinite(value) else "inf"


def _figure(rows: list[Row], total: int) -> Figure:
    def draw(axes: Axes) -> None:
        for place, row in enumerate(rows):
            ends = [_sqnr(row[name]) for name, _, _ in _PARTS if row[name]]
            ends = [end for end in ends if math.isfinite(end)]
            if len(ends) == 2:
                axes.plot(ends, [place, place], color=SERIES[7], linewidth=0.8, zorder=1)
        for name, color, marker in _PARTS:
            points = [
                (_sqnr(row[name]), place)
                for place, row in enumerate(rows)
                if row[name] and math.isfinite(_sqnr(row[name]))
            ]
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                marker,
                color=color,
                linestyle="none",
                label=f"{name} alone in integers",
            )
        axes.set_yticks(range(len(rows)), [plain(row["name"]) for row in rows])
        axes.invert_yaxis()
        axes.margins(y=0.6 / max(len(rows), 1))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("SQNR of the outputs, dB (to the left: more noise)")
        axes.figure.legend(loc="outside upper left", ncols=2)

    which = f"The first {len(rows)} of {total} layers" if len(rows) < total else "All layers"
    worst = ", ".join(f"{row['name']} {_loudest(row):.1f} dB" for row in rows[:5])
    alone = "Only the weights, or only the activations, of one layer are in integers."
    return Figure(
        f"{which}, the most sensitive on top. {alone}",
        f"The most sensitive layers are {worst}.",
        svg(draw, (7.4, 1.1 + 0.21 * len(rows))),
    )


def _table(report: Document) -> Table:
    columns = [
        Column("layer"),
        Column("rank", Kind.NUMBER, "by the noise of both parts"),
        Column("operator"),
    ]
    for name, _, _ in _PARTS:
        columns += [
            Column(f"{name} dB", Kind.NUMBER, "SQNR of the outputs; less is worse"),
            Column(
                "drop, points",
                Kind.NUMBER,
                f"of {metric_of(report)}, with {name} alone in integers",
            ),
        ]
    columns.append(
        Column("clipping %", Kind.NUMBER, "of the activations' noise; the rest is rounding")
    )
    columns.append(Column("multiply-adds %", Kind.NUMBER, "of the network's"))
    total = sum(row["multiply_adds"] for row in report["rows"]) or 1
    rows = tuple(
        (
            row["name"],
            str(row["rank"]),
            row["kind"],
            *(cell for name, _, _ in _PARTS for cell in _effect(row[name])),
            Cell(clipping_text(row), row.get("clipping_share", 0.0)),
            Cell(f"{share:.1f}", share) if (share := 100 * row["multiply_adds"] / total) else "-",
        )
        for row in report["rows"]
    )
    return Table(
        "Ranked by the noise of both parts on the outputs, the worst first.", tuple(columns), rows
    )


def _effect(effect: Row | None) -> tuple[Cell, Cell]:
    if effect is None:
        return Cell("-"), Cell("-")
    return (
        Cell(_decibels(effect), _sqnr(effect)),
        Cell(drop_text(effect), effect["drop"]),
    )
