"""A plan that keeps ``--max-drop``, found on held-out calibration images.

First more work goes into the integers, then the operators whose integers cost most stay in
float32, or get int16 activations, the fewest that do. Half of the calibration images decide, the
other half judges; the gate itself is judged once, on images that took no part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from calibration_data.calibration_set import CalibrationSet
from edgequant.planning import Planner
from edgequant.repair.heldout import Halves, halves
from network.graph import Graph
from network.run_tensorflow import run
from quantize.engine import make_plan, settled
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import float_share, simulated
from quantize.plans.widening import can_be_wide
from quantize.recipes import Optimization, PlanSettings, Recipe, RepairType
from quantize.sensitivity.mixed_precision import Noise, growing
from quantize.sensitivity.ranking import LabelledImages, Sensitivity, sensitivity

MOST_JUDGED = 1000
JUDGED_BYTES = 256 * 1024**2
RANKED_IMAGES = 64
_BATCH = 32
_LEVELS = (Optimization.FAST, Optimization.DEFAULT, Optimization.BEST)


@dataclass(frozen=True)
class Step:
    """One plan that was tried.

    Attributes:
        optimization: work put into it.
        float_ops: operators in float32.
        wide_ops: operators in int16x8.
        drop: float minus plan on the held-out images, in points of top-1.
        agreement: percent of them with the same answer.
    """

    optimization: Optimization
    float_ops: tuple[str, ...]
    wide_ops: tuple[str, ...]
    drop: float
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "optimization": self.optimization.value,
            "float_ops": list(self.float_ops),
            "wide_ops": list(self.wide_ops),
            "drop": self.drop,
            "agreement": self.agreement,
        }


@dataclass(frozen=True)
class Repair:
    """What came of it.

    Attributes:
        limit: points that may be lost.
        images: that judged.
        steps: plans that were tried, in order; the first is what was asked for.
        chosen: the plan to take.
        share: of the multiply-adds that it leaves in float32 and int16.
        ranking: of the layers; None where it was not needed.
        labelled: whether right answers to the images are known; otherwise float's count as right.
    """

    limit: float
    images: int
    steps: tuple[Step, ...]
    chosen: Step
    share: float = 0.0
    ranking: Sensitivity | None = field(default=None, repr=False)
    labelled: bool = True

    @property
    def holds(self) -> bool:
        """Whether the plan keeps the limit on the held-out images."""
        return self.chosen.drop <= self.limit

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe of the chosen plan; the recipe itself where nothing was to repair."""
        settings = replace(
            recipe.settings,
            optimization=self.chosen.optimization,
            float_ops=self.chosen.float_ops,
            wide_ops=self.chosen.wide_ops,
        )
        return replace(recipe, settings=settings)

    def remarks(self) -> list[str]:
        """Sentences for the report; none where nothing was to repair."""
        first, chosen = self.steps[0], self.chosen
        where = f"on {self.images} held-out calibration images"
        if not self.labelled:
            where += " (float's answers count as right, for they have no labels that fit)"
        said = []
        if chosen != first:
            what = [f"--optimize {chosen.optimization.value}"]
            for kind, before, after in (
                ("float32", first.float_ops, chosen.float_ops),
                ("int16x8", first.wide_ops, chosen.wide_ops),
            ):
                if added := [name for name in after if name not in before]:
                    kept = ", ".join(f"{name}{self._why(name)}" for name in added)
                    share = f"{100 * self.share:.1f} % of the multiply-adds"
                    what.append(f"kept in {kind} ({share}) {kept}")
            said.append(
                f"repaired for --max-drop {self.limit:g}: {'; '.join(what)}; the drop {where} went "
                f"from {first.drop:.2f} to {chosen.drop:.2f} points"
            )
        if not self.holds:
            said.append(
                f"no plan within --max-float-share kept --max-drop {self.limit:g} {where}; "
                f"the best of them loses {chosen.drop:.2f} points"
            )
        return said

    def _why(self, name: str) -> str:
        """What an operator costs in integers, in brackets."""
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


@dataclass(frozen=True)
class Limits:
    """What a repair has to keep.

    Attributes:
        max_drop: points of top-1 that may be lost.
        most: share of the multiply-adds that may leave int8.
        type: what for.
    """

    max_drop: float
    most: float
    type: RepairType = RepairType.FLOAT32


@dataclass
class Repairer:
    """Finds plans of one model.

    Attributes:
        planner: with the model and its calibration set.
        classes: outputs of the model.
        limits: to keep.
        made: by what was asked for.
    """

    planner: Planner
    classes: int
    limits: Limits
    made: dict[PlanSettings, Repair] = field(default_factory=dict, repr=False)

    def repaired(self, recipe: Recipe, advance: Callable[[int], None]) -> Repair:
        """The plan to take for a recipe.

        Args:
            recipe: an int8 one that the engine plans.
            advance: told of images and operators that are done.
        """
        asked = recipe.settings
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
        return self._with_others(steps, tried, advance)

    def _with_others(
        self, steps: list[Step], asked: PlanSettings, advance: Callable[[int], None]
    ) -> Repair:
        """Take operators out of int8, the costly first: 1, 2, 4, ... sets, then between two."""
        graph = self.planner.graph
        prepared = settled(graph, self._halves.fitting, self.planner.contract, asked, advance)
        ranking = sensitivity(prepared, asked, self._ranked, advance)
        sets = [
            names
            for names in self._growing(prepared.graph, Noise.of(ranking), asked)
            if float_share(graph, names) <= self.limits.most
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
        return self._judge.step(tried, PlannedNetwork(plan.network(graph), plan))

    def _repair(
        self, steps: list[Step], chosen: Step, ranking: Sensitivity | None = None
    ) -> Repair:
        share = float_share(self.planner.graph, (*chosen.float_ops, *chosen.wide_ops))
        images = len(self._judge.images)
        limit, labelled = self.limits.max_drop, self._halves.labelled
        return Repair(limit, images, tuple(steps), chosen, share, ranking, labelled)

    @property
    def _calibration(self) -> CalibrationSet:
        calibration = self.planner.calibration
        assert calibration is not None  # a planned recipe needs one, and has been given it
        return calibration

    @cached_property
    def _halves(self) -> Halves:
        height, width = self.planner.contract.size
        most = min(MOST_JUDGED, max(1, JUDGED_BYTES // (height * width * 3 * 4)))
        return halves(self._calibration, self.classes, most)

    @property
    def _ranked(self) -> LabelledImages:
        return halves(self._calibration, self.classes, RANKED_IMAGES).judged

    @cached_property
    def _judge(self) -> Judge:
        return Judge.of(self.planner.graph, self._halves.judged)


def first_that_holds(count: int, holds: Callable[[int], bool]) -> int | None:
    """The first of ``count`` ever better things that holds; None when the last does not.

    Looked for at 0, 1, 3, 7, ... and then between the last two, so that few are tried.
    """
    failed, number = -1, 0
    while number < count and not holds(number):
        if number == count - 1:
            return None
        failed, number = number, min(2 * number + 1, count - 1)
    if number >= count:
        return None
    while number - failed > 1:
        middle = (failed + number) // 2
        if holds(middle):
            number = middle
        else:
            failed = middle
    return number


@dataclass(frozen=True)
class Judge:
    """Held-out images with the float network's scores.

    Attributes:
        images: float32 ``[n, height, width, 3]``.
        labels: int64 ``[n]``.
        exact: float32 ``[n, classes]``.
    """

    images: np.ndarray
    labels: np.ndarray
    exact: np.ndarray

    @classmethod
    def of(cls, graph: Graph, judged: LabelledImages) -> Judge:
        """Run the float network; its answers are the labels where there are none."""
        pairs = list(judged.batches())
        images = np.concatenate([images for images, _ in pairs])
        exact = np.concatenate(
            [run(graph, images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        )
        given = [labels for _, labels in pairs if labels is not None]
        return cls(images, np.concatenate(given) if given else exact.argmax(axis=1), exact)

    def step(self, request: PlanSettings, planned: PlannedNetwork) -> Step:
        """Run a plan and compare."""
        found = np.concatenate(
            [
                simulated(planned, self.images[i : i + _BATCH])
                for i in range(0, len(self.images), _BATCH)
            ]
        ).argmax(axis=1)
        said = self.exact.argmax(axis=1)
        lost = int((said == self.labels).sum()) - int((found == self.labels).sum())
        return Step(
            optimization=request.optimization,
            float_ops=request.float_ops,
            wide_ops=planned.plan.settings.wide_ops,
            drop=100 * lost / len(found),
            agreement=100 * float((found == said).mean()),
        )
