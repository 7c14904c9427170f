"""Figures as SVG for pages: matplotlib's drawing, the page's colours and letters.

Texts and axes take the colour of the page's text, series the page's series colours, so a figure
reads in the light and in the dark theme; it needs no file beside it, and equal data give equal
bytes with one version of matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reports.svg import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SERIES = ("#0068a8", "#c2500a", "#007a5c", "#a3478a", "#8a6400", "#5b62c9", "#b3304f", "#5c6670")
"""Colours of series, to give to matplotlib: told apart by the colour-blind, each with a lighter
twin of the dark theme (``--series-1`` to ``--series-8`` in page.css)."""

INK = "#1b1d20"
"""Of texts: the page's text colour."""

MUTED = "#5d6369"
"""Of axes and notes: the page's second text colour."""

RULE = "#d4d6d9"
"""Of grids: the page's lines."""

PAPER = "#fdfdfb"
"""The page's background, for edges that lift marks off one another."""

_VARIABLES = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    RULE: f"var(--rule, {RULE})",
    PAPER: f"var(--paper, {PAPER})",
    **{color: f"var(--series-{i}, {color})" for i, color in enumerate(SERIES, 1)},
}

Size = tuple[float, float]
_WIDE = 8


def svg(draw: Callable[[Axes], None], size: Size = (7.0, 4.0)) -> str:
    """Draw one pair of axes.

    Args:
        draw: given the axes, draws on them; colours by default are SERIES in turn.
        size: width and height in inches; 7 is the width of the page's text.

    Returns:
        An ``<svg>`` element.
    """
    return panels(lambda axes: draw(axes[0]), 1, 1, size)


def panels(draw: Callable[[Sequence[Axes]], None], rows: int, columns: int, size: Size) -> str:
    """Draw several pairs of axes in a grid.

    Args:
        draw: given the axes, row after row, draws on them.
        rows: of the grid.
        columns: of the grid.
        size: width and height of the whole in inches.

    Returns:
        An ``<svg>`` element.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: nothing global, and no display is looked for.
    with rc_context(_style()):
        figure = Figure(figsize=size, layout="constrained")
        draw(list(figure.subplots(rows, columns, squeeze=False).flat))
        return _text(figure)


def plain(text: str) -> str:
    """A text that matplotlib draws as it is: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers that have room beside one another.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``, its scale set already.
        values: what is drawn, above zero; the less they span, the more numbers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    span = max(values) / min(values)
    steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if span < _WIDE else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _text(figure: Figure) -> str:
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=metadata)
    return clean(buffer.getvalue(), _VARIABLES)


def _style() -> dict[str, Any]:
    from matplotlib.rcsetup import cycler

    return {
        "svg.hashsalt": "edgequant",
        "svg.fonttype": "none",  # letters of the page's font; DejaVu's widths leave room for them
        "font.size": 9.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=SERIES),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "figure.facecolor": "none",
        "grid.color": RULE,
        "grid.linewidth": 0.7,
        "hatch.color": MUTED,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.7,
        "lines.markersize": 5,
        "patch.edgecolor": INK,
        "savefig.facecolor": "none",
        "xtick.color": MUTED,
        "xtick.labelcolor": INK,
        "xtick.labelsize": 8.5,
        "ytick.color": MUTED,
        "ytick.labelcolor": INK,
        "ytick.labelsize": 8.5,
    }
