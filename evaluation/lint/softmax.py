"""Fault: outputs that are not probabilities, or that are the softmax of a softmax."""

from __future__ import annotations

import math

import numpy as np

from calibration_data.datasets.base import GIVE_LABELS
from evaluation.lint.check import LintCheck, Outcome, State, clean, found, not_judged
from evaluation.lint.subject import ScoreKind, Subject

_SUM = 0.02
_INNER = 0.05


def run(subject: Subject) -> Outcome:
    """Check the sums of the outputs, and the inputs of a last softmax.

    Probabilities are not negative and sum to 1 (within 0.02, plus half a step per output in
    integer files). The input of ``p = softmax(q)`` is ``q = log p + c``; the ``c`` with which it
    sums to 1 is ``(1 - sum log p) / classes``. If ``q`` is a distribution, all of its values are
    within [0, 1]; those of a trained network are far outside, unless there was another softmax.
    The scores of an untrained network may be as flat, so ``q`` must also favour a class and be
    right. Outputs that are not probabilities are a fault where the caller needs probabilities, and
    a note where not.
    """
    trial = subject.measured.answers
    outputs = trial.outputs.astype(np.float64)
    classes = outputs.shape[1]
    sums = outputs.sum(axis=1)
    slack = _SUM + classes * _step(subject) / 2
    figures = {"least_sum": float(sums.min()), "largest_sum": float(sums.max())}
    sentence = f"outputs sum to {sums.min():.3f} to {sums.max():.3f}"
    if outputs.min() < -slack or np.abs(sums - 1).max() > slack:
        sentence += f", the least of them is {outputs.min():.3g}"
        if subject.scores is ScoreKind.ANY:
            return Outcome(State.NOTED, f"{sentence}: no probabilities", figures)
        return found(sentence, "end the network in softmax, or apply it yourself", **figures)
    highest = float(outputs.max(axis=1).mean())
    limit = math.e / (math.e + classes - 1)
    figures.update(mean_highest=highest, limit_of_doubled=limit)
    sentence += f", the highest is {highest:.3f} on average"
    if trial.labels is not None:
        figures.update(top1=trial.accuracy())
        sentence += f" and top-1 {trial.accuracy():.1f} %"
    if subject.unjudged and _doubled(outputs):
        reason = f"the scores may have gone through softmax twice, and {subject.unjudged}"
        return not_judged(reason) if subject.labels is not None else not_judged(reason, GIVE_LABELS)
    if _doubled(outputs) and trial.accuracy() > 100 * highest:
        sentence += f" (softmax of probabilities reaches {limit:.3f} at most)"
        return found(sentence, "take the last softmax away", **figures)
    return clean(sentence, **figures)


def _doubled(outputs: np.ndarray) -> bool:
    """Whether the inputs of a last softmax are distributions that favour a class.

    Args:
        outputs: float ``[n, classes]``, distributions.
    """
    if outputs.min() <= 0:
        return False
    logs = np.log(outputs)
    inner = logs + (1 - logs.sum(axis=1, keepdims=True)) / outputs.shape[1]
    favoured = float(inner.max(axis=1).mean()) > 2 / outputs.shape[1]
    return favoured and bool(inner.min() >= -_INNER and inner.max() <= 1 + _INNER)


def _step(subject: Subject) -> float:
    """Step of an integer output; 0 for floats."""
    if subject.inspection is None:
        return 0.0
    scale = subject.inspection.outputs[subject.output].scale
    return scale[0] if scale else 0.0


CHECK = LintCheck("softmax", "softmax missing or doubled", run, per_output=True, order=31)
