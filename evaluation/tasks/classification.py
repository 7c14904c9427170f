"""Classification: one score per class, of which the largest is the answer.

The predicted class is the arg-max; of equal scores the lowest index wins, as in ``numpy.argmax``
and LiteRT's ARG_MAX. Equal int8 scores are common, and the metric ``ties`` counts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration_data.contract import class_numbers
from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.decisions import right_answers_drop
from evaluation.expected_flips import expected_flips
from evaluation.flips import flips
from evaluation.intervals import Interval, wilson
from evaluation.metrics import CONFIDENCE, SQNR, AccuracyDrop, ClassAccuracy, Metric, percent
from evaluation.scores import Scores
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

KL_FLOOR = 1e-7
"""Lower limit of the probabilities in the divergence; Keras' ``epsilon``."""


def top1(scores: Scores) -> float:
    """Percent of images whose predicted class is the label: ``100/n sum [argmax y = t]``.

    Source: Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge,
    https://arxiv.org/abs/1409.0575. Ties go to the lowest class index.
    """
    return percent(scores.predictions == scores.required_labels)


def top5(scores: Scores) -> float:
    """Percent of images whose label is among the five highest scores.

    Source: as ``top1``. With fewer than five classes all of them count, which gives 100. Of classes
    with the same score as the label, those with a lower index rank before it.
    """
    import numpy as np

    n, classes = scores.outputs.shape
    labels = scores.required_labels
    label_scores = scores.outputs[np.arange(n), labels][:, None]  # [n, 1]
    earlier = np.arange(classes)[None] < labels[:, None]  # [n, classes]
    ahead = (scores.outputs > label_scores) | ((scores.outputs == label_scores) & earlier)
    return percent(ahead.sum(axis=1) < min(5, classes))


def ties(scores: Scores) -> float:
    """Percent of images on which two classes or more share the highest score.

    Their answer depends on the order of the classes; an output of low resolution has many ties.
    """
    highest = scores.outputs.max(axis=1, keepdims=True)
    return percent((scores.outputs == highest).sum(axis=1) > 1)


def agreement(scores: Scores) -> float:
    """Percent of images on which both networks predict the same class, right or wrong.

    ``100/n sum [argmax y = argmax r]``. Raises InvalidInputError without a reference.
    """
    return percent(scores.predictions == scores.reference_predictions)


def kl(scores: Scores) -> float:
    """Mean divergence of the outputs from the float network's, in nats.

    ``1/n sum_images sum_classes p ln(p / q)`` with ``p`` of the float network. Source: Kullback and
    Leibler 1951, Annals of Mathematical Statistics 22:79-86. Outputs become probabilities by
    softmax, unless every row of the reference is a distribution already (not negative, sum 1
    within 1e-3). int8 probabilities are often 0, and their sum is only near 1: values of ``p`` and
    ``q`` below 1e-7 are raised to it, as in Keras' KLDivergence, and both are divided by their sum.

    Raises:
        InvalidInputError: no reference; or a reference of probabilities with negative outputs.
    """
    import numpy as np

    reference = scores.required_reference.astype(np.float64)
    outputs = scores.outputs.astype(np.float64)
    if are_probabilities(reference):
        if outputs.min() < 0:
            raise InvalidInputError(
                "both networks end in softmax, or neither does",
                received=f"probabilities from the float network and an output {outputs.min():.4g}",
                remedy="export the model as it is compared",
            )
    else:
        reference, outputs = softmax(reference), softmax(outputs)
    # Not negative in exact numbers (Gibbs' inequality); rounding can leave -1e-17.
    return max(float(divergence(reference, outputs).mean()), 0.0)


def divergence(reference: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Divergence of each row of probabilities from the reference's, in nats, ``[n]``; see ``kl``.

    Args:
        reference: probabilities ``p``, ``[n, classes]``.
        outputs: probabilities ``q``, ``[n, classes]``.
    """
    import numpy as np

    p, q = _floored(reference), _floored(outputs)
    result: np.ndarray = (p * np.log(p / q)).sum(axis=1)
    return result


METRICS: tuple[Metric, ...] = (
    Metric("top1", "%", needs_reference=False, function=top1, needs_targets=True, title="top-1"),
    Metric("top5", "%", needs_reference=False, function=top5, needs_targets=True, title="top-5"),
    Metric("ties", "%", needs_reference=False, function=ties),
    Metric("agreement", "%", needs_reference=True, function=agreement, title="as float"),
    SQNR,
    Metric("kl", "nat", needs_reference=True, function=kl),
)
"""One row per metric."""


def _top1_interval(scores: Scores) -> Interval:
    """Wilson interval of top-1, in percent."""
    right = int((scores.predictions == scores.required_labels).sum())
    interval = wilson(right, len(scores.outputs), CONFIDENCE)
    return Interval(100 * interval.low, 100 * interval.high)


def _changed(scores: Scores) -> int:
    """Images on which both networks predict different classes."""
    return int((scores.predictions != scores.reference_predictions).sum())


def accuracy_drop(scores: Scores) -> AccuracyDrop:
    """Count the flips between both networks, and compute an interval of the loss of top-1.

    Source: that of ``evaluation.intervals.paired_difference``.

    Raises:
        InvalidInputError: no reference, or no labels.
    """
    before = scores.reference_predictions == scores.required_labels
    after = scores.predictions == scores.required_labels
    return right_answers_drop(before, after, _changed(scores))


def per_class(scores: Scores) -> tuple[ClassAccuracy, ...]:
    """Accuracy of each class that occurs, and its loss in points if there is a reference.

    ``drop = 100 (right in float - right in the file) / n`` for each class. There is no interval,
    since a class has few images.
    """
    import numpy as np

    classes, labels = scores.width, scores.required_labels
    n = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[scores.predictions == labels], minlength=classes)
    lost = None
    if scores.reference is not None:
        before = labels[scores.reference_predictions == labels]
        lost = np.bincount(before, minlength=classes) - right
    return tuple(
        ClassAccuracy(
            label=int(label),
            n=int(n[label]),
            accuracy=float(100 * right[label] / n[label]),
            drop=None if lost is None else float(100 * lost[label] / n[label]),
        )
        for label in np.flatnonzero(n)
    )


def are_probabilities(rows: np.ndarray) -> bool:
    """Whether every row is a distribution: not negative, with the sum 1 within 1e-3."""
    import numpy as np

    return bool(rows.min() >= 0 and np.abs(rows.sum(axis=1) - 1).max() <= 1e-3)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row of logits."""
    import numpy as np

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def _floored(probabilities: np.ndarray) -> np.ndarray:
    import numpy as np

    raised = np.maximum(probabilities, KL_FLOOR)
    result: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return result


def _check(truth: Truth, task: OutputTask, shape: tuple[int, ...]) -> np.ndarray:
    """True classes, int64 ``[n]``, as the network numbers its outputs.

    Rows of a table with a single 1, as ``keras.utils.to_categorical`` makes them, are classes too,
    and so is a column of whole numbers beside others.
    """
    import numpy as np

    labels, values = truth.labels, truth.values
    if labels is None and values is not None and values.shape[1] == shape[-1]:
        once = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
        labels = values.argmax(axis=1) if once else None  # [n]
    if labels is None and values is not None and values.shape[1] == 1 < shape[-1]:
        labels = values[:, 0].astype(np.int64) if (values % 1 == 0).all() else None
    if labels is None:
        raise InvalidInputError(
            "a classifier is measured with one class for each image",
            received=f"other targets in {truth.source}",
            remedy=f"give --task {Task.MULTI_LABEL} or --task {Task.REGRESSION} if the network is "
            "for these, or class numbers",
        )
    return class_numbers(labels, truth.class_names, task.labels, shape[-1], truth.source)


TASK = TaskKind(
    task=Task.CLASSIFICATION,
    summary="one score per class, of which the largest is the answer",
    metrics=METRICS,
    primary="top1",
    likeness="agreement",
    check=_check,
    drop=accuracy_drop,
    interval=_top1_interval,
    changed=_changed,
    expected=expected_flips,
    flips=flips,
    per_class=per_class,
    scores=Scores,
)
