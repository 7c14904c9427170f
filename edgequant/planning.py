"""Plans of a model, each made once and shared by all files that render it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from calibration_data.calibration_set import BATCH_SIZE, CalibrationSet
from calibration_data.preprocessing import Preprocessing
from edgequant.loading import graph_read
from export.target import export_targets
from foundation.errors import InvalidInputError, UnsupportedError
from models.loading.request import LoadedModel
from network.graph import Graph
from network.keras_file.reader import canonical_of
from quantize.engine import make_plan
from quantize.floating import floating_settings
from quantize.islands import (
    MOST_FLOAT,
    FloatOperator,
    check_examples,
    check_float_ends,
    check_runs,
    check_share,
    check_trainable,
    islands,
    named,
    note,
    with_islands,
)
from quantize.plans.narrow import narrow_settings
from quantize.plans.plan import PlannedNetwork
from quantize.plans.widening import whole_settings, widened
from quantize.qat.exchange import QatSettings
from quantize.ranges.extremes import BATCH
from quantize.ranges.float_pass import CalibrationImages, FloatPass
from quantize.ranges.parts import PartRunner, Parts
from quantize.recipes import Recipe
from quantize.settings import FLOATING, Optimization, PlanSettings


@dataclass
class Planner:
    """Model with the plans that were made for it.

    Attributes:
        loaded: network, as Keras model or as graph.
        contract: preprocessing of its input.
        calibration: representative images; None if no recipe needs them.
        qat: settings of plans that are trained.
        made: finished plans by settings.
        most_float: largest share of the multiply-adds that operators without an integer form may
            have.
        judged: error of ``require_writable`` by recipe, or None for one that can be written.
        runner: what runs the float network on the calibration images; None for this process.
        passes: passes of the float network, which plans share (``CalibrationImages``).
    """

    loaded: LoadedModel = field(repr=False)
    contract: Preprocessing
    calibration: CalibrationSet | None
    qat: QatSettings = field(default_factory=QatSettings)
    made: dict[PlanSettings, PlannedNetwork] = field(default_factory=dict, repr=False)
    most_float: float = MOST_FLOAT
    judged: dict[Recipe, UnsupportedError | None] = field(default_factory=dict, repr=False)
    runner: PartRunner | None = field(default=None, repr=False)
    passes: dict[bytes, FloatPass] = field(default_factory=dict, repr=False)

    @cached_property
    def graph(self) -> Graph:
        """Canonical float graph of the model."""
        read = graph_read(self.loaded)
        if read is not None:
            return canonical_of(read, self.contract)
        from network.from_keras import from_keras

        return from_keras(self.loaded.model, self.contract)

    @cached_property
    def converters(self) -> Graph:
        """Float graph that TensorFlow's converter makes of the model."""
        read = graph_read(self.loaded)
        if read is not None:
            return read
        from network.from_keras import as_converted

        return as_converted(self.loaded.model, self.contract)

    def written_from(self, recipe: Recipe) -> Graph:
        """Float graph that the file of a recipe is written from."""
        converter = export_targets()[recipe.target].by_converter and not recipe.planned
        return self.converters if converter and recipe.needs_calibration else self.graph

    @property
    def images(self) -> CalibrationImages:
        """Calibration set in the engine's form.

        Raises:
            InvalidInputError: there is no calibration set.
        """
        if self.calibration is None:
            raise InvalidInputError(
                "a plan is made on calibration images",
                received="none",
                remedy="give --calibration DATA",
            )
        batches, count = self.calibration.batches, len(self.calibration.dataset)
        parts = None
        if self.runner is not None:
            parts = Parts(self.runner, np.arange(count), BATCH_SIZE)
        return CalibrationImages(
            count, batches, lambda chosen: batches(BATCH, chosen), parts, self.passes
        )

    def require_writable(self, recipe: Recipe) -> None:
        """Refuse a recipe whose file cannot hold the network, before a plan is made for it.

        Raises:
            UnsupportedError: names the operator that cannot be written or trained, or those that
                would stay in float32 with more than ``most_float`` of the multiply-adds.
        """
        asked = recipe.settings.float_ops
        recipe = self._with_plan(recipe)
        check = export_targets()[recipe.target].require_writable
        if check is not None:
            check(self.graph, recipe)
        if recipe.planned:
            _check_plannable(self.graph)
        if recipe.planned and recipe.settings.floating is None:
            check_trainable(self.graph, recipe)
        check_share(self.in_float(recipe), self.most_float, asked, recipe.name)

    def refusals(self, recipes: Iterable[Recipe]) -> dict[str, UnsupportedError]:
        """Errors of ``require_writable``, by name of the recipe."""
        refused: dict[str, UnsupportedError] = {}
        for recipe in recipes:
            if recipe not in self.judged:
                self.judged[recipe] = self._refusal(recipe)
            if (error := self.judged[recipe]) is not None:
                refused[recipe.name] = error
        return refused

    def _refusal(self, recipe: Recipe) -> UnsupportedError | None:
        try:
            self.require_writable(recipe)
        except UnsupportedError as error:
            return error
        return None

    def in_float(self, recipe: Recipe) -> tuple[FloatOperator, ...]:
        """Operators without an integer form in the files of a recipe; none for float recipes."""
        if not recipe.needs_calibration or recipe.precision in FLOATING:
            return ()
        target, recipe = export_targets()[recipe.target], self._with_plan(recipe)
        graph = self.written_from(recipe)
        reasons = {} if target.in_float is None else target.in_float(graph, recipe)
        return named(graph, reasons) if graph is not self.graph else islands(graph, reasons)

    def completed(self, recipe: Recipe) -> Recipe:
        """Recipe with every operator without an integer form in float32.

        A recipe that the target cannot write without a plan gets one.
        """
        recipe = self._with_plan(recipe)
        integers = recipe.planned and recipe.settings.floating is None
        return with_islands(recipe, self.graph) if integers else recipe

    def _with_plan(self, recipe: Recipe) -> Recipe:
        if recipe.settings.bits == 4:
            completed = with_islands(recipe, self.graph).settings
            return replace(recipe, settings=narrow_settings(self.graph, completed))
        if recipe.precision in FLOATING:
            rounded = recipe.planned or (self._rounds_floats and recipe.takes_calibration)
            return replace(recipe, settings=floating_settings(recipe)) if rounded else recipe
        needs_plan = export_targets()[recipe.target].needs_plan
        asked = needs_plan is not None and recipe.needs_calibration and not recipe.planned
        if needs_plan is None or not asked or not needs_plan(self.graph, self.converters, recipe):
            return recipe
        return replace(recipe, settings=whole_settings(self.graph, recipe.settings))

    def require_passes(self, recipes: Sequence[Recipe]) -> None:
        """Refuse recipes whose files need no float pass, where workers are to run it.

        Raises:
            InvalidInputError: the engine plans no file.
        """
        names = [recipe.name for recipe in recipes]
        if not any(self.completed(recipe).planned for recipe in recipes):
            raise InvalidInputError(
                "--workers and --cluster run the float passes of files that the engine plans",
                received=", ".join(names) + " without one",
                remedy="leave them out, or give calibration images and no --optimize converter",
            )

    @cached_property
    def _rounds_floats(self) -> bool:
        """Whether the engine can round the weights of files with float activations.

        Where it cannot, the targets write these files as they do without calibration images.
        """
        if self.calibration is None:
            return False
        try:
            _check_plannable(self.graph)
        except UnsupportedError:
            return False
        return True

    def remarks(self, recipe: Recipe) -> tuple[str, ...]:
        """Sentence about operators that only files of this format compute in float."""
        recipe = self._with_plan(recipe)
        if recipe.precision in FLOATING:
            return ()
        if recipe.settings.int16 or self.written_from(recipe) is not self.graph:
            return ()  # in the notes of the plan, or read from the written file
        planned = {op.name for op in islands(self.graph)} if recipe.planned else set()
        return note(op for op in self.in_float(recipe) if op.name not in planned)

    def planned(self, recipe: Recipe, advance: Callable[[int], None]) -> PlannedNetwork:
        """Network in the integers of a recipe.

        Args:
            recipe: recipe of an int8 file.
            advance: called with the number of images and operators just done.
        """
        if error := self.refusals([recipe]).get(recipe.name):
            raise error
        settings = self.completed(recipe).settings
        if settings not in self.made:
            trained = settings.optimization is Optimization.QAT
            first = replace(settings, wide_ops=()) if trained else settings
            plan = make_plan(self.graph, self.images, self.contract, first, advance)
            if trained:
                from quantize.qat.training import trained_plan

                # On 8-bit quantizers; int16 activations are added afterwards.
                plan = trained_plan(self.graph, plan, self.images, self.qat, advance)
            planned = PlannedNetwork(self.graph.with_values(plan.floats), plan)
            self.made[settings] = widened(planned, settings.wide_ops) if trained else planned
        return self.made[settings]


def _check_plannable(graph: Graph) -> None:
    """Refuse a network that the engine cannot run operator by operator.

    Raises:
        UnsupportedError: names the operator or output.
    """
    check_examples(graph)
    check_float_ends(graph)
    check_runs(graph)
