"""Average precision and recall of detections, of all images or of resamples of them.

Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context",
https://arxiv.org/abs/1405.0312, and ``COCOeval.accumulate`` of pycocotools, whose values these are:
precision at 101 recalls, each the best at that recall or above, averaged over the classes that
have true boxes. ``accumulate`` itself counts each image once; here an image counts as often as a
resample has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.annotations import Boxes
from evaluation.box_matching import AREAS, OVERLAPS

if TYPE_CHECKING:
    from evaluation.bootstrap import Statistic

RECALLS = np.linspace(0.0, 1.0, 101)
_VALUES = 2_000_000
"""Weighted detections that are held at once."""


@dataclass(frozen=True, eq=False)
class ClassRecords:
    """Detections of one class over a set of images, the surest first.

    Attributes:
        label: number of the class.
        images: image of each detection, int64 ``[d]``.
        right: bits of the overlaps at which each found a true box, uint16 ``[d]``.
        wrong: bits of the overlaps at which each is wrong, uint16 ``[d]``.
        objects: number of true boxes to find in each image, int64 ``[n]``.
    """

    label: int
    images: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    objects: np.ndarray

    def precision(self, weights: np.ndarray, overlap: int) -> np.ndarray:
        """Average precision, ``[r]``, 0 to 1; NaN in resamples without a true box.

        Args:
            weights: number of times that each image counts, ``[r, n]``.
            overlap: place in ``OVERLAPS``.
        """
        total = weights @ self.objects  # [r]
        hits, best = self._envelope(weights, overlap)
        # Each hit holds the recalls of the list that lie above that of the hit before.
        reached = np.searchsorted(RECALLS, hits / np.maximum(total, 1)[:, None], side="right")
        held = np.diff(reached, axis=1, prepend=0)
        mean: np.ndarray = (best * held).sum(axis=1) / len(RECALLS)
        return np.where(total > 0, mean, np.nan)

    def curve(self, overlap: int) -> np.ndarray:
        """Precision at each of ``RECALLS`` over all images, ``[101]``; zeros beyond the last hit.

        Args:
            overlap: place in ``OVERLAPS``.
        """
        hits, best = self._envelope(np.ones((1, len(self.objects))), overlap)
        places = np.searchsorted(hits[0] / self.objects.sum(), RECALLS)
        padded = np.append(best[0], 0.0)
        values: np.ndarray = padded[np.minimum(places, len(best[0]))]
        return values

    def _envelope(self, weights: np.ndarray, overlap: int) -> tuple[np.ndarray, np.ndarray]:
        """Hits down to each hit, and the best precision there or behind it, ``[r, hits]``."""
        hits, misses = self._counted(weights, overlap)
        best = hits / np.maximum(hits + misses, 1)
        return hits, np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]

    def recall(self, weights: np.ndarray, overlap: int) -> np.ndarray:
        """Share of the true boxes that are found, ``[r]``; NaN in resamples without one."""
        total = weights @ self.objects
        hits, _ = self._counted(weights, overlap)
        reached = hits[:, -1] if hits.shape[1] else np.zeros(len(weights))
        share: np.ndarray = np.divide(
            reached, total, out=np.full(len(weights), np.nan), where=total > 0
        )
        return share

    def _counted(self, weights: np.ndarray, overlap: int) -> tuple[np.ndarray, np.ndarray]:
        """Right and wrong detections down to each that is right, float64 ``[r, hits]``."""
        right = (self.right >> overlap & 1).astype(bool)
        wrong = (self.wrong >> overlap & 1).astype(bool)
        each = weights[:, self.images]  # [r, d]
        hits = np.cumsum(each[:, right], axis=1)
        misses = np.cumsum(each * wrong, axis=1)[:, right]
        return hits, misses


def class_records(
    rows: np.ndarray, truths: Sequence[Boxes], area: str = "all"
) -> tuple[ClassRecords, ...]:
    """Records of each class that has a true box of a size.

    Args:
        rows: rows of ``evaluation.tasks.detection``, ``[n]``.
        truths: true boxes of each image.
        area: a key of ``AREAS``.
    """
    place, (low, high) = list(AREAS).index(area), AREAS[area]
    counted = [~t.crowd & (t.areas >= low) & (t.areas <= high) for t in truths]
    images = np.repeat(np.arange(len(truths)), [int(c.sum()) for c in counted])
    labels = np.concatenate([t.labels[c] for t, c in zip(truths, counted, strict=True)])
    found, places = np.nonzero(np.arange(rows["scores"].shape[1]) < rows["count"][:, None])
    order = np.argsort(-rows["scores"][found, places], kind="stable")
    found, places = found[order], places[order]
    classes = rows["classes"][found, places]
    right, ignored = rows["right"][found, place, places], rows["ignored"][found, place, places]
    records = []
    for label in np.unique(labels):
        own = np.flatnonzero(classes == label)
        hits = right[own] & ~ignored[own]
        last = int(np.flatnonzero(hits)[-1]) + 1 if hits.any() else 0  # none behind it counts
        own, hits = own[:last], hits[:last]
        objects = np.bincount(images[labels == label], minlength=len(truths))
        wrong = ~(right[own] | ignored[own])
        records.append(ClassRecords(int(label), found[own], hits, wrong, objects))
    return tuple(records)


def mean_over_classes(
    records: Sequence[ClassRecords], of_class: Callable[[ClassRecords, np.ndarray], np.ndarray]
) -> Statistic:
    """Mean over the classes in percent, ``[r]``; NaN in a resample without a true box.

    Args:
        records: records of the classes.
        of_class: (records of a class, weights ``[r, n]``) -> ``[r]``, NaN for classes without a
            true box.
    """
    most = max([len(record.images) for record in records] or [1])

    def mean(weights: np.ndarray) -> np.ndarray:
        table = np.stack([of_class(record, weights) for record in records])  # [classes, r]
        count = (~np.isnan(table)).sum(axis=0)
        total = np.where(count > 0, np.nansum(table, axis=0), np.nan)
        result: np.ndarray = 100 * total / np.maximum(count, 1)
        return result

    def of(weights: np.ndarray) -> np.ndarray:
        step = max(1, _VALUES // max(most, 1))
        parts = [mean(weights[i : i + step]) for i in range(0, len(weights), step)]
        return np.concatenate(parts)

    return of


def average_precision(overlaps: Sequence[int]) -> Callable[[ClassRecords, np.ndarray], np.ndarray]:
    """Average precision of a class, mean over some places of ``OVERLAPS``: ``[r]``, 0 to 1."""

    def of(record: ClassRecords, weights: np.ndarray) -> np.ndarray:
        mean: np.ndarray = np.mean(
            [record.precision(weights, overlap) for overlap in overlaps], axis=0
        )
        return mean

    return of


def average_recall(record: ClassRecords, weights: np.ndarray) -> np.ndarray:
    """Recall of a class, mean over ``OVERLAPS``: ``[r]``, 0 to 1."""
    mean: np.ndarray = np.mean(
        [record.recall(weights, overlap) for overlap in range(len(OVERLAPS))], axis=0
    )
    return mean
