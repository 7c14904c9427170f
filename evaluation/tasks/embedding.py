"""Embedding: a vector whose direction is compared with those of other images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.decisions import right_answers_drop
from evaluation.intervals import Interval, wilson
from evaluation.metrics import CONFIDENCE, SQNR, AccuracyDrop, Metric, percent
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 512
"""Images whose similarities to all others are held at once."""


def retrieval_at_1(outputs: Outputs) -> float:
    """Percent of images whose nearest other image has the same label.

    Nearest by cosine; of equal similarities, the image with the lowest number. Images whose label
    no other image has do not count. Source: recall at 1 of Song et al. 2016, Deep Metric Learning
    via Lifted Structured Feature Embedding, https://arxiv.org/abs/1511.06452.
    """
    return percent(_right(outputs))


def cosine(outputs: Outputs) -> float:
    """Mean over the images of the cosine between the vector and that of the float network.

    1 for equal directions, whatever the lengths; a vector of zeros has 0.
    """
    import numpy as np

    return float(np.einsum("nk,nk->n", _unit(outputs.rows), _unit(outputs.reference_rows)).mean())


def agreement(outputs: Outputs) -> float:
    """Percent of images whose nearest other image is the same as in the float network."""
    return percent(nearest(outputs.rows) == nearest(outputs.reference_rows))


def nearest(rows: np.ndarray) -> np.ndarray:
    """Number of the nearest other image of each image by cosine, int64 ``[n]``.

    Args:
        rows: vectors ``[n, k]`` of two images at least.
    """
    import numpy as np

    unit = _unit(rows)
    found = np.empty(len(unit), np.int64)
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK] @ unit.T  # [block, n]
        places = np.arange(len(block))
        block[places, places + start] = -np.inf
        found[start : start + _BLOCK] = block.argmax(axis=1)
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length, float64; a row of zeros stays."""
    import numpy as np

    wide = rows.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    result: np.ndarray = wide / np.where(length > 0, length, 1.0)
    return result


def _judged(outputs: Outputs) -> np.ndarray:
    """Images whose label another image has, bool ``[n]``."""
    import numpy as np

    _, place, count = np.unique(outputs.required_targets, return_inverse=True, return_counts=True)
    judged: np.ndarray = count[place] > 1
    return judged


def _right(outputs: Outputs) -> np.ndarray:
    """Whether the nearest image has the same label, of each image that is judged."""
    labels = outputs.required_targets
    right: np.ndarray = (labels[nearest(outputs.rows)] == labels)[_judged(outputs)]
    return right


def _several(outputs: Outputs) -> bool:
    return len(outputs.outputs) > 1


def _repeats(outputs: Outputs) -> bool:
    return bool(_judged(outputs).any())


def _drop(outputs: Outputs) -> AccuracyDrop:
    judged = _judged(outputs)
    other = nearest(outputs.rows) != nearest(outputs.reference_rows)
    changed = int(other[judged].sum())
    return right_answers_drop(_right(outputs.before), _right(outputs), changed)


def _interval(outputs: Outputs) -> Interval:
    right = _right(outputs)
    interval = wilson(int(right.sum()), len(right), CONFIDENCE)
    return Interval(100 * interval.low, 100 * interval.high)


def _changed(outputs: Outputs) -> int:
    if not _several(outputs):
        return 0
    return int((nearest(outputs.rows) != nearest(outputs.reference_rows)).sum())


def _check(truth: Truth, _task: OutputTask, _shape: tuple[int, ...]) -> np.ndarray:
    """Identities, int64 ``[n]``: class numbers, whatever their count and their names."""
    import numpy as np

    labels, values = truth.labels, truth.values
    if labels is None and values is not None and values.shape[1] == 1 and values.dtype.kind == "i":
        labels = values[:, 0]
    received = "" if labels is not None else "other targets"
    if labels is not None and len(np.unique(labels)) == len(labels):
        received = "no two images of one identity"
    if received or labels is None:
        raise InvalidInputError(
            "an embedding is measured with whole numbers or class folders that say which images "
            "belong together",
            received=f"{received} in {truth.source}",
            remedy="give such labels, or none to compare with float alone",
        )
    return labels.astype(np.int64)


TASK = TaskKind(
    task=Task.EMBEDDING,
    summary="a vector whose direction is compared with those of other images",
    metrics=(
        Metric(
            "retrieval_at_1", "%", needs_reference=False, function=retrieval_at_1,
            needs_targets=True, title="retrieval at 1",
            note="images whose nearest other image has the same label", defined=_repeats,
        ),
        Metric(
            "agreement", "%", needs_reference=True, function=agreement, title="neighbour as float",
            note="images whose nearest other image is the same as in float", defined=_several,
        ),
        Metric(
            "cosine", "", needs_reference=True, function=cosine,
            note="mean cosine between the vectors of the file and of float",
        ),
        SQNR,
    ),
    primary="retrieval_at_1",
    likeness="agreement",
    check=_check,
    drop=_drop,
    interval=_interval,
    changed=_changed,
)  # fmt: skip
