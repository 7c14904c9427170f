"""What a check of ``edgequant lint`` is; a check is one file of this package."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

from calibration_data.datasets.base import GIVE_LABELS
from evaluation.lint.judging import NO_LABELS
from evaluation.lint.subject import Subject


class State(StrEnum):
    """What a check came to."""

    FOUND = "found"
    NOTED = "noted"
    """A fault only for some uses: told, and no reason to fail."""
    CLEAN = "clean"
    NOT_MEASURED = "not measured"
    """The check is about something that the file or the data have not."""
    NOT_JUDGED = "not judged"
    """The fault may be there, and these data cannot tell: not passed."""


@dataclass(frozen=True)
class Outcome:
    """What one check measured.

    Attributes:
        state: whether the fault is there.
        sentence: with the figure that says so, without a full stop.
        figures: the numbers of the sentence, for JSON.
        remedy: what to do, in the imperative; empty unless found or not judged.
    """

    state: State
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True)
class LintCheck:
    """A fault that is looked for; modules of this package define one as ``CHECK``.

    Attributes:
        name: registered name.
        summary: one line.
        run: subject -> outcome.
        needs_images: whether the network must have answered images.
        compares: whether it compares accuracies, which takes labels that count the outputs.
        order: of the report, ascending.
    """

    name: str
    summary: str
    run: Callable[[Subject], Outcome] = field(repr=False)
    needs_images: bool = True
    compares: bool = False
    order: int = 50


@dataclass(frozen=True)
class CheckedFault:
    """A check and what it came to."""

    check: LintCheck
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "check": self.check.name,
            "state": self.outcome.state.value,
            "sentence": self.outcome.sentence,
            "figures": self.outcome.figures,
            "remedy": self.outcome.remedy,
        }


def lint_checks() -> tuple[LintCheck, ...]:
    """All checks in the order of the report, found by walking this package."""
    package = import_module("evaluation.lint")
    modules = (
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    )
    checks = (module.CHECK for module in modules if hasattr(module, "CHECK"))
    return tuple(sorted(checks, key=lambda check: (check.order, check.name)))


def lint(subject: Subject) -> tuple[CheckedFault, ...]:
    """Run every check; one that needs answers is not measured where the network gave none."""
    return tuple(CheckedFault(check, _outcome(check, subject)) for check in lint_checks())


def _outcome(check: LintCheck, subject: Subject) -> Outcome:
    if check.needs_images and subject.evidence is None:
        return Outcome(State.NOT_MEASURED, "needs a fixed image size")
    if check.compares and subject.labels is None:
        return not_judged(NO_LABELS, GIVE_LABELS)
    outcome = check.run(subject)
    if check.compares and subject.unjudged and outcome.state is State.CLEAN:
        return not_judged(subject.unjudged)
    return outcome


def clean(sentence: str, **figures: float) -> Outcome:
    """The fault is not there."""
    return Outcome(State.CLEAN, sentence, figures)


_MATCH = "give --labels FILE, the data that the network was trained for, or more images"


def not_judged(reason: str, remedy: str = _MATCH) -> Outcome:
    """The data cannot tell whether the fault is there."""
    return Outcome(State.NOT_JUDGED, reason, remedy=remedy)


def found(sentence: str, remedy: str, **figures: float) -> Outcome:
    """The fault is there."""
    return Outcome(State.FOUND, sentence, figures, remedy)
