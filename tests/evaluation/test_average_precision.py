"""Average precision and recall beside pycocotools, and on sets whose answers are known by hand."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

from calibration_data.annotations import Boxes
from evaluation.average_precision import average_precision, class_records, mean_over_classes
from evaluation.box_matching import same_detections
from evaluation.detected import Detected
from evaluation.task import evaluate
from evaluation.tasks.detection import TASK
from tests.evaluation.detections import (
    Photo,
    boxes_of,
    drawn_detections,
    drawn_photo,
    drawn_truths,
    rows_of,
)

NAMES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    None, None, "ar", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip
"""Our names of the figures that ``COCOeval.summarize`` gives, in its order."""


def rectangle(box: np.ndarray) -> list[float]:
    top, left, bottom, right = (float(edge) for edge in box)
    return [left, top, right - left, bottom - top]


def by_pycocotools(truths: list[Boxes], photos: list[Photo], classes: int) -> dict[str, float]:
    """Figures of the whole evaluation of pycocotools, in percent."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (truth, (boxes, scores, labels)) in enumerate(zip(truths, photos, strict=True)):
        for box, label, crowd, area in zip(
            truth.corners, truth.labels, truth.crowd, truth.areas, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": int(label),
                    "bbox": rectangle(box), "area": float(area), "iscrowd": int(crowd),
                }
            )  # fmt: skip
        results += [
            {"image_id": image, "category_id": int(c), "bbox": rectangle(b), "score": float(s)}
            for b, s, c in zip(boxes, scores, labels, strict=True)
        ]
    with redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": i} for i in range(classes)],
            "annotations": annotations,
        }
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: 100 * value for name, value in zip(NAMES, judge.stats, strict=True) if name}


def objects(truths: list[Boxes]) -> np.ndarray:
    targets = np.empty(len(truths), object)
    targets[:] = truths
    return targets


@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "tied"])
def test_all_figures_are_those_of_pycocotools(coarse: bool) -> None:
    rng = np.random.default_rng(1)
    truths = drawn_truths(rng, 25, 4)
    photos = [drawn_photo(rng, truth, 5, 5.0, coarse) for truth in truths]
    expected = by_pycocotools(truths, photos, 5)
    assert 5 < expected["ap"] < 95
    found = evaluate(Detected(rows_of(photos, truths), objects(truths)), TASK).values
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_right_a_wrong_and_a_missed_box_by_hand() -> None:
    # Two objects: the surest detection finds one (overlap 0.8), the next is wrong, none is left.
    truths = [boxes_of([[0, 0, 100, 100], [200, 200, 300, 300]], [0, 0])]
    photo = (
        np.array([[0, 0, 80, 100], [120, 120, 160, 160]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([0, 0]),
    )
    values = evaluate(Detected(rows_of([photo], truths), objects(truths)), TASK).values
    # Precision 1 up to recall 0.5: 51 of 101 points; at overlaps of 0.50 to 0.80, 7 of 10.
    assert values["ap50"] == pytest.approx(100 * 51 / 101)
    assert values["ap"] == pytest.approx(100 * 51 / 101 * 0.7)
    assert values["ar"] == pytest.approx(35)
    assert "ap_small" not in values  # no small object
    assert "ap_large" in values


def test_a_crowd_is_neither_missed_nor_wrong() -> None:
    truths = [boxes_of([[0, 0, 50, 50], [100, 100, 200, 200]], [0, 0], [False, True])]
    photo = (
        np.array([[100, 100, 150, 150], [0, 0, 50, 50]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.array([0, 0]),
    )
    values = evaluate(Detected(rows_of([photo], truths), objects(truths)), TASK).values
    assert values["ap"] == pytest.approx(100)


def test_an_image_that_is_drawn_twice_counts_as_two_copies() -> None:
    rng = np.random.default_rng(5)
    truths = drawn_truths(rng, 12, 3)
    photos = [drawn_photo(rng, truth, 3, 5.0) for truth in truths]
    drawn = rng.integers(0, 12, 12)
    statistic = mean_over_classes(
        class_records(rows_of(photos, truths), truths), average_precision(range(10))
    )
    weights = np.stack([np.ones(12), np.bincount(drawn, minlength=12)])
    copies = [truths[i] for i in drawn]
    expected = by_pycocotools(copies, [photos[i] for i in drawn], 3)["ap"]
    assert statistic(weights)[1] == pytest.approx(expected, abs=1e-9)
    assert statistic(weights)[0] == pytest.approx(statistic(np.ones((1, 12)))[0], abs=1e-9)


def test_no_detection_at_all_has_an_ap_of_zero() -> None:
    truths = [boxes_of([[0, 0, 50, 50]], [0])]
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    values = evaluate(Detected(rows_of([none], truths), objects(truths)), TASK).values
    assert values["ap"] == 0
    assert values["ar"] == 0


def test_detections_in_common_are_paired_once_and_by_class() -> None:
    one = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    two = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    assert same_detections(one, np.array([1, 1, 2]), two, np.array([1, 2])) == 2
    assert same_detections(one, np.array([1, 1, 2]), two, np.array([1, 1])) == 1
    assert same_detections(one, np.array([1, 1, 2]), two[:0], np.zeros(0, np.int64)) == 0


def test_lost_and_gained_detections_order_the_photos() -> None:
    both = drawn_detections()
    result = evaluate(both, TASK)
    assert result.values["lost"] == both.lost.sum() > 0
    common = result.values["agreement"] / 100 * (both.shown_by_float.sum() + both.gained.sum())
    assert common == pytest.approx(both.shown_by_float.sum() - both.lost.sum())
    photos = TASK.flips(both, "photo {}".format, 5)
    counts = [photo.to_dict()["lost"] + photo.to_dict()["gained"] for photo in photos]
    assert counts == sorted((both.lost + both.gained).tolist(), reverse=True)[:5]
    first = photos[0].to_dict(("ant", "bee", "cow"))
    assert {box["class"] for box in first["before"]} <= {"ant", "bee", "cow"}
    assert first["name"] == f"photo {first['image']}"
