"""What to do about a limit that C sources exceed: smaller variants of the network, planned.

A registered network is built again, narrower and for smaller images, and its memory planned, so
that a remedy names what it would take. Flash and instructions of a variant follow from the
measured ones: weights differ by their bytes, instructions go with the multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from edgequant.loading import load
from edgequant.memory_plan import graph_of
from edgequant.ship.request import ShipRequest
from export.c.patches import Patches
from export.c.planning import plan_of_graph
from foundation.errors import GateFailedError, InvalidInputError
from models.loading.request import ModelRequest
from models.spec import Knob
from network.graph import Graph

_ALPHAS = (0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 1.3)
_SIZES = (16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 320)
_BYTES_A_CHANNEL = 9
"""Bias and multiplier in 32 bits, and a shift in 8."""


@dataclass(frozen=True)
class Figures:
    """What C sources of a network take, as far as its plan tells.

    Attributes:
        arena: bytes of the arena.
        weights: bytes of weights, biases and multipliers.
        multiply_adds: multiply-adds of an image, those that patches do twice counted twice.
    """

    arena: int
    weights: int
    multiply_adds: int

    @classmethod
    def of(cls, graph: Graph, patches: Patches) -> Figures:
        """Figures of a canonical graph in int8."""
        planned = plan_of_graph(graph, patches=patches)
        stored = sum(
            math.prod(graph.tensors[op.inputs[1]].shape)
            + _BYTES_A_CHANNEL * graph.tensors[op.inputs[1]].shape[op.channel_axis]
            for op in graph.ops
            if op.is_weighted
        )
        return cls(planned.plan.arena, stored, planned.multiply_adds + planned.twice)


Estimate = Callable[[Figures], int]
"""Figures of a variant -> what it takes of the thing that is limited."""


@dataclass
class Advisor:
    """Names variants of a network that keep a limit; each is built and planned once.

    Attributes:
        request: model of the bundle.
        patches: patches of its C sources.
    """

    request: ModelRequest
    patches: Patches
    _known: dict[ModelRequest, Figures | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, request: ShipRequest) -> Advisor:
        """Advisor for a bundle."""
        return cls(request.base.model, Patches.of(request.patches))

    def remedy(self, part: str, measured: int, limit: int) -> str:
        """What to do about C sources that take more than a limit, in words.

        Args:
            part: ``sram``, ``flash`` or ``instructions``.
            measured: what they take.
            limit: what they may take.
        """
        if part == "sram" and self.patches.most_bytes:
            return "give --force, which writes the sources again with patches for this limit"
        return self.smaller(part, measured, limit)

    def smaller(self, part: str, measured: int, limit: int) -> str:
        """Smaller variants that keep a limit, in words; arguments are those of ``remedy``."""
        if self.request.is_file:
            return "choose a smaller network or a larger chip"
        whole = self._figures(self.request)
        if whole is None:
            return "choose a smaller network or a larger chip"
        estimates: Mapping[str, Estimate] = {
            "sram": lambda found: found.arena,
            "flash": lambda found: measured - whole.weights + found.weights,
            "instructions": lambda found: round(
                measured * found.multiply_adds / max(whole.multiply_adds, 1)
            ),
        }
        found = self._variants(estimates[part], limit, sized=part != "flash")
        unit = "" if part == "instructions" else " bytes"
        about = "" if part == "sram" else "about "
        named = [f"{option} ({about}{count:,}{unit})" for option, count in found if count <= limit]
        if named:
            return f"train with {' or '.join(named)}, or choose a larger chip"
        if found:
            option, count = min(found, key=lambda pair: pair[1])
            return f"choose a larger chip: even {option} takes {about}{count:,}{unit}"
        return "choose another network or a larger chip"

    def _variants(self, estimate: Estimate, limit: int, *, sized: bool) -> list[tuple[str, int]]:
        """The widest network and the largest image that keep the limit, or the least of each."""
        spec = self.request.spec()
        width, side = spec.alpha, max(spec.preprocessing.size)
        widths = [alpha for alpha in _ALPHAS if alpha < width and Knob.ALPHA in spec.knobs]
        sizes = [size for size in _SIZES if size < side and sized]
        ladders = (
            [(f"--alpha {alpha:g}", replace(self.request, alpha=alpha)) for alpha in widths],
            [(f"--size {size}", replace(self.request, size=size)) for size in sizes],
        )
        return [best for ladder in ladders if (best := self._best(ladder, estimate, limit))]

    def _best(
        self, ladder: list[tuple[str, ModelRequest]], estimate: Estimate, limit: int
    ) -> tuple[str, int] | None:
        """Largest variant within the limit, by halving; the smallest one where none is."""
        low, high, best = 0, len(ladder), None
        while low < high:
            middle = (low + high) // 2
            option, request = ladder[middle]
            figures = self._figures(request)
            if figures is None:  # too small for the network's strides
                low = middle + 1
                continue
            count = estimate(figures)
            if count <= limit:
                best, low = (option, count), middle + 1
            else:
                best = best or (option, count)
                if best[1] > limit:
                    best = option, count
                high = middle
        return best

    def _figures(self, request: ModelRequest) -> Figures | None:
        """Figures of a variant; None where the network cannot be built that small."""
        if request not in self._known:
            plain = replace(request, weights="random")
            try:
                self._known[request] = Figures.of(graph_of(load(plain), plain), self.patches)
            except InvalidInputError:
                self._known[request] = None
        return self._known[request]


def require_arena(request: ShipRequest, graph: Graph) -> None:
    """Refuse a limit of SRAM that the plan of the C sources does not keep, before any work.

    Args:
        request: bundle with a limit of SRAM.
        graph: canonical graph of the network.

    Raises:
        GateFailedError: says the least that the network can have, and what would keep the limit.
    """
    limit, patches = request.gates.max_sram, Patches.of(request.patches)
    if limit is None:
        return
    arena = Figures.of(graph, patches).arena
    if arena <= limit:
        return
    fitting = plan_of_graph(graph, patches=Patches(0, limit))
    received = f"{arena:,}, and {fitting.plan.arena:,} at least with patches"
    if patches.sides == 0:
        received = f"{arena:,}, the least that is found"
    remedy = Advisor(request.base.model, Patches(0, limit)).smaller("sram", arena, limit)
    if fitting.plan.arena <= limit:
        share = 100 * fitting.twice / max(fitting.multiply_adds, 1)
        remedy = f"give --patches auto, which does {share:.1f} % more multiply-adds"
    raise GateFailedError(
        f"c takes at most {limit:,} bytes of sram (--max-sram)", received=received, remedy=remedy
    )
