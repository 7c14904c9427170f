"""Detection: boxes of objects with a class and a score, which all outputs tell together.

Metrics of right answers are those of COCO, over the ``detection_rows.MOST`` surest detections of
each photo whose score is ``detection_rows.FLOOR`` at least: a threshold as applications have it
would cut the curve of precision and recall off. What is compared with float, and shown, are
detections as the contract's thresholds give them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.annotations import Boxes
from calibration_data.detection import DETECTIONS
from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.average_precision import (
    ClassRecords,
    average_precision,
    average_recall,
    mean_over_classes,
)
from evaluation.bootstrap import bootstrap_drop
from evaluation.box_matching import AREAS, OVERLAPS
from evaluation.detected import Detected
from evaluation.detection_rows import RowMaker
from evaluation.metrics import Drop, Metric, PartRow, decibels
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    from calibration_data.datasets.base import Dataset
    from calibration_data.preprocessing import Preprocessing
    from evaluation.bootstrap import Statistic
    from evaluation.flips import Changed
    from evaluation.runner import Batch, Reduction

_EVERY = tuple(range(len(OVERLAPS)))


def ap(outputs: Detected) -> float:
    """Average precision in percent, mean over the classes and over overlaps of 0.50:0.95.

    Source: ``evaluation.average_precision``.
    """
    return _once(_ap(outputs), outputs)


def ap50(outputs: Detected) -> float:
    """Average precision in percent at an overlap of 0.5, mean over the classes."""
    return _once(_ap(outputs, overlaps=(0,)), outputs)


def ap75(outputs: Detected) -> float:
    """Average precision in percent at an overlap of 0.75, mean over the classes."""
    return _once(_ap(outputs, overlaps=(5,)), outputs)


def kept(outputs: Detected) -> float:
    """Detections that the file and float have in common, in percent of those of either.

    The same means the same class and an overlap of 0.5; 100 where neither has any.
    """
    lost, gained = int(outputs.lost.sum()), int(outputs.gained.sum())
    either = int(outputs.shown_by_float.sum()) + gained
    return 100.0 if either == 0 else 100 * (either - lost - gained) / either


def lost(outputs: Detected) -> float:
    """Number of detections that only the float network has."""
    return float(outputs.lost.sum())


def gained(outputs: Detected) -> float:
    """Number of detections that only the file has."""
    return float(outputs.gained.sum())


def sqnr_scores(outputs: Detected) -> float:
    """Signal to quantization noise of the score outputs of all levels, in dB, before their end.

    Source: ``evaluation.metrics.sqnr``.
    """
    return _sqnr(outputs, 1)


def sqnr_boxes(outputs: Detected) -> float:
    """Signal to quantization noise of the box codes of all levels, in dB."""
    return _sqnr(outputs, 0)


def _of_size(area: str, *, recall: bool) -> Callable[[Detected], float]:
    def of(outputs: Detected) -> float:
        records = outputs.records(area)
        found = average_recall if recall else average_precision(_EVERY)
        return _once(mean_over_classes(records, found), outputs)

    what = "recall" if recall else "precision"
    of.__doc__ = f"Average {what} in percent of objects of the size {area}, as COCO has it."
    return of


def _has_size(area: str) -> Callable[[Detected], bool]:
    return lambda outputs: bool(outputs.records(area))


def _has_noise(outputs: Detected) -> bool:
    """Whether raw outputs were compared: a file with the decoding inside has none."""
    return bool(np.isfinite(outputs.outputs["noise"]).all())


def _sqnr(outputs: Detected, part: int) -> float:
    signal = float(outputs.outputs["signal"][:, part].sum())
    noise = float(outputs.outputs["noise"][:, part].sum())
    return decibels(signal, noise)


def _ap(outputs: Detected, overlaps: Sequence[int] = _EVERY) -> Statistic:
    return mean_over_classes(outputs.records("all"), average_precision(overlaps))


def _once(statistic: Statistic, outputs: Detected) -> float:
    return float(statistic(np.ones((1, len(outputs.outputs))))[0])


def _drop(outputs: Detected, overlaps: Sequence[int] = _EVERY) -> Drop:
    """Loss of AP, with a bootstrap over the images: AP is no mean over them."""
    n = len(outputs.outputs)
    width = max(1, sum(len(record.images) for record in outputs.records("all")) // n)
    return bootstrap_drop(
        _ap(outputs.before, overlaps), _ap(outputs, overlaps), n, width=width * len(overlaps)
    )


def _drops(outputs: Detected) -> dict[str, Drop]:
    return {"ap50": _drop(outputs, (0,))}


def _changed(outputs: Detected) -> int:
    return int(((outputs.lost + outputs.gained) > 0).sum())


def _flips(outputs: Detected, describe: Callable[[int], str], most: int) -> tuple[Changed, ...]:
    return outputs.changed_images(describe, most)


def _parts(outputs: Detected) -> tuple[PartRow, ...]:
    """Average precision of each class that has true boxes."""
    every = np.ones((1, len(outputs.outputs)))
    of_class = average_precision(_EVERY)

    def values(records: Sequence[ClassRecords]) -> dict[int, float]:
        return {record.label: 100 * float(of_class(record, every)[0]) for record in records}

    after = values(outputs.records("all"))
    before = {} if outputs.reference is None else values(outputs.before.records("all"))
    return tuple(
        PartRow(
            record.label,
            int((record.objects > 0).sum()),
            after[record.label],
            before[record.label] - after[record.label] if before else None,
        )
        for record in outputs.records("all")
    )


def _curve(outputs: Detected) -> tuple[float, ...]:
    """Precision at each of ``RECALLS`` at an overlap of 0.5, mean over the classes."""
    curves = [record.curve(0) for record in outputs.records("all")]
    return tuple(float(value) for value in np.mean(curves, axis=0)) if curves else ()


def reduction(dataset: Dataset, contract: Preprocessing, names: tuple[str, ...]) -> Reduction:
    """Function that turns the raw outputs of a batch into one row of detections for each photo.

    Args:
        dataset: images, with true boxes or without.
        contract: contract with a detector.
        names: names of the outputs in the order in which they are given.
    """
    maker = RowMaker.of(contract, names)
    numbers = class_numbers(dataset, contract)

    def reduced(
        outputs: Mapping[str, tuple[np.ndarray, ...]], batch: Batch
    ) -> dict[str, np.ndarray]:
        truths = None
        if dataset.boxes is not None:
            truths = [renumbered(dataset.boxes.of(int(i)), numbers) for i in batch.indices]
        found = {key: maker.found(arrays) for key, arrays in outputs.items()}
        first = next(iter(found.values()))
        return {key: maker.rows(one, first, batch.sizes, truths) for key, one in found.items()}

    return reduced


def class_numbers(dataset: Dataset, contract: Preprocessing) -> np.ndarray:
    """Number that the network has for each class of the dataset, int64 ``[k]``; -1 for none.

    Classes are told by their names, in capitals or not; without names in the contract, by number.

    Raises:
        InvalidInputError: not one class in common.
    """
    names = dataset.boxes.class_names if dataset.boxes is not None else ()
    if not contract.labels:
        return np.arange(len(names))
    folded = {name.casefold(): i for i, name in reversed(list(enumerate(contract.labels)))}
    exact = {name: i for i, name in enumerate(contract.labels)}
    numbers = [exact.get(name, folded.get(name.casefold(), -1)) for name in names]
    if names and max(numbers) < 0:
        raise InvalidInputError(
            "boxes are of classes that the network knows by name",
            received=f"{_some(names)} in {dataset.name}; the contract's labels are "
            f"{_some(contract.labels)}",
            remedy="correct labels in the contract, or the names of the classes in the annotations",
        )
    return np.array(numbers, np.int64)


def renumbered(boxes: Boxes, numbers: np.ndarray) -> Boxes:
    """Boxes with the network's class numbers; those of classes that it does not have are left out.

    Args:
        boxes: boxes of one photo in the numbering of its dataset.
        numbers: number that the network has for each class, -1 for none.
    """
    labels = numbers[boxes.labels]
    known = labels >= 0
    return Boxes(boxes.corners[known], labels[known], boxes.crowd[known], boxes.areas[known])


def _annotated(dataset: Dataset, contract: Preprocessing) -> np.ndarray | None:
    """True boxes of each photo, objects ``[n]`` of the class ``Boxes``."""
    truth = dataset.boxes
    if truth is None:
        if not dataset.answered:
            return None
        raise InvalidInputError(
            "a detector is measured with true boxes: COCO JSON, Pascal VOC XML or YOLO text",
            received=f"other labels in {dataset.name}",
            remedy="give such a folder, or images without labels to compare with float alone",
        )
    numbers = class_numbers(dataset, contract)
    found = np.empty(len(dataset), object)
    for i in range(len(dataset)):
        found[i] = renumbered(truth.of(i), numbers)
    if not any(len(boxes) for boxes in found):
        raise InvalidInputError(
            "a detector is measured on photos of which one has a true box at least",
            received=f"{dataset.name} without a box of a class that the network knows",
            remedy="give annotated photos",
        )
    return found


def _remarks(dataset: Dataset, contract: Preprocessing) -> tuple[str, ...]:
    """What the reader must know of the classes: those that the network does not have."""
    if dataset.boxes is None:
        return ()
    names, numbers = dataset.boxes.class_names, class_numbers(dataset, contract)
    strange = [name for name, number in zip(names, numbers, strict=True) if number < 0]
    if not strange:
        return ()
    return (f"the network has no class {_some(strange)}: their boxes are left out of all metrics",)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check(truth: Truth, _task: OutputTask, _shape: tuple[int, ...]) -> np.ndarray:
    raise InvalidInputError(
        "a detector is measured with true boxes",
        received=f"other labels in {truth.source}",
        remedy="give a COCO JSON, Pascal VOC XML or YOLO text",
    )


def _sized(name: str, title: str, area: str, *, recall: bool) -> Metric:
    """Metric of objects of one size, or the recall of all."""
    what = "recall" if recall else "AP"
    of = "all objects" if area == "all" else f"{area} objects"
    return Metric(
        name, "%", needs_reference=False, function=_of_size(area, recall=recall),
        needs_targets=True, title=title, note=f"{what} of {of}", defined=_has_size(area),
        minor=True,
    )  # fmt: skip


_SIZES = tuple(area for area in AREAS if area != "all")

TASK = TaskKind(
    task=Task.DETECTION,
    summary="boxes of objects with a class and a score each, told by all outputs together",
    metrics=(
        Metric(
            "ap", "%", needs_reference=False, function=ap, needs_targets=True, title="AP",
            note="COCO's average precision, mean over overlaps of 0.50:0.95 and the classes",
            defined=_has_size("all"),
        ),
        Metric(
            "ap50", "%", needs_reference=False, function=ap50, needs_targets=True, title="AP50",
            note="at an overlap of 0.5", defined=_has_size("all"),
        ),
        Metric(
            "ap75", "%", needs_reference=False, function=ap75, needs_targets=True, title="AP75",
            note="at an overlap of 0.75", defined=_has_size("all"),
            minor=True,
        ),
        *(_sized(f"ap_{area}", f"AP {area}", area, recall=False) for area in _SIZES),
        _sized("ar", "AR", "all", recall=True),
        *(_sized(f"ar_{area}", f"AR {area}", area, recall=True) for area in _SIZES),
        Metric(
            "agreement", "%", needs_reference=True, function=kept, title="as float",
            note="detections that both have, of those of either",
        ),
        Metric(
            "lost", "count", needs_reference=True, function=lost,
            note="detections of float that the file does not have",
        ),
        Metric(
            "gained", "count", needs_reference=True, function=gained,
            note="detections of the file that float does not have",
        ),
        Metric(
            "sqnr_db", "dB", needs_reference=True, function=sqnr_scores, title="SQNR scores",
            note="signal to quantization noise of the score outputs; more is better",
            defined=_has_noise,
        ),
        Metric(
            "sqnr_boxes_db", "dB", needs_reference=True, function=sqnr_boxes, title="SQNR boxes",
            note="the same of the codes of boxes",
            defined=_has_noise,
        ),
    ),
    primary="ap",
    likeness="agreement",
    check=_check,
    drop=_drop,
    drops=_drops,
    changed=_changed,
    flips=_flips,
    parts=_parts,
    curve=_curve,
    scores=Detected,
    reduction=reduction,
    annotated=_annotated,
    remarks=_remarks,
    instead=DETECTIONS,
    resampled=True,
)  # fmt: skip
