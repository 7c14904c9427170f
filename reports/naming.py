"""Names beside the points of a figure that overlap neither each other nor a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.figures import INK, MUTED, plain
from reports.svg import HALO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = 8.5
_LETTER = 0.58 * _FONT
"""Upper bound of the mean width of a letter in points, since the page's font is unknown."""
_LINE = 1.25 * _FONT
_MARK = 4.0
_SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))
_DISTANCES = (1, 2, 3.2, 4.6, 6.2, 8)


@dataclass(frozen=True)
class Named:
    """Point with its name, in data coordinates."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: _Box) -> bool:
        """Whether two boxes overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def within(self, other: _Box) -> bool:
        """Whether the box lies inside another one."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


def name_points(axes: Axes, named: Sequence[Named], others: Sequence[tuple[float, float]]) -> None:
    """Write names beside points, with a line to the point if a name had to move away.

    Call it last, after limits and scales are set: positions are computed on the finished layout. A
    name without a free position is written to the right of its point.

    Args:
        axes: axes to write on.
        named: points to name, in order of precedence.
        others: other points that names must not cover.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    points_per_pixel = 72 / figure.dpi
    window = axes.get_window_extent()
    frame = _Box(
        window.x0 * points_per_pixel,
        window.y0 * points_per_pixel,
        window.x1 * points_per_pixel,
        window.y1 * points_per_pixel,
    )
    everything = [*((p.x, p.y) for p in named), *others]
    places = axes.transData.transform(everything) * points_per_pixel
    taken = [_Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in places]
    for point, (x, y) in zip(named, places, strict=False):
        offset, box = _place(x, y, _LETTER * len(point.name), taken, frame)
        taken.append(box)
        far = abs(offset[0]) + abs(offset[1]) > 3 * _MARK
        note = axes.annotate(
            plain(point.name),
            (point.x, point.y),
            xytext=offset,
            textcoords="offset points",
            fontsize=_FONT,
            color=INK,
            ha="left" if offset[0] > 0 else "right" if offset[0] < 0 else "center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 1}
            if far
            else None,
            annotation_clip=False,
        )
        note.set_in_layout(False)
        note.set_gid(HALO)


def _place(
    x: float, y: float, width: float, taken: list[_Box], frame: _Box
) -> tuple[tuple[float, float], _Box]:
    """Nearest offset in points at which a name overlaps nothing, and its box."""
    first: tuple[tuple[float, float], _Box] | None = None
    for distance in _DISTANCES:
        for right, up in _SIDES:
            dx = right * (_MARK + 3) * (1 if not up else min(distance, 3))
            dy = up * (_LINE * 0.75) * distance
            if not up and distance > 1:
                continue
            left = x + dx - (width if right < 0 else width / 2 if right == 0 else 0)
            box = _Box(left, y + dy - _LINE / 2, left + width, y + dy + _LINE / 2)
            first = first or ((dx, dy), box)
            if box.within(frame) and not any(box.meets(other) for other in taken):
                return (dx, dy), box
    assert first is not None
    return first
