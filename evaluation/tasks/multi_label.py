"""Multi-label: one score for each label, and an answer of yes for each from a threshold."""

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
)
from evaluation.metrics import SQNR, Drop, Metric, PartRow, percent
from evaluation.ranked import Ranked
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from evaluation.bootstrap import Statistic


def mean_average_precision(outputs: Outputs) -> float:
    """Mean over the labels of the average precision, in percent; no threshold takes part.

    Labels that no image has do not count. Source: ``evaluation.ranked.Ranked.average_precision``
    for the average precision of a label; Everingham et al. 2010, The PASCAL Visual Object Classes
    Challenge, International Journal of Computer Vision 88:303-338, for its mean.
    """
    return _once(_map(outputs), outputs)


def f1_micro(outputs: Outputs) -> float:
    """F1 of the answers for all labels together, in percent; frequent labels weigh more.

    Source: ``evaluation.decisions.Counted.pooled_f1``.
    """
    return _once(_micro(outputs), outputs)


def f1_macro(outputs: Outputs) -> float:
    """Mean over the labels of F1, in percent; labels that no image has do not count."""
    return _once(_macro(outputs), outputs)


def agreement(outputs: Outputs) -> float:
    """Percent of answers, one for each image and label, that are those of the float network."""
    return percent(answers(outputs) == reference_answers(outputs))


def subset_agreement(outputs: Outputs) -> float:
    """Percent of images on which the answers for all labels are those of the float network."""
    return percent((answers(outputs) == reference_answers(outputs)).all(axis=1))


def _map(outputs: Outputs) -> Statistic:
    import numpy as np

    true = counted(outputs).true
    rankings = [Ranked(outputs.rows[:, k], true[:, k]) for k in np.flatnonzero(true.any(axis=0))]

    def of(weights: np.ndarray) -> np.ndarray:
        return 100 * _mean([ranked.average_precision(weights) for ranked in rankings])

    return of


def _micro(outputs: Outputs) -> Statistic:
    return counted(outputs).pooled_f1


def _macro(outputs: Outputs) -> Statistic:
    import numpy as np

    both = counted(outputs)
    occur = np.flatnonzero(both.true.any(axis=0))
    return lambda weights: _mean(list(both.f1(weights)[:, occur].T))


def _mean(rows: list[np.ndarray]) -> np.ndarray:
    """Mean over the rows that have a value, ``[r]``: a resample may lack a rare label."""
    import numpy as np

    table = np.stack(rows)  # [labels, r]
    count = (~np.isnan(table)).sum(axis=0)
    total = np.where(count > 0, np.nansum(table, axis=0), np.nan)
    mean: np.ndarray = total / np.maximum(count, 1)
    return mean


def _once(statistic: Statistic, outputs: Outputs) -> float:
    import numpy as np

    return float(statistic(np.ones((1, len(outputs.outputs))))[0])


def _occurs(outputs: Outputs) -> bool:
    return bool(outputs.required_targets.any())


def _drop(outputs: Outputs) -> Drop:
    return drop_of(outputs, _map)


def _drops(outputs: Outputs) -> dict[str, Drop]:
    return {"f1_micro": drop_of(outputs, _micro), "f1_macro": drop_of(outputs, _macro)}


def _changed(outputs: Outputs) -> int:
    return int((answers(outputs) != reference_answers(outputs)).any(axis=1).sum())


def _parts(outputs: Outputs) -> tuple[PartRow, ...]:
    """Average precision of each label that occurs."""
    import numpy as np

    true = counted(outputs).true
    every = np.ones((1, len(true)))
    rows = []
    for place in np.flatnonzero(true.any(axis=0)):
        value = 100 * Ranked(outputs.rows[:, place], true[:, place]).average_precision(every)[0]
        drop = None
        if outputs.reference is not None:
            before = Ranked(outputs.reference_rows[:, place], true[:, place])
            drop = float(100 * before.average_precision(every)[0] - value)
        rows.append(PartRow(int(place), int(true[:, place].sum()), float(value), drop))
    return tuple(rows)


def _check(truth: Truth, _task: OutputTask, shape: tuple[int, ...]) -> np.ndarray:
    """True answers, int64 ``[n, k]``, 0 or 1."""
    import numpy as np

    values, width = truth.values, shape[-1]
    received = ""
    if values is None:
        received = "one class for each image"
    elif values.shape[1] != width:
        received = f"{values.shape[1]} columns"
    elif not np.isin(values, (0, 1)).all():
        received = f"values from {values.min():g} to {values.max():g}"
    elif not values.any():
        received = "zeros only"
    if received or values is None:
        raise InvalidInputError(
            f"a multi-label output is measured with a table of 0 and 1, {width} for each image",
            received=f"{received} in {truth.source}",
            remedy="give such labels (an array [n, labels], or a label file with a column for each "
            "label), or state the task of the network with --task",
        )
    return values.astype(np.int64)


TASK = TaskKind(
    task=Task.MULTI_LABEL,
    summary="one score for each label, and an answer of yes for each from a threshold",
    metrics=(
        Metric(
            "map", "%", needs_reference=False, function=mean_average_precision,
            needs_targets=True, title="mAP", note="mean over the labels of the average precision",
            defined=_occurs,
        ),
        Metric(
            "f1_micro", "%", needs_reference=False, function=f1_micro, needs_targets=True,
            title="F1 micro", note="of the answers for all labels together", defined=_occurs,
        ),
        Metric(
            "f1_macro", "%", needs_reference=False, function=f1_macro, needs_targets=True,
            title="F1 macro", note="mean over the labels", defined=_occurs,
        ),
        Metric(
            "agreement", "%", needs_reference=True, function=agreement, title="as float",
            note="answers that are those of float, right or wrong",
        ),
        Metric(
            "subset_agreement", "%", needs_reference=True, function=subset_agreement,
            title="all as float", note="images on which the answers for all labels are float's",
        ),
        SQNR,
    ),
    primary="map",
    likeness="agreement",
    check=_check,
    drop=_drop,
    drops=_drops,
    changed=_changed,
    expected=decision_changes,
    flips=decision_flips,
    parts=_parts,
    resampled=True,
)  # fmt: skip
