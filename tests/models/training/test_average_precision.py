"""Average precision while training, against COCO's evaluation code."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from models.training.average_precision import (
    Detections,
    Truths,
    average_precision,
    suppressed,
)


def _random(seed: int, images: int = 30) -> tuple[list[Detections], list[Truths]]:
    """Objects on a canvas of 100 pixels, most of them found, roughly, with some false boxes."""
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(images):
        count = int(rng.integers(0, 5))
        corner, sides = rng.uniform(0, 60, (count, 2)), rng.uniform(10, 40, (count, 2))
        boxes = np.concatenate([corner, corner + sides], axis=1)
        labels = rng.integers(0, 3, count)
        seen = rng.random(count) < 0.8
        moved = boxes[seen] + rng.normal(0, 3, (seen.sum(), 4))
        false = np.concatenate([rng.uniform(0, 40, (2, 2)), rng.uniform(50, 100, (2, 2))], axis=1)
        every = np.concatenate([moved, moved[:1] + 1, false])
        names = np.concatenate([labels[seen], labels[seen][:1], rng.integers(0, 3, 2)])
        found.append(Detections(every, names, rng.random(len(every))))
        truths.append(Truths(boxes, labels))
    return found, truths


@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_cocos_evaluation(seed: int) -> None:
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found, truths = _random(seed)

    def rows(each: Detections | Truths, image: int) -> list[dict[str, object]]:
        return [
            {
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [box[1], box[0], box[3] - box[1], box[2] - box[0]],
                "area": float(np.prod(box[2:] - box[:2])),
                "iscrowd": 0,
            }
            for box, label in zip(each.boxes, each.labels, strict=True)
        ]

    annotations = [row for image, each in enumerate(truths, 1) for row in rows(each, image)]
    results = []
    for image, each in enumerate(found, 1):
        for row, score in zip(rows(each, image), each.scores, strict=True):
            results.append({**row, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image + 1} for image in range(len(truths))],
            "categories": [{"id": label + 1} for label in range(3)],
            "annotations": [{**row, "id": i} for i, row in enumerate(annotations, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert average_precision(found, truths, 3, 0.5) == pytest.approx(evaluation.stats[1], abs=1e-9)


def test_right_detections_alone_are_perfect_and_none_is_nothing() -> None:
    _, truths = _random(0)
    perfect = [Detections(t.boxes, t.labels, np.ones(len(t.labels))) for t in truths]
    assert average_precision(perfect, truths, 3, 0.5) == 1
    empty = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    assert average_precision([empty] * len(truths), truths, 3, 0.5) == 0
    assert (
        average_precision([empty], [Truths(np.zeros((0, 4)), np.zeros(0, np.int64))], 3, 0.5) == 0
    )


def test_suppression_drops_the_weaker_of_two_boxes_of_one_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [30, 30, 40, 40]], np.float32)
    scores = np.array([[0.5, 0.6], [0.9, 0.0], [0.01, 0.7]], np.float32)
    left = suppressed(boxes, scores, 0.02, 0.5)
    assert left.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(left.boxes, boxes[[1, 2, 0]])
    np.testing.assert_allclose(left.scores, [0.9, 0.7, 0.6])
