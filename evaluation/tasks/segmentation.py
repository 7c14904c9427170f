"""Segmentation: one class for each pixel, compared with true masks at the size of the photo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from calibration_data.image_files import spread
from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.bootstrap import bootstrap_drop
from evaluation.flips import Flip
from evaluation.mask_rows import HITS, SAID, TRUE, MaskRows, assumed, mask_classes, reduction
from evaluation.metrics import Drop, Metric, PartRow
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from calibration_data.datasets.base import Dataset
    from calibration_data.preprocessing import Preprocessing
    from evaluation.bootstrap import Statistic


_LOOKED_AT = 256
"""Largest number of masks whose values are looked at before any work is done."""


def miou(outputs: MaskRows) -> float:
    """Mean over the classes of intersection over union, in percent.

    Of each class: pixels of all images where it is true and said, divided by those where it is true
    or said. The classes are those that occur in the true masks, so that both networks have the same
    ones and a few pixels of a class that no image shows do not count as a class without a hit.
    Source: Everingham et al. 2015, The Pascal Visual Object Classes Challenge: A Retrospective,
    International Journal of Computer Vision 111:98-136, section 3.4.
    """
    return _once(_miou(outputs), outputs)


def pixel_accuracy(outputs: MaskRows) -> float:
    """Percent of the measured pixels of all images that have the true class."""
    return _once(_accuracy(outputs), outputs)


def boundary_f1(outputs: MaskRows) -> float:
    """Boundary F1 in percent: mean over the images of the mean over the classes that they show.

    ``2 P R / (P + R)`` with the share ``P`` of the said boundary near the true one, and the share
    ``R`` of the true boundary near the said one. Source: ``evaluation.masks.boundary_counts``.
    """
    return _once(_boundary(outputs), outputs)


def pixels_changed(outputs: MaskRows) -> float:
    """Percent of the pixels of all photos that have another class than in the float network."""
    rows = outputs.outputs
    return 100 * int(rows["changed"].sum()) / max(int(rows["seen"].sum()), 1)


def agreement(outputs: MaskRows) -> float:
    """Percent of the pixels of all photos that have the class of the float network."""
    return 100 - pixels_changed(outputs)


def sqnr(outputs: MaskRows) -> float:
    """Signal to quantization noise of the maps as the networks give them, in dB.

    Source: ``evaluation.metrics.sqnr``, from sums of each image.
    """
    signal = float(outputs.outputs["signal"].sum())
    noise = float(outputs.outputs["noise"].sum())
    return math.inf if noise == 0 else 10 * (math.log10(signal) - math.log10(noise))


def _miou(outputs: MaskRows) -> Statistic:
    import numpy as np

    counts = outputs.outputs["counts"].astype(np.float64)  # [n, classes, 3]
    occurs = counts[:, :, TRUE].any(axis=0)
    hits, true, said = (counts[:, occurs, k] for k in range(3))

    def of(weights: np.ndarray) -> np.ndarray:
        both, shown = weights @ hits, weights @ true  # [r, classes]
        either = shown + weights @ said - both
        iou = np.where(shown > 0, both / np.maximum(either, 1), np.nan)
        return 100 * _mean_of_known(iou)

    return of


def _accuracy(outputs: MaskRows) -> Statistic:
    import numpy as np

    counts = outputs.outputs["counts"].astype(np.float64).sum(axis=1)  # [n, 3]

    def of(weights: np.ndarray) -> np.ndarray:
        right, measured = weights @ counts[:, HITS], weights @ counts[:, TRUE]
        share: np.ndarray = np.where(measured > 0, 100 * right / np.maximum(measured, 1), np.nan)
        return share

    return of


def _boundary(outputs: MaskRows) -> Statistic:
    import numpy as np

    found = _image_f1(outputs)  # [n]
    known = ~np.isnan(found)

    def of(weights: np.ndarray) -> np.ndarray:
        count = weights[:, known].sum(axis=1)
        total = weights[:, known] @ found[known]
        mean: np.ndarray = np.where(count > 0, 100 * total / np.maximum(count, 1), np.nan)
        return mean

    return of


def _image_f1(outputs: MaskRows) -> np.ndarray:
    """Boundary F1 of each image, 0 to 1; NaN for one whose truth has no boundary."""
    import numpy as np

    near_true, said, near_said, true = np.moveaxis(
        outputs.outputs["borders"].astype(np.float64), 2, 0
    )
    precision, recall = near_true / np.maximum(said, 1), near_said / np.maximum(true, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-30)
    return _mean_of_known(np.where(true > 0, f1, np.nan))


def _mean_of_known(table: np.ndarray) -> np.ndarray:
    """Mean of each row over its values that are not NaN; NaN for a row of NaN alone."""
    import numpy as np

    known = ~np.isnan(table)
    total, count = np.where(known, table, 0).sum(axis=1), known.sum(axis=1)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _once(statistic: Statistic, outputs: MaskRows) -> float:
    import numpy as np

    return float(statistic(np.ones((1, len(outputs.outputs))))[0])


def _drop_of(outputs: MaskRows, statistic: Callable[[MaskRows], Statistic]) -> Drop:
    before, after = statistic(_before(outputs)), statistic(outputs)
    return bootstrap_drop(before, after, len(outputs.outputs), width=outputs.width)


def _before(outputs: MaskRows) -> MaskRows:
    return MaskRows(outputs.required_reference, outputs.targets)


def _drop(outputs: MaskRows) -> Drop:
    return _drop_of(outputs, _miou)


def _drops(outputs: MaskRows) -> dict[str, Drop]:
    found = {"pixel_accuracy": _drop_of(outputs, _accuracy)}
    if _has_boundaries(outputs):
        found["boundary_f1"] = _drop_of(outputs, _boundary)
    return found


def _measured(outputs: MaskRows) -> bool:
    return bool(outputs.outputs["counts"][:, :, TRUE].any())


def _has_boundaries(outputs: MaskRows) -> bool:
    return bool(outputs.outputs["borders"][:, :, 3].any())


def _has_signal(outputs: MaskRows) -> bool:
    return bool(outputs.outputs["signal"].any())


def _changed(outputs: MaskRows) -> int:
    return int((outputs.outputs["changed"] > 0).sum())


def _parts(outputs: MaskRows) -> tuple[PartRow, ...]:
    """IoU of each class that occurs in the true masks."""
    import numpy as np

    after = _class_iou(outputs.outputs)
    before = None if outputs.reference is None else _class_iou(outputs.reference)
    shown = (outputs.outputs["counts"][:, :, TRUE] > 0).sum(axis=0)  # images of each class
    return tuple(
        PartRow(
            int(place),
            int(shown[place]),
            float(after[place]),
            None if before is None else float(before[place] - after[place]),
        )
        for place in np.flatnonzero(shown)
    )


def _class_iou(rows: np.ndarray) -> np.ndarray:
    """Intersection over union of each class in percent, ``[classes]``; 0 for one not shown."""
    import numpy as np

    counts = rows["counts"].sum(axis=0).astype(np.float64)  # [classes, 3]
    either = counts[:, TRUE] + counts[:, SAID] - counts[:, HITS]
    iou: np.ndarray = 100 * counts[:, HITS] / np.maximum(either, 1)
    return iou


def _flips(outputs: MaskRows, describe: Callable[[int], str], most: int) -> tuple[Flip, ...]:
    """Photos with changed pixels, the largest share first; the classes are of the largest change.

    Args:
        outputs: rows with a reference.
        describe: index of an image -> its name.
        most: largest number of photos.
    """
    import numpy as np

    rows = outputs.outputs
    share = 100 * rows["changed"] / np.maximum(rows["seen"], 1)
    order = np.argsort(-share, kind="stable")[:most]
    return tuple(
        Flip(
            image=int(image),
            name=describe(int(image)),
            label=None,
            before=int(rows["moved"][image][0]),
            after=int(rows["moved"][image][1]),
            margin=float(share[image]),
        )
        for image in order
        if rows["changed"][image]
    )


def _check(truth: Truth, _task: OutputTask, _shape: tuple[int, ...]) -> np.ndarray:
    raise InvalidInputError(
        "a segmenter is measured with a true mask for each image",
        received=f"classes or numbers in {truth.source}",
        remedy="give masks beside the images, or images without labels to compare with float alone",
    )


def _annotated(dataset: Dataset, contract: Preprocessing) -> np.ndarray | None:
    """Numbers of the photos, int64 ``[n]``, where they have masks of the network's classes."""
    import numpy as np

    if dataset.masks is None:
        if dataset.labels is not None or dataset.targets:
            _check(Truth(dataset.name, None), OutputTask(), ())
        return None
    labels = contract.labels
    if labels:
        masks = mask_classes(dataset, contract, len(labels), labels)
        indices = spread(len(dataset), _LOOKED_AT)
        if (
            masks is not None
            and not masks.check(indices, dataset.describe)
            and len(indices) == len(dataset)
        ):
            raise InvalidInputError(
                "a segmenter is measured on masks of which one shows a class of the network",
                received=f"{dataset.name} with pixels that are not measured alone",
                remedy="give the masks of these photos, or correct ignored or palette under "
                "[segmentation] in the contract",
            )
    return np.arange(len(dataset))


TASK = TaskKind(
    task=Task.SEGMENTATION,
    summary="one score per class for each place of the image, which make a mask",
    metrics=(
        Metric(
            "miou", "%", needs_reference=False, function=miou, needs_targets=True, title="mIOU",
            note="mean intersection over union of the classes in the true masks",
            defined=_measured,
        ),
        Metric(
            "pixel_accuracy", "%", needs_reference=False, function=pixel_accuracy,
            needs_targets=True, title="pixel accuracy", note="measured pixels with the true class",
            defined=_measured,
        ),
        Metric(
            "boundary_f1", "%", needs_reference=False, function=boundary_f1, needs_targets=True,
            title="boundary F1",
            note="boundaries that meet the true ones within 0.75 percent of the diagonal",
            defined=_has_boundaries,
        ),
        Metric(
            "pixels_changed", "%", needs_reference=True, function=pixels_changed,
            title="pixels changed", note="pixels of the photos with another class than in float",
        ),
        Metric(
            "agreement", "%", needs_reference=True, function=agreement, title="pixels as float",
            note="pixels of the photos with the class of the float network", listed=False,
        ),
        Metric(
            "sqnr_db", "dB", needs_reference=True, function=sqnr, title="SQNR",
            note="signal to quantization noise of the map; more is better", defined=_has_signal,
        ),
    ),
    primary="miou",
    likeness="agreement",
    check=_check,
    drop=_drop,
    drops=_drops,
    changed=_changed,
    flips=_flips,
    parts=_parts,
    scores=MaskRows,
    reduction=reduction,
    annotated=_annotated,
    assumed=assumed,
    resampled=True,
)  # fmt: skip
