"""Tasks of a sweep: each a command of its own, named by the content of all that it depends on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import Any

import click

from calibration_data.contract import contract_values
from calibration_data.splits import calibration_beside
from edgequant.artifacts import data_digest, key_of, versions
from edgequant.cli.quantizing import quantize
from edgequant.cli.request_options import quantize_request
from edgequant.cli.sections import HELP_NAMES
from edgequant.loading import own_contract
from edgequant.preparing import open_inputs
from edgequant.requests import QuantizeRequest
from edgequant.sweeping.plan import Models, SweepPlan
from evaluation.machine import PACKAGES
from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest
from quantize.recipes import recipe

_WORK = {"default": 2.0, "best": 8.0, "qat": 20.0}
"""Seconds of a task beside those with the least effort, by value of ``--optimize``."""


@dataclass(frozen=True)
class Choice:
    """What a task is, on each axis of the grid; None where the registered value holds.

    Attributes:
        model: name of the model with its variant, as files have it.
        reference: registered name or path.
        weights: name or file of the weights.
        alpha: width multiplier.
        size: side of the input in pixels.
        recipe: name of the recipe.
        effort: value of ``--optimize``; None for recipes without calibration.
        samples: number of calibration images.
        seed: seed of their drawing; None for recipes without calibration.
    """

    model: str
    reference: str
    weights: str | None
    alpha: float | None
    size: int | None
    recipe: str
    effort: str | None
    samples: int | None
    seed: int | None

    @property
    def work(self) -> float:
        """Guess at the work beside that of other choices of a plan; without a unit."""
        pixels = float(self.size or 1) ** 2
        return pixels * (self.alpha or 1.0) * _WORK.get(self.effort or "", 1.0)

    @property
    def text(self) -> str:
        """The choice in a line."""
        more = [
            text
            for text, given in (
                (f"weights {self.weights}", self.weights),
                (self.effort or "", self.effort),
                (f"{self.samples} samples", self.samples),
                (f"seed {self.seed}", self.seed),
            )
            if given
        ]
        return ", ".join([f"{self.model} {self.recipe}", *more])


@dataclass(frozen=True)
class Task:
    """One file to make and to measure.

    Attributes:
        key: hash of the model, its contract, the images, the settings and our source: tasks with
            equal keys have equal results.
        choice: what it is.
        float_key: hash of the float network and the measured images, which tasks share.
        words: words of ``edgequant quantize``, without ``--output``.
        cost_words: words of ``edgequant cost`` for the same model.
    """

    key: str
    choice: Choice
    float_key: str
    words: tuple[str, ...]
    cost_words: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Task:
        """Task of the values of ``to_dict``."""
        return cls(
            values["key"],
            Choice(**values["choice"]),
            values["float_key"],
            tuple(values["words"]),
            tuple(values["cost_words"]),
        )


def tasks_of(plan: SweepPlan, most: int) -> tuple[Task, ...]:
    """Tasks of a plan in the order of its axes; each is checked as its command would be.

    Args:
        plan: the grid.
        most: largest number of tasks.

    Raises:
        InvalidInputError: more tasks than ``most``, or a model, recipe, value or image set that
            the command would refuse.
    """
    points = tuple(_points(plan))
    if len(points) > most:
        raise InvalidInputError(
            f"a sweep has at most {most:,} tasks (--max-tasks)",
            received=f"{len(points):,}",
            remedy="give --max-tasks a larger number, or the plan fewer values",
        )
    namer = _Namer(plan)
    return tuple({task.key: task for task in map(namer.task, points)}.values())


@dataclass(frozen=True)
class _Point:
    models: Models
    weights: str | None
    alpha: float | None
    size: int | None
    recipe: str
    effort: str | None
    samples: int | None
    seed: int | None


def _points(plan: SweepPlan) -> Iterator[_Point]:
    """Points of the grid; settings of the calibration only where a recipe has one."""
    for models in plan.models:
        variants = product(models.weights, models.alphas, models.sizes, plan.recipes)
        for weights, alpha, size, name in variants:
            settings: Any = ((None, None, None),)
            if recipe(name).needs_calibration:
                settings = product(plan.efforts, plan.samples, plan.seeds)
            for effort, samples, seed in settings:
                yield _Point(models, weights, alpha, size, name, effort, samples, seed)


class _Namer:
    """Tasks of points; what many of them share is read once."""

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._calibration = plan.calibration or calibration_beside(plan.data)
        self._checked: set[bool] = set()
        self._digest = cache(ModelRequest.digest)
        self._data = cache(data_digest)
        self._versions = versions(PACKAGES)

    def task(self, point: _Point) -> Task:
        """Task of a point."""
        words = self._words(point)
        request = request_of(words)
        needs = request.recipes[0].needs_calibration
        if needs not in self._checked:  # the same images for every task
            open_inputs(request)
            self._checked.add(needs)
        if not request.model.is_file:
            request.model.spec()
        own, path = own_contract(request.model)
        network = {
            "model": self._digest(request.model),
            "contract": contract_values(request.contract, own=own, model_path=path),
            "data": self._data(self._plan.data),
            "versions": self._versions,
        }
        calibration = self._data(self._calibration) if needs else None
        key = key_of({**network, "words": words, "calibration": calibration})
        drawn = [self._plan.data, self._plan.limit, *(self._plan.seeds if self._plan.limit else ())]
        of_model = [self._model(point), point.models.options]
        float_key = key_of({**network, "words": of_model, "drawn": drawn})
        choice = Choice(
            request.model.name,
            point.models.model,
            point.weights,
            point.alpha,
            point.size,
            point.recipe,
            point.effort,
            point.samples,
            point.seed,
        )
        return Task(key, choice, float_key, words, self._cost_words(point))

    def _words(self, point: _Point) -> tuple[str, ...]:
        plan = self._plan
        values = {
            **self._model(point),
            **dict(point.models.options),
            "recipe": point.recipe,
            "optimize": point.effort,
            "samples": point.samples,
            "seed": point.seed if point.seed is not None else plan.seeds[0],
            "calibration": self._calibration if point.effort is not None else None,
            "data": plan.data,
            "limit": plan.limit,
        }
        latency = () if plan.latency else ("--no-latency",)
        return ("quantize", *_words(values), *latency)

    def _cost_words(self, point: _Point) -> tuple[str, ...]:
        names = ("classes", "activation", "channels")
        options = {name: text for name, text in point.models.options if name in names}
        return ("cost", *_words({**self._model(point), **options}))

    @staticmethod
    def _model(point: _Point) -> dict[str, Any]:
        return {
            "model": point.models.model,
            "weights": point.weights,
            "alpha": point.alpha,
            "size": point.size,
        }


def _words(values: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None
    )


def request_of(words: tuple[str, ...]) -> QuantizeRequest:
    """Request of the words of ``edgequant quantize``.

    Raises:
        InvalidInputError: words that the command does not take.
    """
    try:
        context = quantize.make_context(words[0], list(words[1:]), help_option_names=[*HELP_NAMES])
    except click.ClickException as error:
        raise InvalidInputError(
            "a value in a plan is one that its option of 'edgequant quantize' takes",
            received=error.format_message().rstrip("."),
            remedy="correct it; docs/commands.md has every option",
        ) from error
    return quantize_request(dict(context.params))
