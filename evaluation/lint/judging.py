"""Tests of whether the data can distinguish right answers from wrong ones.

Checks that compare accuracies find nothing where the labels are of other classes than the outputs:
every way to prepare the images is then as bad as the stated one, and no fault shows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from calibration_data.contract import align_labels
from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Preprocessing
from evaluation.intervals import wilson
from evaluation.lint.hypotheses import CONFIDENCE, SHIFTS, Evidence

if TYPE_CHECKING:
    from calibration_data.datasets.base import Dataset

_BACKGROUND = 1
"""Difference between the numbers of outputs and labels that a background class explains."""


NO_LABELS = "the images have no labels, so that right answers cannot be told from wrong ones"
"""Why accuracies of images without labels cannot be compared."""


def matched(dataset: Dataset, contract: Preprocessing, classes: int) -> tuple[Dataset, str]:
    """Match the labels of a dataset with the outputs of a network.

    Class names are looked up in the contract's labels, or are ImageNet's ids where the network has
    as many outputs. Without either, folders in order of name are the outputs if there are as many
    of them, one more or one fewer. Labels without names are used unchanged. Images without
    labels stay as they are.

    Args:
        dataset: images, with labels or without.
        contract: contract with the stated labels.
        classes: number of outputs of the network.

    Returns:
        The dataset with indices of outputs as labels, and the reason why they could not be matched;
        empty if they could.
    """
    if dataset.labels is None:
        return dataset, NO_LABELS
    names, known = set(dataset.class_names), contract.labels
    if not known and abs(classes - len(imagenet_labels())) <= _BACKGROUND:
        known = imagenet_labels() if names and names <= set(imagenet_labels()) else ()
    if names and names <= set(known):
        return align_labels(dataset, contract.with_labels(known), len(known)), ""
    bare = replace(dataset, class_names=())
    if names and known:
        stranger = next(name for name in dataset.class_names if name not in known)
        return bare, f"class {stranger} of the data is none of the {len(known)} stated labels"
    if names and abs(classes - len(names)) > _BACKGROUND:
        return bare, (
            f"{len(names)} class names cannot be matched to {classes} outputs without --labels"
        )
    return bare, ""


def chance(evidence: Evidence, classes: int) -> str:
    """Reason why accuracies of these answers say nothing; empty where one of them beats guessing.

    The largest number of right answers under any hypothesis, and at any shift of the labels, beats
    guessing where the lower end of its Wilson interval (confidence 0.9999) is above
    ``1 / classes``.

    Args:
        evidence: answers under every hypothesis.
        classes: number of outputs of the network.
    """
    trials = (*evidence.trials, evidence.swapped)
    most = max(int(trial.right(shift).sum()) for trial in trials for shift in SHIFTS)
    images = len(evidence.stated.outputs)
    if wilson(most, images, CONFIDENCE).low > 1 / classes:
        return ""
    return (
        f"at most {most} of {images} images are answered right, no better than guessing among "
        f"{classes} outputs"
    )
