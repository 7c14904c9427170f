"""The network was trained on BGR and is given RGB, or the other way round."""

from __future__ import annotations

import numpy as np

from evaluation.lint.check import LintCheck, Outcome, State, clean, found
from evaluation.lint.hypotheses import leads
from evaluation.lint.subject import Subject


def run(subject: Subject) -> Outcome:
    """Accuracy with the colour channels swapped, under the range that the file wants.

    Grey images cannot tell: not measured when no image has a colour.
    """
    pixels = subject.pixels
    if np.array_equal(pixels[..., 0], pixels[..., 2]):
        return Outcome(State.NOT_MEASURED, f"all {len(pixels)} images are grey")
    evidence = subject.measured
    own, swapped = evidence.best, evidence.swapped
    name, other = own.hypothesis.contract.channels, swapped.hypothesis.contract.channels
    figures = {f"{name}_top1": own.accuracy(), f"{other}_top1": swapped.accuracy()}
    sentence = (
        f"top-1 {swapped.accuracy():.1f} % as {other.upper()}, {own.accuracy():.1f} % as "
        f"{name.upper()}, which is stated"
    )
    if leads(swapped.right(), own.right()):
        return found(sentence, f"state channels = '{other}'", **figures)
    return clean(sentence, **figures)


CHECK = LintCheck("channel-order", "RGB against BGR", run, compares=True, order=12)
