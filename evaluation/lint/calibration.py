"""The ranges of an integer file were set on images of one class, or of another preprocessing."""

from __future__ import annotations

import numpy as np

from evaluation.lint.check import LintCheck, Outcome, State, clean, found
from evaluation.lint.saturation import ranges, saturation
from evaluation.lint.subject import Subject

_IMAGES = 60
CLIPPED = 0.02
"""Share of clipped values of one activation, on average over images of a class, that is a fault."""


def run(subject: Subject) -> Outcome:
    """Share of an activation's values at the ends of its range, by class of the image.

    Ranges that were set on the data leave few values outside, whatever the class. The worst
    activation tells, for the class that it clips most and the one that it clips least.
    """
    inspection = subject.inspection
    contract = subject.measured.answers.hypothesis.contract
    wanted = () if inspection is None else ranges(inspection, contract.value_range)
    if not wanted:
        return Outcome(State.NOT_MEASURED, "no 8-bit activation has a range of its own")
    chosen = _balanced(subject.labels)
    tensors = contract.normalize(subject.pixels[chosen])
    names, shares = saturation(subject.path, wanted, tensors)
    labels = subject.labels[chosen]
    classes = np.unique(labels)
    by_class = np.array([shares[labels == c].mean(axis=0) for c in classes])  # [classes, t]
    worst = int(by_class.max(axis=0).argmax())
    column = by_class[:, worst]
    most, least = int(column.argmax()), int(by_class.sum(axis=1).argmin())
    figures = {
        "images": len(chosen),
        "most_clipped": 100 * float(column[most]),
        "least_clipped": 100 * float(column[least]),
        "most_clipped_class": int(classes[most]),
        "least_clipped_class": int(classes[least]),
    }
    sentence = (
        f"{_short(names[worst])} clips {100 * column[most]:.2f} % of its values on images of class "
        f"{classes[most]} and {100 * column[least]:.2f} % on class {classes[least]} "
        f"({len(chosen)} images)"
    )
    if column[most] < CLIPPED:
        return clean(sentence, **figures)
    return found(sentence, "calibrate on images of every class, preprocessed alike", **figures)


def _short(name: str) -> str:
    """The first of a converter's joined names, from its layer on."""
    return "/".join(name.partition(";")[0].split("/")[-3:])


def _balanced(labels: np.ndarray) -> np.ndarray:
    """Places of up to 60 images, as many of each class as that allows."""
    classes = np.unique(labels)
    each = max(1, _IMAGES // len(classes))
    places = [np.flatnonzero(labels == c)[:each] for c in classes[:_IMAGES]]
    return np.concatenate(places)


CHECK = LintCheck("calibration", "ranges that were set on one class", run, order=42)
