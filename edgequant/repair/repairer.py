"""Search for a plan that keeps ``--max-drop``, on held-out calibration images.

First more effort goes into the integers; then the fewest operators, those whose integers cost most,
stay in float32 or get int16 activations. Half of the calibration images make plans and the other
half judges them; the gate itself is judged once, on images that took no part in the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from calibration_data.calibration_set import CalibrationSet
from calibration_data.task_choice import Output
from edgequant.narrowing import measured_noise
from edgequant.outputs import answers
from edgequant.planning import Planner
from edgequant.repair.comparing import Comparison
from edgequant.repair.heldout import Halves, halves
from edgequant.repair.judging import Judge
from network.graph import Graph
from quantize.engine import make_plan, settled
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import float_share
from quantize.plans.widening import can_be_wide
from quantize.recipes import Recipe
from quantize.sensitivity.bits import shares
from quantize.sensitivity.changes import ACTIVATIONS, WEIGHTS
from quantize.sensitivity.mixed_precision import Noise, growing
from quantize.sensitivity.ranking import LabelledImages, Sensitivity, sensitivity
from quantize.settings import Optimization, PlanSettings, RepairType

MOST_JUDGED = 1000
JUDGED_BYTES = 256 * 1024**2
RANKED_IMAGES = 64
_LEVELS = (Optimization.FAST, Optimization.DEFAULT, Optimization.BEST)


@dataclass(frozen=True)
class Step:
    """Plan that was judged.

    Attributes:
        optimization: effort put into it.
        float_ops: operators in float32.
        wide_ops: operators in int16x8.
        drop: loss of the plan on the held-out images, in points of top-1 or in the unit of
            another task's primary metric; of several outputs, the largest.
        agreement: percentage of held-out images with the float network's answer; SQNR in dB in a
            task without answers.
        output: name of the output with this loss; empty for a network with one.
        narrow_ops: operators with weights in 4 bits.
    """

    optimization: Optimization
    float_ops: tuple[str, ...]
    wide_ops: tuple[str, ...]
    drop: float
    agreement: float
    output: str = ""
    narrow_ops: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "optimization": self.optimization.value,
            "float_ops": list(self.float_ops),
            "wide_ops": list(self.wide_ops),
            "drop": self.drop,
            "agreement": self.agreement,
            **({"output": self.output} if self.output else {}),
            **({"narrow_ops": list(self.narrow_ops)} if self.narrow_ops else {}),
        }


@dataclass(frozen=True)
class Repair:
    """Result of a search.

    Attributes:
        limit: largest drop, in the unit of the task's primary metric.
        images: number of images that plans were judged on.
        steps: judged plans in order; the first is the requested one.
        chosen: plan to use.
        share: share of the multiply-adds that the chosen plan has in float32 and int16.
        ranking: sensitivity of the layers; None if it was not needed.
        labelled: whether the images have labels that fit; otherwise float's answers count as right.
        unit: unit of the drops, in words.
    """

    limit: float
    images: int
    steps: tuple[Step, ...]
    chosen: Step
    share: float = 0.0
    ranking: Sensitivity | None = field(default=None, repr=False)
    labelled: bool = True
    unit: str = "points"

    @property
    def holds(self) -> bool:
        """Whether the plan keeps the limit on the held-out images."""
        return self.chosen.drop <= self.limit

    def applied(self, recipe: Recipe) -> Recipe:
        """Recipe with the settings of the chosen plan."""
        settings = replace(
            recipe.settings,
            optimization=self.chosen.optimization,
            float_ops=self.chosen.float_ops,
            wide_ops=self.chosen.wide_ops,
            narrow_ops=self.chosen.narrow_ops,
        )
        return replace(recipe, settings=settings)

    def remarks(self) -> list[str]:
        """Sentences for the report; none if the requested plan keeps the limit."""
        first, chosen = self.steps[0], self.chosen
        where = f"on {self.images} held-out calibration images"
        if not self.labelled:
            where += " (float's answers count as right, for they have no labels that fit)"
        sentences = []
        if chosen != first:
            what = [f"--optimize {chosen.optimization.value}"]
            if widened := len(first.narrow_ops) - len(chosen.narrow_ops):
                what.append(f"{widened} of {len(first.narrow_ops)} weights in 8 bits")
            for kind, before, after in (
                ("float32", first.float_ops, chosen.float_ops),
                ("int16x8", first.wide_ops, chosen.wide_ops),
            ):
                if added := [name for name in after if name not in before]:
                    names = ", ".join(f"{name}{self._why(name)}" for name in added)
                    share = f"{100 * self.share:.1f} % of the multiply-adds"
                    what.append(f"kept in {kind} ({share}) {names}")
            sentences.append(
                f"repaired for --max-drop {self.limit:g}: {'; '.join(what)}; the drop {where} went "
                f"from {_said(first)} to {_said(chosen)} {self.unit}"
            )
        if not self.holds:
            sentences.append(
                f"no plan within --max-float-share kept --max-drop {self.limit:g} {where}; "
                f"the best of them loses {_said(chosen)} {self.unit}"
            )
        return sentences

    def _why(self, name: str) -> str:
        """Loss from an operator's weights and activations in int8, in brackets."""
        rows = [] if self.ranking is None else self.ranking.layers
        row = next((row for row in rows if row.name == name), None)
        if row is None:
            return ""
        parts = [
            f"{part} alone {effect.sqnr_db:.1f} dB"
            for part, effect in (("weights", row.weights), ("activations", row.activations))
            if effect is not None and effect.sqnr_db is not None
        ]
        return f" ({', '.join(parts)})" if parts else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "max_drop": self.limit,
            "held_out_images": self.images,
            "holds": self.holds,
            "steps": [step.to_dict() for step in self.steps],
            "chosen": self.chosen.to_dict(),
            "float_share": self.share,
        }


def _said(step: Step) -> str:
    return f"{step.drop:.2f}" + (f" ({step.output})" if step.output else "")


@dataclass(frozen=True)
class Limits:
    """Limits of a repair.

    Attributes:
        max_drop: largest drop, in the unit of the task's primary metric.
        most: largest share of the multiply-adds that may leave int8.
        type: type of the operators that leave int8.
    """

    max_drop: float
    most: float
    type: RepairType = RepairType.FLOAT32


@dataclass
class Repairer:
    """Searches for plans of one model.

    Attributes:
        planner: planner of the model, with its calibration set.
        outputs: outputs of the model; plans are judged by the largest loss of those with true
            values, or of all where no output has some.
        limits: limits of the repair.
        made: finished repairs by requested settings.
    """

    planner: Planner
    outputs: tuple[Output, ...]
    limits: Limits
    made: dict[PlanSettings, Repair] = field(default_factory=dict, repr=False)

    def repaired(self, recipe: Recipe, advance: Callable[[int], None]) -> Repair:
        """Repair of the plan of a recipe.

        Args:
            recipe: recipe of an int8 file that the engine plans.
            advance: called with the number of images and operators just done.
        """
        asked = self.planner.completed(recipe).settings
        if asked not in self.made:
            self.made[asked] = self._search(asked, advance)
        return self.made[asked]

    def _search(self, asked: PlanSettings, advance: Callable[[int], None]) -> Repair:
        steps: list[Step] = []
        first = asked.optimization
        for level in _LEVELS[_LEVELS.index(first) :] if first in _LEVELS else (first,):
            tried = replace(asked, optimization=level)
            steps.append(self._step(tried, advance))
            if steps[-1].drop <= self.limits.max_drop:
                return self._repair(steps, steps[-1])
        if asked.bits == 4:
            tried, found = self._in_more_bits(steps, tried, advance)
            if found is not None:
                return self._repair(steps, found)
        return self._with_others(steps, tried, advance)

    def _in_more_bits(
        self, steps: list[Step], asked: PlanSettings, advance: Callable[[int], None]
    ) -> tuple[PlanSettings, Step | None]:
        """Give ever more weights 8 bits, each time those whose 4 bits cost most for their bytes.

        Returns:
            Settings with the most 8-bit weights that were tried, and the step that keeps the limit;
            None where none does.
        """
        noise = measured_noise(self.planner, self.outputs, asked, advance)
        tried = [replace(asked, narrow_ops=names) for names in shares(self.planner.graph, noise)]
        taken: dict[int, Step] = {}

        def holds(number: int) -> bool:
            taken[number] = self._step(tried[number], advance)
            steps.append(taken[number])
            return taken[number].drop <= self.limits.max_drop

        least = first_that_holds(len(tried), holds)
        return (tried[-1] if tried else asked), None if least is None else taken[least]

    def _with_others(
        self, steps: list[Step], asked: PlanSettings, advance: Callable[[int], None]
    ) -> Repair:
        """Take ever more operators out of int8, the costliest first, until the limit is kept."""
        graph = self.planner.graph
        prepared = settled(graph, self._halves.fitting, self.planner.contract, asked, advance)
        ranking = sensitivity(
            prepared, asked, self._ranked, advance, frozenset({WEIGHTS, ACTIVATIONS})
        )
        sets = [
            names
            for names in self._growing(prepared.graph, Noise.of(ranking), asked)
            if float_share(graph, names) <= self.limits.most
            and (asked.bits == 8 or not names.issuperset(asked.narrow_ops))
        ]
        tried: dict[int, Step] = {}

        def holds(number: int) -> bool:
            ordered = tuple(op.name for op in graph.ops if op.name in sets[number])
            tried[number] = self._step(self._moved(asked, ordered), advance)
            steps.append(tried[number])
            return tried[number].drop <= self.limits.max_drop

        if (least := first_that_holds(len(sets), holds)) is None:
            return self._repair(steps, min(steps, key=lambda step: step.drop), ranking)
        return self._repair(steps, tried[least], ranking)

    def _growing(self, graph: Graph, noise: Noise, asked: PlanSettings) -> Iterator[frozenset[str]]:
        if self.limits.type is RepairType.FLOAT32:
            able = frozenset(op.name for op in graph.ops if op.name not in asked.wide_ops)
            return growing(graph, noise, frozenset(asked.float_ops), able)
        floats = asked.float_ops
        able = frozenset(
            op.name for op in graph.ops if can_be_wide(graph, op) and op.name not in floats
        )
        return growing(graph, noise.of_activations(), frozenset(asked.wide_ops), able)

    def _moved(self, asked: PlanSettings, names: tuple[str, ...]) -> PlanSettings:
        if self.limits.type is RepairType.INT16:
            return replace(asked, wide_ops=names)
        return replace(asked, float_ops=names)

    def _step(self, tried: PlanSettings, advance: Callable[[int], None]) -> Step:
        graph = self.planner.graph
        plan = make_plan(graph, self._halves.fitting, self.planner.contract, tried, advance)
        loss, output = self._judge.worst(PlannedNetwork(plan.network(graph), plan))
        wide = plan.settings.wide_ops
        narrow = plan.settings.narrow_ops
        return Step(
            tried.optimization, tried.float_ops, wide, loss.drop, loss.agreement, output, narrow
        )

    def _repair(
        self, steps: list[Step], chosen: Step, ranking: Sensitivity | None = None
    ) -> Repair:
        share = float_share(self.planner.graph, (*chosen.float_ops, *chosen.wide_ops))
        images = self._judge.count
        limit, labelled = self.limits.max_drop, self._halves.labelled
        unit = self._judge.unit
        return Repair(limit, images, tuple(steps), chosen, share, ranking, labelled, unit)

    @property
    def _calibration(self) -> CalibrationSet:
        calibration = self.planner.calibration
        assert calibration is not None  # every planned recipe has calibration images
        return calibration

    @cached_property
    def _halves(self) -> Halves:
        values = [self.planner.contract.shape, *(output.shape for output in self.outputs)]
        size = 4 * max(math.prod(shape) for shape in values)  # bytes
        most = min(MOST_JUDGED, max(1, JUDGED_BYTES // size))
        return halves(self._calibration, self.outputs, most)

    @property
    def _ranked(self) -> LabelledImages:
        return halves(self._calibration, self.outputs, RANKED_IMAGES).judged

    @cached_property
    def _judge(self) -> Judge:
        contract, held = self.planner.contract, self._halves
        judged = tuple(
            answer
            for answer in answers(contract, self.outputs)
            if not held.targets or answer.name in held.targets
        )
        compare = Comparison.of(self.planner.graph, held, contract, self.outputs, judged)
        return Judge(compare, held.judged.count, judged)


def first_that_holds(count: int, holds: Callable[[int], bool]) -> int | None:
    """Smallest number below ``count`` that holds; None if the last does not hold.

    Larger numbers are assumed to hold too. Tries 0, 1, 3, 7, ... until one holds, then halves
    the interval between the last two, so that few numbers are tried.
    """
    failed, number = -1, 0
    # Double the number until it holds.
    while number < count and not holds(number):
        if number == count - 1:
            return None
        failed, number = number, min(2 * number + 1, count - 1)
    if number >= count:
        return None
    # Bisect: ``failed`` does not hold, ``number`` does.
    while number - failed > 1:
        middle = (failed + number) // 2
        if holds(middle):
            number = middle
        else:
            failed = middle
    return number
