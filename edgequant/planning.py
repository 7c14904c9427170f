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
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.plans.widening import widened
from quantize.qat.training import QatSettings, trained_plan
from quantize.ranges.extremes import BATCH
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import Optimization, PlanSettings, Recipe

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
    made: dict[PlanSettings, PlannedNetwork] = field(default_factory=dict, repr=False)

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
        settings = recipe.settings
        self.require_writable(recipe)
        if settings not in self.made:
            trained = settings.optimization is Optimization.QAT
            first = replace(settings, wide_ops=()) if trained else settings
            plan = make_plan(self.graph, self.images, self.contract, first, advance)
            if trained:  # with quantizers of 8 bits
                plan = trained_plan(self.graph, plan, self.images, self.qat, advance)
            planned = PlannedNetwork(plan.network(self.graph), plan)
            self.made[settings] = widened(planned, settings.wide_ops) if trained else planned
        return self.made[settings]
