"""Fault: labels and outputs are shifted by one, as with a background class at 0."""

from __future__ import annotations

from evaluation.lint.check import LintCheck, Outcome, clean, found
from evaluation.lint.hypotheses import SHIFTS, leads
from evaluation.lint.subject import Subject


def run(subject: Subject) -> Outcome:
    """Compare the accuracy at output ``label + 1`` or ``label - 1`` with that at ``label``."""
    trial = subject.measured.answers
    shift = max((s for s in SHIFTS if s), key=lambda s: trial.accuracy(s))
    shifted, plain = trial.accuracy(shift), trial.accuracy(0)
    sentence = f"top-1 {shifted:.1f} % at output label {shift:+d}, {plain:.1f} % at the label"
    figures = {"shift": shift, "shifted_top1": shifted, "top1": plain}
    if not leads(trial.right(shift), trial.right(0)):
        return clean(sentence, **figures)
    remedy = (
        "put the missing first label (a background class) into the list"
        if shift > 0
        else "drop the label at the head of the list that no output has"
    )
    return found(sentence, remedy, **figures)


CHECK = LintCheck("label-shift", "labels off by one", run, compares=True, order=20)
