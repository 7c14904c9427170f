"""Scores of a classifier as a row of statistics for each image, for sets that do not fit in memory.

What depends on an image alone is computed where the image is run; sums over images are made once,
over all rows in the order of the images, so that no figure depends on how they were divided. The
metrics are those of ``evaluation.tasks.classification``; SQNR and divergence can differ from them
in the last digits of a double, since their sums have another order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from evaluation.flips import MOST_FLIPS, Flip
from evaluation.metrics import Metric, decibels, percent
from evaluation.runner import Batch, Reduction
from evaluation.scores import Scores, check_finite_rows
from evaluation.task import TaskKind
from evaluation.tasks.classification import (
    are_probabilities,
    divergence,
    softmax,
)
from foundation.errors import InvalidInputError

_BEST = 5

ROW = np.dtype(
    [
        ("classes", np.int32),
        ("best", np.int32, (_BEST,)),
        ("tied", np.bool_),
        ("finite", np.bool_),
        ("margin", np.float64),
        ("signal", np.float64),
        ("noise", np.float64),
        ("distribution", np.bool_),
        ("least", np.float64),
        ("kl_of_scores", np.float64),
        ("kl_of_logits", np.float64),
    ]
)
"""Row of one image: ``classes`` is their number; ``best`` are the classes with the highest scores,
of equal ones the lowest first, -1 beyond the last class; ``tied`` whether two share the highest;
``margin`` the lead of the first over the second; ``signal`` and ``noise`` sums of squares of the
first network's scores and of the differences to them; ``distribution`` whether the scores are not
negative with the sum 1; ``least`` the least score; the divergences from the first network's scores,
taken as probabilities and as logits."""


def reduction(arrays: Mapping[str, tuple[np.ndarray, ...]], _: Batch) -> Mapping[str, np.ndarray]:
    """Rows of each network, ``[b]``; see ``evaluation.runner.Reduction``."""
    (reference,) = next(iter(arrays.values()))
    return {name: _rows(outputs, reference) for name, (outputs,) in arrays.items()}


def _rows(outputs: np.ndarray, reference: np.ndarray) -> np.ndarray:
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.shape != reference.shape:
        raise InvalidInputError(
            "scores of two classes at least are a row for each image, the same number in both "
            "networks",
            received=f"{list(outputs.shape)} and {list(reference.shape)}",
            remedy="compare classifiers made from one model",
        )
    rows = np.zeros(len(outputs), ROW)
    classes = outputs.shape[1]
    finite = np.isfinite(outputs).all(axis=1)
    rows["classes"], rows["finite"] = classes, finite
    outputs = np.where(finite[:, None], outputs, 0)
    reference = np.where(np.isfinite(reference).all(axis=1)[:, None], reference, 0)
    order = np.argsort(-outputs, axis=1, kind="stable")[:, :_BEST]
    rows["best"] = -1
    rows["best"][:, : order.shape[1]] = order
    highest = np.sort(outputs, axis=1)
    rows["tied"] = highest[:, -1] == highest[:, -2]
    rows["margin"] = highest[:, -1] - highest[:, -2]
    rows["least"] = highest[:, 0]
    first, mine = reference.astype(np.float64), outputs.astype(np.float64)
    rows["signal"] = np.square(first).sum(axis=1)
    rows["noise"] = np.square(first - mine).sum(axis=1)
    rows["distribution"] = [are_probabilities(one[None]) for one in mine]
    rows["kl_of_scores"] = divergence(first, mine)
    rows["kl_of_logits"] = divergence(softmax(first), softmax(mine))
    return rows


def shape_of(outputs: np.ndarray) -> tuple[int, ...]:
    """Shape of an output for one image: of outputs ``[n, ...]``, or of rows of scores."""
    if outputs.dtype == ROW:
        return (int(outputs["classes"][0]),)
    return outputs.shape[1:]


@dataclass(frozen=True, eq=False)
class ScoreRows(Scores):
    """Rows of a classifier over a set of images.

    Attributes:
        outputs: rows of ``ROW``, ``[n]``.
        targets: true classes, integers ``[n]``; None for images without labels.
        reference: rows of the float network.

    Raises:
        InvalidInputError: as ``Scores``.
    """

    def __post_init__(self) -> None:
        check_finite_rows(self.outputs, self.reference)

    @property
    def width(self) -> int:
        """Number of classes."""
        return int(self.outputs["classes"][0])

    @property
    def predictions(self) -> np.ndarray:
        """Predicted classes, int64 ``[n]``."""
        result: np.ndarray = self.outputs["best"][:, 0].astype(np.int64)
        return result

    @property
    def reference_predictions(self) -> np.ndarray:
        """Classes that the float network predicts, int64 ``[n]``."""
        result: np.ndarray = self.required_reference["best"][:, 0].astype(np.int64)
        return result


def _top5(rows: ScoreRows) -> float:
    """Percent of images whose label is among the five highest scores."""
    return percent((rows.outputs["best"] == rows.required_labels[:, None]).any(axis=1))


def _ties(rows: ScoreRows) -> float:
    """Percent of images on which two classes or more share the highest score."""
    return percent(rows.outputs["tied"])


def _sqnr(rows: ScoreRows) -> float:
    """Signal to quantization noise in dB, over all images and classes."""
    _ = rows.required_reference
    signal, noise = (float(rows.outputs[name].sum()) for name in ("signal", "noise"))
    return decibels(signal, noise)


def _kl(rows: ScoreRows) -> float:
    """Mean divergence from the float network's outputs, in nats."""
    if not rows.required_reference["distribution"].all():
        return max(float(rows.outputs["kl_of_logits"].mean()), 0.0)
    least = float(rows.outputs["least"].min())
    if least < 0:
        raise InvalidInputError(
            "both networks end in softmax, or neither does",
            received=f"probabilities from the float network and an output {least:.4g}",
            remedy="export the model as it is compared",
        )
    return max(float(rows.outputs["kl_of_scores"].mean()), 0.0)


_FUNCTIONS: dict[str, Callable[[ScoreRows], float]] = {
    "top5": _top5,
    "ties": _ties,
    "sqnr_db": _sqnr,
    "kl": _kl,
}


def _flips(
    rows: ScoreRows, describe: Callable[[int], str], most: int = MOST_FLIPS
) -> tuple[Flip, ...]:
    """Changed answers, as ``evaluation.flips.flips`` has them."""
    before, after = rows.reference_predictions, rows.predictions
    changed = np.flatnonzero(before != after)
    margins = rows.required_reference["margin"][changed]
    order = np.argsort(-margins, kind="stable")[:most]
    return tuple(
        Flip(
            image=int(changed[place]),
            name=describe(int(changed[place])),
            label=None if rows.labels is None else int(rows.labels[changed[place]]),
            before=int(before[changed[place]]),
            after=int(after[changed[place]]),
            margin=float(margins[place]),
        )
        for place in order
    )


def _metric(metric: Metric) -> Metric:
    return replace(metric, function=_FUNCTIONS.get(metric.name, metric.function))


def _reduction(*_: object) -> Reduction:
    return reduction


def in_rows(kind: TaskKind) -> TaskKind:
    """The same task with a row for each image in place of all scores; for classification alone.

    Expected flips need the scores of all near rivals, which a row does not have.

    Args:
        kind: task; any other is returned as it is.
    """
    if kind.scores is not Scores:
        return kind
    return replace(
        kind,
        metrics=tuple(_metric(metric) for metric in kind.metrics),
        scores=ScoreRows,
        reduction=_reduction,
        flips=_flips,
        expected=None,
    )
