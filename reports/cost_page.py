"""Pages of ``edgequant cost``: a network layer by layer, or a grid of widths and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.costs import Point, draw_grid
from reports.figures import INK, MUTED, SERIES, panels, plain, svg
from reports.memory_figure import memory_figure
from reports.page import Cell, Column, Facts, Figure, Kind, Page, Prose, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = dict[str, Any]
Row = dict[str, Any]

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_TYPES = {1: "int8", 2: "float16", 4: "float32"}
_HOW = """\
Multiply-adds are those of convolutions and dense layers. Memory is that of activations: what was
made before and is still needed, and what the running operator makes, in the order that keeps the
highest point lowest (Sandler et al. 2018, section 5.1). Weights are not in it."""


def layers_page(report: Document, generated: str, data: tuple[tuple[str, str], ...] = ()) -> Page:
    """Page of one network.

    Args:
        report: values of ``Cost.to_dict``, and ``model``, the name of the network; ``plan`` where
            the memory of the C sources was planned.
        generated: command that made the report.
        data: name and relative path of each file beside the page.
    """
    layers = report["layers"]
    sections = (
        Section("Memory while it runs", (_timeline(report),)),
        *(
            [Section("Memory of the C sources", (memory_figure(report["plan"]),))]
            if "plan" in report
            else []
        ),
        Section("Where the work is", (_work(layers),)),
        Section("All layers", (_layers_table(report),)),
        Section("How it is counted", (_totals(report), Prose(_HOW))),
    )
    peak = max(layers, key=lambda layer: layer["live_bytes"])
    lead = (
        f"One image takes **{_short(report['macs'])} multiply-adds** and at "
        f"{'least' if report['peak_is_least'] else 'most'} "
        f"**{_kilobytes(report['peak_bytes'])} of activations** in "
        f"{_type(report)}, while `{peak['name']}` runs."
    )
    return Page(f"{report['model']}: what it costs", lead, sections, generated, data)


def grid_page(report: Document, generated: str, data: tuple[tuple[str, str], ...] = ()) -> Page:
    """Page of a grid.

    Args:
        report: ``model``, ``element_bytes`` and ``grid``, rows of ``reports.costs.Point``.
        generated: command that made the report.
        data: name and relative path of each file beside the page.
    """
    points = [Point(**row) for row in report["grid"]]

    def draw(axes: Sequence[Axes]) -> None:
        draw_grid(axes[0], axes[1], points)

    least, most = (f(points, key=lambda p: p.macs) for f in (min, max))
    lead = (
        f"From **{_short(least.macs)}** multiply-adds and {_kilobytes(least.peak_bytes)} (width "
        f"{least.alpha:g}, {least.size} pixels) to **{_short(most.macs)}** and "
        f"{_kilobytes(most.peak_bytes)} (width {most.alpha:g}, {most.size} pixels)."
    )
    caption = (
        f"Work and activation memory ({_type(report)}) over the side of the input, a line a "
        "width; the upright scales are logarithmic."
    )
    columns = tuple(
        Column(title, Kind.NUMBER)
        for title in ("width", "side, pixels", "params, M", "multiply-adds, M", "peak memory, kB")
    )
    rows = tuple(
        (
            Cell(f"{p.alpha:g}", p.alpha),
            Cell(str(p.size), p.size),
            Cell(f"{p.params / 1e6:.2f}", p.params),
            Cell(f"{p.macs / 1e6:,.1f}", p.macs),
            Cell(f"{p.peak_bytes / 1000:,.0f}", p.peak_bytes),
        )
        for p in points
    )
    figure = Figure(
        caption, f"Costs grow with width and size. {lead}", panels(draw, 1, 2, (10, 4.2))
    )
    sections = (
        Section("Over widths and sizes", (figure,)),
        Section("All points", (Table("Params once batch norms are folded.", columns, rows),)),
        Section("How it is counted", (Prose(_HOW),)),
    )
    title = f"{report['model']}: what widths and sizes cost"
    return Page(title, lead, sections, generated, data)


def _timeline(report: Document) -> Figure:
    """Figure of live bytes over the execution order, with the peak."""
    steps = sorted(report["layers"], key=lambda layer: layer["step"])
    live = [layer["live_bytes"] / 1000 for layer in steps]
    top = max(range(len(live)), key=live.__getitem__)

    def draw(axes: Axes) -> None:
        edges = [place + 0.5 for place in range(len(live) + 1)]
        axes.stairs(live, edges, fill=True, color=SERIES[0], alpha=0.28)
        axes.stairs(live, edges, color=SERIES[0], linewidth=1.3, baseline=None)
        axes.stairs(live[top : top + 1], edges[top : top + 2], fill=True, color=SERIES[1])
        left = top < len(live) / 2
        axes.annotate(
            f"{plain(steps[top]['name'])}, {live[top]:,.4g} kB",
            (top + 1, live[top]),
            xytext=(7 if left else -7, 4),
            textcoords="offset points",
            ha="left" if left else "right",
            color=INK,
        )
        axes.set_xlim(0.5, len(live) + 0.5)
        axes.set_ylim(0, 1.12 * live[top])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("operator, in the order of execution")
        axes.set_ylabel(f"live activations, kB ({_type(report)})")

    exact = (
        "no order has a lower peak"
        if report["peak_is_least"]
        else "there are too many orders to search all"
    )
    return Figure(
        f"Live memory while each operator runs, in the best execution order found; {exact}.",
        f"Memory is highest, at {live[top]:,.4g} kB, while {steps[top]['name']} runs, operator "
        f"{top + 1} of {len(live)}; it ends at {live[-1]:,.4g} kB.",
        svg(draw, (9.0, 3.4)),
    )


def _work(layers: list[Row]) -> Figure:
    """Figure of the shares of multiply-adds and parameters by kind of layer."""
    kinds: dict[str, list[int]] = {}
    for layer in layers:
        sums = kinds.setdefault(layer["kind"], [0, 0, 0])
        sums[0] += layer["macs"]
        sums[1] += layer["params"]
        sums[2] += 1
    shown = sorted(
        ((kind, s) for kind, s in kinds.items() if s[0] or s[1]), key=lambda item: -item[1][0]
    )
    totals = [sum(s[place] for _, s in shown) or 1 for place in (0, 1)]

    def draw(axes: Axes) -> None:
        for place, (_, sums) in enumerate(shown):
            for shift, part, color in ((-0.19, 0, SERIES[0]), (0.19, 1, SERIES[1])):
                share = 100 * sums[part] / totals[part]
                axes.barh(place + shift, share, 0.34, color=color)
                axes.annotate(
                    f"{share:.1f} %",
                    (share, place + shift),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8.5,
                    color=MUTED,
                )
        for name, color in (("multiply-adds", SERIES[0]), ("params", SERIES[1])):
            axes.barh([0], [0], color=color, label=name)
        axes.set_yticks(range(len(shown)), [f"{plain(kind)} ({sums[2]})" for kind, sums in shown])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("share of the network, %")
        axes.figure.legend(loc="outside upper left", ncols=2)

    alt = "; ".join(
        f"{kind}: {100 * s[0] / totals[0]:.1f} % of the multiply-adds, "
        f"{100 * s[1] / totals[1]:.1f} % of the params"
        for kind, s in shown
    )
    caption = "By kind of layer, with the number of them; the batch norm behind a layer is in it."
    return Figure(caption, alt, svg(draw, (7.4, 1.2 + 0.55 * len(shown))))


def _layers_table(report: Document) -> Table:
    macs, params = report["macs"] or 1, report["params"] or 1
    columns = (
        Column("layer"),
        Column("step", Kind.NUMBER, "place in the order of execution"),
        Column("kind"),
        Column("output"),
        Column("params", Kind.NUMBER),
        Column("%", Kind.NUMBER, "of all params"),
        Column("multiply-adds", Kind.NUMBER),
        Column("%", Kind.NUMBER, "of all multiply-adds"),
        Column("live bytes", Kind.NUMBER, "of activations while it runs"),
    )
    rows = tuple(
        (
            layer["name"],
            str(layer["step"] + 1),
            layer["kind"],
            "x".join(map(str, layer["shape"])),
            f"{layer['params']:,}",
            f"{100 * layer['params'] / params:.1f}",
            f"{layer['macs']:,}",
            f"{100 * layer['macs'] / macs:.1f}",
            f"{layer['live_bytes']:,}",
        )
        for layer in report["layers"]
    )
    return Table("Operators of the exported network.", columns, rows)


def _totals(report: Document) -> Facts:
    return Facts(
        (
            (
                "Params",
                f"{report['params']:,}, of which {report['batch_norm_params']:,} in batch norms",
            ),
            ("Multiply-adds", f"{report['macs']:,}"),
            ("Peak memory", f"{report['peak_bytes']:,} bytes of activations"),
            ("Activations", f"{report['element_bytes']} byte(s) a value ({_type(report)})"),
        )
    )


def _type(report: Document) -> str:
    size = report["element_bytes"]
    return _TYPES.get(size, f"{size} bytes a value")


def _short(number: float) -> str:
    for unit, letter in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number:g}"


def _kilobytes(size: int) -> str:
    return f"{size / 1000:,.3g} kB" if size < 1e6 else f"{size / 1e6:,.3g} MB"
