"""Fault: the same answer to every image."""

from __future__ import annotations

import numpy as np

from calibration_data.datasets.base import GIVE_LABELS
from evaluation.lint.check import LintCheck, Outcome, clean, found, not_judged
from evaluation.lint.subject import Subject

_FEW = 1e-4
_LEAST = 10
_TINY = 1e-30


def run(subject: Subject) -> Outcome:
    """Measure the spread of the outputs over the images, and the number of different answers.

    The spread is the largest standard deviation of an output over the images, divided by the
    largest output. A fault is a spread under 1e-4, or one answer to images of several classes,
    under the preprocessing with the best accuracy. One answer to images without labels may be
    right: it is not judged.
    """
    trial = subject.measured.answers
    images, labels = len(trial.outputs), trial.labels
    classes = 0 if labels is None else len(np.unique(labels))
    if images < _LEAST or classes == 1:
        return not_judged(f"needs {_LEAST} images of two classes")
    largest = max(float(np.abs(trial.outputs).max()), _TINY)
    spread = float(trial.outputs.std(axis=0).max()) / largest
    decides = trial.outputs.shape[1] > 1  # a single score is its own answer
    answers = len(np.unique(trial.outputs.argmax(axis=1) if decides else trial.outputs))
    of = "without labels" if labels is None else f"of {classes} classes"
    sentence = (
        f"{answers} different answers to {images} images {of}; outputs "
        f"spread by {spread:.2g} of the largest"
    )
    figures = {"answers": answers, "relative_spread": spread}
    if labels is not None:
        figures["classes"] = classes
    if answers == 1 and spread >= _FEW and labels is None:
        return not_judged(f"{images} images without labels have one answer", GIVE_LABELS)
    if answers == 1 or spread < _FEW:
        return found(sentence, "export again from the trained weights", **figures)
    return clean(sentence, **figures)


CHECK = LintCheck(
    "constant-output", "the same output whatever the image", run, per_output=True, order=30
)
