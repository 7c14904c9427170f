"""Picture of a memory plan: which buffer lies where in the arena, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reports.figures import INK, MUTED, PAPER, SERIES, plain, svg
from reports.page import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plan = dict[str, Any]

_KINDS = ("input", "activations", "rows of a block", "outputs")
_COLORS = (SERIES[1], SERIES[0], SERIES[2], SERIES[3])
_ROWS = " (rows)"
"""End of the name of a block's rings, see ``export.c.memory``."""


def memory_figure(plan: Plan) -> Figure:
    """Figure of the arena over the steps of a run.

    Args:
        plan: values of ``MemoryPlan.to_dict``, with ``patches`` and ``multiply_adds_twice`` where
            stages run patch by patch.
    """
    steps, buffers, arena = plan["steps"], plan["buffers"], plan["arena_bytes"]
    top = max(range(len(steps)), key=lambda n: steps[n]["bytes"])

    def draw(axes: Axes) -> None:
        for buffer in buffers:
            end = min(buffer["last"], len(steps) - 1) + 1
            axes.broken_barh(
                [(buffer["first"] + 0.5, end - buffer["first"])],
                (buffer["offset"] / 1000, buffer["size"] / 1000),
                facecolor=_COLORS[_kind(plan, buffer)],
                edgecolor=PAPER,
                linewidth=0.6,
                alpha=0.72,
            )
        for kind, color in zip(_KINDS, _COLORS, strict=True):
            axes.broken_barh([(0.5, 0)], (0, 0), facecolor=color, alpha=0.72, label=kind)
        axes.axhline(arena / 1000, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        left = top < len(steps) / 2
        axes.annotate(
            f"{arena:,} bytes, at {plain(steps[top]['name'])}",
            (top + 1, arena / 1000),
            xytext=(0, 4),
            textcoords="offset points",
            ha="left" if left else "right",
            color=INK,
        )
        axes.set_xlim(0.5, len(steps) + 0.5)
        axes.set_ylim(0, 1.1 * arena / 1000)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("step of a run")
        axes.set_ylabel("byte in the arena, thousands")
        axes.figure.legend(loc="outside upper left", ncols=len(_KINDS))

    return Figure(_caption(plan), _alternative(plan, top), svg(draw, (9.0, 3.8)))


def _caption(plan: Plan) -> str:
    bound = (
        "no packing of these steps takes less"
        if plan["optimal"]
        else f"no packing of these steps takes less than {plan['bound_bytes']:,}"
    )
    return (
        f"The arena of the C sources, {plan['arena_bytes']:,} bytes: a buffer is as wide as it "
        f"lives and as high as it is large; a result may lie over a source that is read no more, "
        f"and {bound}." + _patches(plan)
    )


def _alternative(plan: Plan, top: int) -> str:
    """The figure in words; ``top`` is the number of the step with most memory."""
    steps, buffers, arena = plan["steps"], plan["buffers"], plan["arena_bytes"]
    largest = sorted(buffers, key=lambda buffer: -buffer["size"])[:3]
    return (
        f"{len(buffers)} buffers over {len(steps)} steps. Most memory is in use, {arena:,} bytes, "
        f"at step {top + 1}, {steps[top]['name']}. The largest buffers: "
        + "; ".join(
            f"{b['name']}, bytes {b['offset']:,} to {b['offset'] + b['size']:,}, steps "
            f"{b['first'] + 1} to {min(b['last'], len(steps) - 1) + 1}"
            for b in largest
        )
        + "."
    )


def _kind(plan: Plan, buffer: dict[str, Any]) -> int:
    """Position of a buffer's kind in ``_KINDS``."""
    if buffer["name"].endswith(_ROWS):
        return 2
    if buffer["last"] >= len(plan["steps"]):
        return 3
    return 0 if buffer["name"] in plan["inputs"] else 1


def _patches(plan: Plan) -> str:
    if not plan.get("patches"):
        return ""
    cuts = "; ".join(
        f"`{p['first']}` to `{p['last']}` in bands of {p['rows']} rows and strips of "
        f"{p['columns']} columns"
        for p in plan["patches"]
    )
    share = 100 * plan["multiply_adds_twice"] / max(plan["multiply_adds"], 1)
    return f" Patch by patch: {cuts}; {share:.1f} % more multiply-adds."
