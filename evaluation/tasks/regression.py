"""Regression: measured quantities, or any output whose values count as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.intervals import STUDENT, paired_mean
from evaluation.metrics import CONFIDENCE, SQNR, Drop, Metric, PartRow
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


def mae(outputs: Outputs) -> float:
    """Mean absolute error, in the unit of the targets: ``mean |y - t|``."""
    return float(_errors(outputs).mean())


def rmse(outputs: Outputs) -> float:
    """Root mean squared error, in the unit of the targets: ``sqrt(mean (y - t)^2)``."""
    import numpy as np

    return math.sqrt(float(np.square(_errors(outputs)).mean()))


def r2(outputs: Outputs) -> float:
    """Coefficient of determination, mean over the quantities that vary; 1 is perfect.

    ``1 - sum (y - t)^2 / sum (t - mean t)^2``; 0 is as good as the mean of the targets. Source:
    Wright 1921, Journal of Agricultural Research 20:557-585.
    """
    import numpy as np

    targets = outputs.required_targets.astype(np.float64)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)  # [k]
    missed = np.square(_errors(outputs)).sum(axis=0)
    varies = spread > 0
    return float((1 - missed[varies] / spread[varies]).mean())


def mean_change(outputs: Outputs) -> float:
    """Mean absolute change of the values against float: ``mean |y - r|``."""
    return float(_changes(outputs).mean())


def max_change(outputs: Outputs) -> float:
    """Largest absolute change of a value against float: ``max |y - r|``."""
    return float(_changes(outputs).max())


def _errors(outputs: Outputs) -> np.ndarray:
    """Absolute errors, float64 ``[n, k]``."""
    import numpy as np

    errors: np.ndarray = np.abs(outputs.rows.astype(np.float64) - outputs.required_targets)
    return errors


def _changes(outputs: Outputs) -> np.ndarray:
    import numpy as np

    changes: np.ndarray = np.abs(outputs.rows.astype(np.float64) - outputs.reference_rows)
    return changes


def _varies(outputs: Outputs) -> bool:
    targets = outputs.required_targets
    return bool((targets != targets[:1]).any())


def _drop(outputs: Outputs) -> Drop:
    """Growth of the mean absolute error against float, with Student's paired interval."""
    grown = _errors(outputs).mean(axis=1) - _errors(outputs.before).mean(axis=1)  # [n]
    interval = paired_mean(grown, CONFIDENCE)
    return Drop(
        points=float(grown.mean()),
        low=interval.low,
        high=interval.high,
        confidence=CONFIDENCE,
        method=STUDENT,
        n=len(grown),
    )


def _parts(outputs: Outputs) -> tuple[PartRow, ...]:
    """Mean absolute error of each quantity, where there are several."""
    errors = _errors(outputs)
    if errors.shape[1] == 1 or outputs.outputs.ndim > 2:
        return ()
    after = errors.mean(axis=0)
    before = None if outputs.reference is None else _errors(outputs.before).mean(axis=0)
    return tuple(
        PartRow(
            place,
            len(errors),
            float(value),
            None if before is None else float(value - before[place]),
        )
        for place, value in enumerate(after)
    )


def _check(truth: Truth, _task: OutputTask, shape: tuple[int, ...]) -> np.ndarray:
    """True values, float64 ``[n, k]``."""
    import numpy as np

    width = math.prod(shape)
    values = truth.values
    if truth.labels is not None and not truth.class_names:
        values = truth.labels[:, None]  # whole numbers may be measured ones
    received = ""
    if values is None:
        received = "class names"
    elif values.shape[1] != width:
        received = f"{values.shape[1]} for each image"
    elif len(values) < 2:
        received = "one image"
    if received or values is None:
        raise InvalidInputError(
            f"a regression output is measured with {width} value{'s' if width > 1 else ''} for "
            "each of two images or more",
            received=f"{received} in {truth.source}",
            remedy="give such targets (an array [n, values], or a label file with a column for "
            "each value), or state the task of the network with --task",
        )
    return values.astype(np.float64)


TASK = TaskKind(
    task=Task.REGRESSION,
    summary="measured quantities, or any output whose values count as they are",
    metrics=(
        Metric(
            "mae", "target", needs_reference=False, function=mae, needs_targets=True, title="MAE",
            note="mean absolute error, in the unit of the targets",
        ),
        Metric(
            "rmse", "target", needs_reference=False, function=rmse, needs_targets=True,
            title="RMSE", note="root mean squared error, in the unit of the targets",
        ),
        Metric(
            "r2", "", needs_reference=False, function=r2, needs_targets=True, title="R2",
            note="share of the targets' variance that is explained", defined=_varies,
        ),
        Metric(
            "mean_change", "target", needs_reference=True, function=mean_change,
            title="mean change", note="mean absolute change of the values against float",
        ),
        Metric(
            "max_change", "target", needs_reference=True, function=max_change,
            title="largest change", note="largest absolute change of a value against float",
        ),
        SQNR,
    ),
    primary="mae",
    likeness="sqnr_db",
    check=_check,
    drop=_drop,
    parts=_parts,
    unit="in the unit of the targets",
    lower_is_better=True,
)  # fmt: skip
