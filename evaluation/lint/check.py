"""Interface of the checks of ``edgequant lint``; a check is one file of this package."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

from calibration_data.datasets.base import GIVE_LABELS
from evaluation.lint.judging import NO_LABELS
from evaluation.lint.subject import Subject


class State(StrEnum):
    """Result of a check."""

    FOUND = "found"
    NOTED = "noted"
    """A fault for some uses only: it is reported, and the command does not fail."""
    CLEAN = "clean"
    NOT_MEASURED = "not measured"
    """The check does not apply to the file or the data."""
    NOT_JUDGED = "not judged"
    """The data cannot show whether there is a fault: the check is not passed."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one check.

    Attributes:
        state: result of the check.
        sentence: sentence with the deciding figure, without a full stop.
        figures: numbers of the sentence, for JSON.
        remedy: what to do, in the imperative; empty unless found or not judged.
    """

    state: State
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True)
class LintCheck:
    """A check for one fault; modules of this package define one as ``CHECK``.

    Attributes:
        name: registered name.
        summary: one line for listings.
        run: subject -> outcome.
        needs_images: whether the check needs the network's answers to images.
        compares: whether it compares accuracies, which needs labels that match the outputs.
        per_output: whether it looks at the numbers of an output, so that a network with several
            has it checked for each.
        order: position in the report, ascending.
    """

    name: str
    summary: str
    run: Callable[[Subject], Outcome] = field(repr=False)
    needs_images: bool = True
    compares: bool = False
    per_output: bool = False
    order: int = 50


@dataclass(frozen=True)
class CheckedFault:
    """A check with its outcome.

    Attributes:
        check: the check.
        outcome: its outcome.
        output: name of the output that was checked; empty for a network with one, and for checks
            of the whole file.
    """

    check: LintCheck
    outcome: Outcome
    output: str = ""

    @property
    def name(self) -> str:
        """Name of the check, with the output that it looked at."""
        return f"{self.check.name} ({self.output})" if self.output else self.check.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "check": self.check.name,
            "state": self.outcome.state.value,
            "sentence": self.outcome.sentence,
            "figures": self.outcome.figures,
            "remedy": self.outcome.remedy,
            **({"output": self.output} if self.output else {}),
        }


def lint_checks() -> tuple[LintCheck, ...]:
    """All checks in the order of the report: ``CHECK`` of each module of this package."""
    package = import_module(__package__)
    modules = (
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    )
    checks = (module.CHECK for module in modules if hasattr(module, "CHECK"))
    return tuple(sorted(checks, key=lambda check: (check.order, check.name)))


def lint(subject: Subject) -> tuple[CheckedFault, ...]:
    """Run every check; without answers to images, the checks that need them are not measured."""
    return tuple(CheckedFault(check, _outcome(check, subject)) for check in lint_checks())


def lint_outputs(main: Subject, others: Mapping[str, Subject]) -> tuple[CheckedFault, ...]:
    """Run every check on a network with several outputs.

    Args:
        main: the network with the answers of the output that has labels, or of the first one.
        others: the network with the answers of each other output, by its name.
    """
    faults: list[CheckedFault] = []
    for check in lint_checks():
        output = main.output_name if check.per_output else ""
        faults.append(CheckedFault(check, _outcome(check, main), output))
        if check.per_output:
            faults += [
                CheckedFault(check, _outcome(check, subject), name)
                for name, subject in others.items()
            ]
    return tuple(faults)


def _outcome(check: LintCheck, subject: Subject) -> Outcome:
    if check.needs_images and subject.evidence is None:
        return Outcome(State.NOT_MEASURED, "needs a fixed image size")
    if check.compares and subject.labels is None:
        return not_judged(subject.unjudged or NO_LABELS, GIVE_LABELS)
    outcome = check.run(subject)
    if check.compares and subject.unjudged and outcome.state is State.CLEAN:
        return not_judged(subject.unjudged)
    return outcome


def clean(sentence: str, **figures: float) -> Outcome:
    """Outcome where there is no fault."""
    return Outcome(State.CLEAN, sentence, figures)


NO_CONVENTION = Outcome(
    State.NOT_MEASURED, "the input is a plain array, whose range no convention sets"
)
"""Outcome of checks that try other means and standard deviations of pixels."""

_MATCH = "give --labels FILE, the data that the network was trained for, or more images"


def not_judged(reason: str, remedy: str = _MATCH) -> Outcome:
    """Outcome where the data cannot show whether there is a fault."""
    return Outcome(State.NOT_JUDGED, reason, remedy=remedy)


def found(sentence: str, remedy: str, **figures: float) -> Outcome:
    """Outcome where there is a fault."""
    return Outcome(State.FOUND, sentence, figures, remedy)
