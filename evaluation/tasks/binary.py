"""Binary: one score, and an answer of yes from a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.decisions import (
    answers,
    counted,
    decision_changes,
    decision_flips,
    drop_of,
    reference_answers,
    right_answers_drop,
)
from evaluation.intervals import Interval, wilson
from evaluation.metrics import CONFIDENCE, SQNR, AccuracyDrop, Drop, Metric, percent
from evaluation.ranked import Ranked
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from evaluation.bootstrap import Statistic


def accuracy(outputs: Outputs) -> float:
    """Percent of images whose answer at the threshold is the true one."""
    return percent(_right(outputs))


def roc_auc(outputs: Outputs) -> float:
    """Area under the receiver operating characteristic, 0 to 1; no threshold takes part.

    Source: ``evaluation.ranked.Ranked.roc_auc``.
    """
    return _once(_auc(outputs), outputs)


def f1(outputs: Outputs) -> float:
    """F1 of yes at the threshold, in percent; source: ``evaluation.decisions.Counted.f1``."""
    return _once(_f1(outputs), outputs)


def agreement(outputs: Outputs) -> float:
    """Percent of images on which both networks answer the same, right or wrong."""
    return percent(answers(outputs)[:, 0] == reference_answers(outputs)[:, 0])


def _right(outputs: Outputs) -> np.ndarray:
    both = counted(outputs)
    right: np.ndarray = both.said[:, 0] == both.true[:, 0]
    return right


def _auc(outputs: Outputs) -> Statistic:
    return Ranked(outputs.rows[:, 0], counted(outputs).true[:, 0]).roc_auc


def _f1(outputs: Outputs) -> Statistic:
    both = counted(outputs)
    return lambda weights: both.f1(weights)[:, 0]


def _once(statistic: Statistic, outputs: Outputs) -> float:
    import numpy as np

    return float(statistic(np.ones((1, len(outputs.outputs))))[0])


def _has_both(outputs: Outputs) -> bool:
    true = outputs.required_targets
    return bool(true.any() and not true.all())


def _has_yes(outputs: Outputs) -> bool:
    """Whether F1 has a value: somebody says yes, or it is true."""
    both = counted(outputs)
    return bool(both.true.any() or both.said.any())


def _drop(outputs: Outputs) -> AccuracyDrop:
    return right_answers_drop(_right(outputs.before), _right(outputs), _changed(outputs))


def _drops(outputs: Outputs) -> dict[str, Drop]:
    found: dict[str, Drop] = {}
    if _has_both(outputs):
        found["roc_auc"] = drop_of(outputs, _auc)
    if outputs.required_targets.any():
        found["f1"] = drop_of(outputs, _f1)
    return found


def _interval(outputs: Outputs) -> Interval:
    right = _right(outputs)
    interval = wilson(int(right.sum()), len(right), CONFIDENCE)
    return Interval(100 * interval.low, 100 * interval.high)


def _changed(outputs: Outputs) -> int:
    return int((answers(outputs)[:, 0] != reference_answers(outputs)[:, 0]).sum())


def _check(truth: Truth, task: OutputTask, _shape: tuple[int, ...]) -> np.ndarray:
    """True answers, int64 ``[n]``, 0 or 1; two class names are those of no and yes.

    With the label of yes alone, the class of that name is yes.
    """
    import numpy as np

    names, known = truth.class_names, task.labels
    values = truth.labels if truth.labels is not None else truth.values
    assert values is not None
    if len(names) > 2 or values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        count = len(names) or values.shape[-1]
        kind = "classes" if names else "columns"
        raise _refused(truth, f"{count} {kind}")
    values = values.reshape(-1)
    if names and len(known) == 2:
        if unknown := [name for name in names if name not in known]:
            raise _refused(truth, f"the class {unknown[0]}, which is neither of {', '.join(known)}")
        values = np.array([known.index(name) for name in names], np.int64)[values]
    if len(names) == 2 and len(known) == 1 and known[0] in names:
        values = (values == names.index(known[0])).astype(np.int64)
    if not np.isin(values, (0, 1)).all():
        raise _refused(truth, f"values from {values.min():g} to {values.max():g}")
    return values.astype(np.int64)


def _refused(truth: Truth, received: str) -> InvalidInputError:
    return InvalidInputError(
        "a binary output is measured with 0 for no and 1 for yes, or with two classes",
        received=f"{received} in {truth.source}",
        remedy="give such labels, or state the task of the network with --task",
    )


TASK = TaskKind(
    task=Task.BINARY,
    summary="one score, and an answer of yes from a threshold",
    metrics=(
        Metric(
            "accuracy", "%", needs_reference=False, function=accuracy, needs_targets=True,
            title="accuracy",
            note="right answers at the threshold",
        ),
        Metric(
            "roc_auc", "", needs_reference=False, function=roc_auc, needs_targets=True,
            title="ROC AUC", note="share of pairs of yes and no in the right order",
            defined=_has_both,
        ),
        Metric(
            "f1", "%", needs_reference=False, function=f1, needs_targets=True, title="F1",
            note="harmonic mean of precision and recall of yes at the threshold",
            defined=_has_yes,
        ),
        Metric(
            "agreement", "%", needs_reference=True, function=agreement, title="as float",
            note="images on which both answer the same, right or wrong",
        ),
        SQNR,
    ),
    primary="accuracy",
    likeness="agreement",
    check=_check,
    drop=_drop,
    drops=_drops,
    interval=_interval,
    changed=_changed,
    expected=decision_changes,
    flips=decision_flips,
)  # fmt: skip
