"""Figures as SVG for pages, drawn by matplotlib in the page's colours and font.

Texts and axes have the colour of the page's text, and series the page's series colours, so a figure
is readable in the light and the dark theme. It needs no other file, and equal data give equal bytes
with the same version of matplotlib.
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
"""Colours of series for matplotlib, which the colour-blind can distinguish; each has a lighter
variant in the dark theme (``--series-1`` to ``--series-8`` in page.css)."""

INK = "#1b1d20"
"""Colour of texts: the page's text colour."""

MUTED = "#5d6369"
"""Colour of axes and notes: the page's second text colour."""

RULE = "#d4d6d9"
"""Colour of grids: that of the page's lines."""

PAPER = "#fdfdfb"
"""Colour of the page's background, for edges between marks that overlap."""

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
        draw: draws on the axes; series have the colours of SERIES in turn by default.
        size: width and height in inches; 7 is the width of the page's text.

    Returns:
        An ``<svg>`` element.
    """
    return panels(lambda axes: draw(axes[0]), 1, 1, size)


def panels(draw: Callable[[Sequence[Axes]], None], rows: int, columns: int, size: Size) -> str:
    """Draw several pairs of axes in a grid.

    Args:
        draw: draws on the axes, which are listed row by row.
        rows: number of rows of the grid.
        columns: number of columns of the grid.
        size: width and height of the whole figure in inches.

    Returns:
        An ``<svg>`` element.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Figure instead of pyplot: no global state, and no display is needed.
    with rc_context(_style()):
        figure = Figure(figsize=size, layout="constrained")
        draw(list(figure.subplots(rows, columns, squeeze=False).flat))
        return _text(figure)


def plain(text: str) -> str:
    """Text that matplotlib draws as it is, without reading a dollar sign as a formula."""
    return text.replace("$", r"\$")


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers that do not overlap.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``, with its scale already set.
        values: values that are drawn, above zero; the less they span, the more numbers.
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
        "svg.fonttype": "none",  # letters of the page's font, for which DejaVu's widths are enough
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
