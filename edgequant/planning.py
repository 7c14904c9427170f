"""Plans of a model: made once, shared by every file that renders them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from calibration_data.calibration_set import CalibrationSet
from calibration_data.preprocessing import Preprocessing
from export.target import export_targets
from foundation.errors import InvalidInputError
from network.graph import Graph
from quantize.engine import PlanRequest, make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.plans.widening import widened
from quantize.qat.training import QatSettings, trained_plan
from quantize.ranges.extremes import BATCH
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import Optimization, Recipe

if TYPE_CHECKING:
    import keras


@dataclass
class Planner:
    """A model, and the plans that have been made for it.

    Attributes:
        model: one image in, one score a class out.
        contract: of its input.
        calibration: representative images; None where no recipe needs any.
        qat: of plans that are trained.
        made: plans by what was asked for.
    """

    model: keras.Model = field(repr=False)
    contract: Preprocessing
    calibration: CalibrationSet | None
    qat: QatSettings = field(default_factory=QatSettings)
    made: dict[PlanRequest, PlannedNetwork] = field(default_factory=dict, repr=False)

    @cached_property
    def graph(self) -> Graph:
        """The canonical float graph."""
        from network.from_keras import from_keras

        return from_keras(self.model, self.contract)

    @property
    def images(self) -> CalibrationImages:
        """The calibration set in the engine's form.

        Raises:
            InvalidInputError: there is none.
        """
        if self.calibration is None:
            raise InvalidInputError(
                "a plan is made on calibration images",
                received="none",
                remedy="give --calibration DATA",
            )
        batches = self.calibration.batches
        return CalibrationImages(
            len(self.calibration.dataset), batches, lambda chosen: batches(BATCH, chosen)
        )

    def require_writable(self, *recipes: Recipe) -> None:
        """Refuse recipes whose files cannot hold the network, before a plan is made for them.

        Raises:
            UnsupportedError: names the operator that stands against it.
        """
        for recipe in recipes:
            check = export_targets()[recipe.target].require_writable
            if recipe.planned and check is not None:
                check(self.graph, recipe)

    def planned(self, recipe: Recipe, advance: Callable[[int], None]) -> PlannedNetwork:
        """The network in the integers of a recipe.

        Args:
            recipe: an int8 one.
            advance: told of images and operators that are done.
        """
        request = plan_request(recipe)
        self.require_writable(recipe)
        if request not in self.made:
            trained = request.optimization is Optimization.QAT
            first = replace(request, wide_ops=()) if trained else request
            plan = make_plan(self.graph, self.images, self.contract, first, advance)
            if trained:  # with quantizers of 8 bits
                plan = trained_plan(self.graph, plan, self.images, self.qat, advance)
            planned = PlannedNetwork(plan.network(self.graph), plan)
            self.made[request] = widened(planned, request.wide_ops) if trained else planned
        return self.made[request]


def plan_request(recipe: Recipe) -> PlanRequest:
    """What an int8 recipe asks of the engine."""
    return PlanRequest(
        recipe.granularity,
        recipe.weight_range,
        recipe.optimization,
        recipe.float_ops,
        recipe.ranges,
        recipe.wide_ops,
    )
