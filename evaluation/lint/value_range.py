"""Fault: another range of values than the network was trained with, such as [0, 1] for [-1, 1]."""

from __future__ import annotations

from evaluation.lint.check import NO_CONVENTION, LintCheck, Outcome, clean, found
from evaluation.lint.hypotheses import Kind
from evaluation.lint.subject import Subject


def run(subject: Subject) -> Outcome:
    """Compare the accuracy under every other range with that under the stated one."""
    if subject.contract.plain:
        return NO_CONVENTION
    evidence = subject.measured
    best, stated = evidence.best, evidence.stated
    other = max(
        (t for t in evidence.trials if t.hypothesis.kind is Kind.RANGE), key=lambda t: t.accuracy()
    )
    figures = {"stated_top1": stated.accuracy(), "other_top1": other.accuracy()}
    sentence = (
        f"top-1 {other.accuracy():.1f} % on {other.hypothesis.name}, {stated.accuracy():.1f} % on "
        f"the stated numbers"
    )
    if best.hypothesis.kind is not Kind.RANGE:
        return clean(sentence, **figures)
    contract = best.hypothesis.contract
    remedy = f"state mean = {_text(contract.mean)} and std = {_text(contract.std)}"
    return found(sentence, remedy, **figures)


def _text(values: tuple[float, ...]) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:g}"
    return f"[{', '.join(f'{v:g}' for v in values)}]"


CHECK = LintCheck(
    "value-range", "[0, 1] against [-1, 1], or another mean", run, compares=True, order=11
)
