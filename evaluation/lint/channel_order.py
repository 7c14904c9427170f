"""Fault: RGB images for a network that was trained on BGR, or BGR images for RGB."""

from __future__ import annotations

import numpy as np

from evaluation.lint.check import LintCheck, Outcome, State, clean, found
from evaluation.lint.hypotheses import leads
from evaluation.lint.subject import Subject


def run(subject: Subject) -> Outcome:
    """Compare the accuracy with swapped colour channels, under the range that the file needs.

    It is not measured when all images are grey, or the network takes no colours.
    """
    if not subject.contract.is_colour:
        return Outcome(State.NOT_MEASURED, "the input has no colours whose order could be wrong")
    pixels = subject.pixels
    if np.array_equal(pixels[..., 0], pixels[..., 2]):
        return Outcome(State.NOT_MEASURED, f"all {len(pixels)} images are grey")
    evidence = subject.measured
    stated, swapped = evidence.best, evidence.swapped
    name, other = (str(t.hypothesis.contract.channels) for t in (stated, swapped))
    figures = {f"{name}_top1": stated.accuracy(), f"{other}_top1": swapped.accuracy()}
    sentence = (
        f"top-1 {swapped.accuracy():.1f} % as {other.upper()}, {stated.accuracy():.1f} % as "
        f"{name.upper()}, which is stated"
    )
    if leads(swapped.right(), stated.right()):
        return found(sentence, f"state channels = '{other}'", **figures)
    return clean(sentence, **figures)


CHECK = LintCheck("channel-order", "RGB against BGR", run, compares=True, order=12)
