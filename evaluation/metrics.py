"""Metrics of a network's outputs: accuracy, and similarity to the float network.

A metric is one row of METRICS. The predicted class is the arg-max; of equal scores the lowest index
wins, as in ``numpy.argmax`` and LiteRT's ARG_MAX. Equal int8 scores are common, and the metric
``ties`` counts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from evaluation.intervals import (
    METHOD,
    Interval,
    PairedCounts,
    mcnemar_p,
    paired_difference,
    wilson,
)
from evaluation.scores import Scores
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

CONFIDENCE = 0.95
KL_FLOOR = 1e-7
"""Lower limit of the probabilities in the divergence; Keras' ``epsilon``."""


@dataclass(frozen=True)
class Metric:
    """One number about a network's outputs.

    Attributes:
        name: key in reports.
        unit: ``%``, ``dB`` or ``nat``.
        needs_reference: whether the metric compares with the float network.
        needs_labels: whether the metric compares with the true classes.
        function: Scores -> value; its docstring has formula and source.
    """

    name: str
    unit: str
    needs_reference: bool
    function: Callable[[Scores], float] = field(repr=False)
    needs_labels: bool = False

    def applies(self, scores: Scores) -> bool:
        """Whether the scores have what the metric compares with."""
        has_reference, has_labels = scores.reference is not None, scores.labels is not None
        return (has_reference or not self.needs_reference) and (has_labels or not self.needs_labels)


def top1(scores: Scores) -> float:
    """Percent of images whose predicted class is the label: ``100/n sum [argmax y = t]``.

    Source: Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge,
    https://arxiv.org/abs/1409.0575. Ties go to the lowest class index.
    """
    return _percent(scores.predictions == scores.required_labels)


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
    return _percent(ahead.sum(axis=1) < min(5, classes))


def ties(scores: Scores) -> float:
    """Percent of images on which two classes or more share the highest score.

    Their answer depends on the order of the classes; an output of low resolution has many ties.
    """
    highest = scores.outputs.max(axis=1, keepdims=True)
    return _percent((scores.outputs == highest).sum(axis=1) > 1)


def agreement(scores: Scores) -> float:
    """Percent of images on which both networks predict the same class, right or wrong.

    ``100/n sum [argmax y = argmax r]``. Raises InvalidInputError without a reference.
    """
    return _percent(scores.predictions == scores.reference_predictions)


def sqnr(scores: Scores) -> float:
    """Signal to quantization noise of the outputs, in dB, over all images and classes.

    ``10 log10(sum r^2 / sum (r - y)^2)``, of the outputs as they are: logits or probabilities.
    Source: Jayant and Noll 1984, Digital Coding of Waveforms, chapter 4. Equal outputs give
    infinity, which ``Metrics.to_dict`` writes as None.

    Raises:
        InvalidInputError: no reference, or one that is zero everywhere.
    """
    import numpy as np

    reference = scores.required_reference.astype(np.float64)
    signal = float(np.square(reference).sum())
    noise = float(np.square(reference - scores.outputs).sum())
    if signal == 0:
        raise InvalidInputError(
            "the float network's outputs are not all zero",
            received="zeros only",
            remedy="check the weights of the float model",
        )
    if noise == 0:
        return math.inf
    return 10 * (math.log10(signal) - math.log10(noise))


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
    if _are_probabilities(reference):
        if outputs.min() < 0:
            raise InvalidInputError(
                "both networks end in softmax, or neither does",
                received=f"probabilities from the float network and an output {outputs.min():.4g}",
                remedy="export the model as it is compared",
            )
    else:
        reference, outputs = _softmax(reference), _softmax(outputs)
    p, q = _floored(reference), _floored(outputs)
    # Not negative in exact numbers (Gibbs' inequality); rounding can leave -1e-17.
    return max(float((p * np.log(p / q)).sum(axis=1).mean()), 0.0)


METRICS: tuple[Metric, ...] = (
    Metric("top1", "%", needs_reference=False, function=top1, needs_labels=True),
    Metric("top5", "%", needs_reference=False, function=top5, needs_labels=True),
    Metric("ties", "%", needs_reference=False, function=ties),
    Metric("agreement", "%", needs_reference=True, function=agreement),
    Metric("sqnr_db", "dB", needs_reference=True, function=sqnr),
    Metric("kl", "nat", needs_reference=True, function=kl),
)
"""One row per metric."""


@dataclass(frozen=True)
class AccuracyDrop:
    """Top-1 of the float network minus top-1 of the file, on the same images.

    Attributes:
        points: percentage points; above zero is a loss. ``100 (right_to_wrong -
            wrong_to_right) / n``.
        low: lower limit of the interval, in points.
        high: upper limit.
        confidence: confidence level of the interval.
        method: method by which the interval was computed.
        right_to_wrong: images that only the float network answers right.
        wrong_to_right: images that only the file answers right.
        wrong_to_other_wrong: images with two different wrong answers.
        changed: images with two different answers, the sum of the three.
        p_value: p value of McNemar's exact test; its hypothesis is that both are equally accurate.
        n: number of images.
    """

    points: float
    low: float
    high: float
    confidence: float
    method: str
    right_to_wrong: int
    wrong_to_right: int
    wrong_to_other_wrong: int
    changed: int
    p_value: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the images of one class.

    Attributes:
        label: class index.
        n: number of images of the class.
        accuracy: percent of them with the right answer.
        drop: percentage points lost against the float network; None without one.
    """

    label: int
    n: int
    accuracy: float
    drop: float | None


@dataclass(frozen=True)
class Metrics:
    """All metrics of one file on one set of images.

    Attributes:
        n: number of images.
        classes: number of outputs.
        values: value of each metric by name; only those that need neither a reference nor
            labels, where there are none.
        top1_interval: Wilson interval of top-1, in percent; None without labels.
        drop: paired loss of top-1; None without a reference or without labels.
        changed: number of images with two different answers; None without a reference.
        per_class: accuracy of each class that occurs among the labels; empty without labels.
        confidence: confidence level of the intervals.
    """

    n: int
    classes: int
    values: dict[str, float]
    top1_interval: Interval | None
    drop: AccuracyDrop | None
    changed: int | None
    per_class: tuple[ClassAccuracy, ...]
    confidence: float = CONFIDENCE

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy in percent; None without labels."""
        return self.values.get("top1")

    @property
    def top5(self) -> float | None:
        """Top-5 accuracy in percent; None without labels."""
        return self.values.get("top5")

    @property
    def agreement(self) -> float | None:
        """Percent of images with the float network's answer; None without a reference."""
        return self.values.get("agreement")

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise in dB, infinity if all is equal; None without reference."""
        return self.values.get("sqnr_db")

    @property
    def kl(self) -> float | None:
        """Divergence from the float network in nats; None without a reference."""
        return self.values.get("kl")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: the SQNR of equal outputs is None."""
        finite = {k: v if math.isfinite(v) else None for k, v in self.values.items()}
        return {**asdict(self), "values": finite}


def evaluate(scores: Scores) -> Metrics:
    """Compute all metrics that the scores have labels and a reference for.

    Raises:
        InvalidInputError: a metric that cannot be computed from these outputs.
    """
    n, classes = scores.outputs.shape
    compares, labelled = scores.reference is not None, scores.labels is not None
    return Metrics(
        n=n,
        classes=classes,
        values={m.name: m.function(scores) for m in METRICS if m.applies(scores)},
        top1_interval=_top1_interval(scores) if labelled else None,
        drop=accuracy_drop(scores) if compares and labelled else None,
        changed=_changed(scores) if compares else None,
        per_class=per_class(scores) if labelled else (),
    )


def _top1_interval(scores: Scores) -> Interval:
    """Wilson interval of top-1, in percent."""
    right = int((scores.predictions == scores.required_labels).sum())
    interval = wilson(right, len(scores.outputs), CONFIDENCE)
    return Interval(100 * interval.low, 100 * interval.high)


def _changed(scores: Scores) -> int:
    """Images on which both networks predict different classes."""
    return int((scores.predictions != scores.reference_predictions).sum())


def accuracy_drop(scores: Scores, confidence: float = CONFIDENCE) -> AccuracyDrop:
    """Count the flips between both networks, and compute an interval of the loss of top-1.

    Source: that of ``evaluation.intervals.paired_difference``.

    Raises:
        InvalidInputError: no reference, or no labels.
    """
    before = scores.reference_predictions == scores.required_labels
    after = scores.predictions == scores.required_labels
    changed = _changed(scores)
    counts = PairedCounts(
        both=int((before & after).sum()),
        first_only=int((before & ~after).sum()),
        second_only=int((~before & after).sum()),
        neither=int((~before & ~after).sum()),
    )
    interval = paired_difference(counts, confidence)
    return AccuracyDrop(
        points=100 * (counts.first_only - counts.second_only) / counts.n,
        low=100 * interval.low,
        high=100 * interval.high,
        confidence=confidence,
        method=METHOD,
        right_to_wrong=counts.first_only,
        wrong_to_right=counts.second_only,
        wrong_to_other_wrong=changed - counts.first_only - counts.second_only,
        changed=changed,
        p_value=mcnemar_p(counts.first_only, counts.second_only),
        n=counts.n,
    )


def per_class(scores: Scores) -> tuple[ClassAccuracy, ...]:
    """Accuracy of each class that occurs, and its loss in points if there is a reference.

    ``drop = 100 (right in float - right in the file) / n`` for each class. There is no interval,
    since a class has few images.
    """
    import numpy as np

    classes, labels = scores.outputs.shape[1], scores.required_labels
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


def _percent(hits: np.ndarray) -> float:
    return 100 * int(hits.sum()) / len(hits)


def _are_probabilities(rows: np.ndarray) -> bool:
    import numpy as np

    return bool(rows.min() >= 0 and np.abs(rows.sum(axis=1) - 1).max() <= 1e-3)


def _softmax(logits: np.ndarray) -> np.ndarray:
    import numpy as np

    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def _floored(probabilities: np.ndarray) -> np.ndarray:
    import numpy as np

    raised = np.maximum(probabilities, KL_FLOOR)
    result: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return result
