"""Fault: pixels normalized twice, by the caller and by the file, or twice inside the file."""

from __future__ import annotations

from evaluation.lint.check import NO_CONVENTION, LintCheck, Outcome, clean, found
from evaluation.lint.hypotheses import Kind
from evaluation.lint.subject import Subject


def run(subject: Subject) -> Outcome:
    """Compare the accuracy on pixels without normalization with that on the stated numbers."""
    if subject.contract.plain:
        return NO_CONVENTION
    evidence = subject.measured
    best, stated = evidence.best, evidence.stated
    kinds = (Kind.PIXELS, Kind.UNDONE)
    raw = max(
        (t for t in evidence.trials if t.hypothesis.kind in kinds), key=lambda t: t.accuracy()
    )
    figures = {"stated_top1": stated.accuracy(), "raw_top1": raw.accuracy()}
    sentence = (
        f"top-1 {raw.accuracy():.1f} % on {raw.hypothesis.name}, {stated.accuracy():.1f} % on "
        f"the stated numbers"
    )
    if best.hypothesis.kind is Kind.PIXELS:
        remedy = "the file normalizes by itself: state mean = 0 and std = 1"
        return found(sentence, remedy, **figures)
    if best.hypothesis.kind is Kind.UNDONE:
        return found(sentence, "take one of the two normalizations out of the file", **figures)
    return clean(sentence, **figures)


CHECK = LintCheck(
    "double-normalization", "normalized by the caller and by the file", run, compares=True, order=10
)
