from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration_data.anchors import AnchorLevel
from calibration_data.box_decoder import overlaps
from calibration_data.detection import Detector, ScoreEnd
from evaluation.decoding import decoded, joined, probabilities
from foundation.errors import InvalidInputError

LEVELS = (
    AnchorLevel(3, 2, ((0.4, 0.4), (0.3, 0.6))),
    AnchorLevel(1, 1, ((0.9, 0.9), (0.5, 1.0))),
)
DETECTOR = Detector(("boxes_0", "boxes_1"), ("scores_0", "scores_1"), LEVELS, score_threshold=0.2)


def outputs(rng: np.random.Generator, b: int, classes: int, step: float = 0.0) -> dict:
    """Raw outputs of two levels; with ``step`` the scores are integers, of which many are equal."""
    found = {}
    for number, level in enumerate(LEVELS):
        for name, width in (("boxes", 4), ("scores", classes + 1)):
            shape = (b, level.rows, level.columns, len(level.shapes) * width)
            values = rng.normal(0, 1.5, shape).astype(np.float32)
            found[f"{name}_{number}"] = np.round(values / step) * step if step else values
    return found


def one_by_one(detector: Detector, boxes: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
    """Greedy suppression as papers write it: class by class, then the best of all."""
    kept = []
    for label in range(scores.shape[1]):
        order = sorted(
            (a for a in range(len(boxes)) if scores[a, label] >= detector.score_threshold),
            key=lambda a: (-scores[a, label], a),
        )
        own: list[int] = []
        for a in order:
            shares = overlaps(boxes[[a]], boxes[own])[0] if own else np.zeros(0)
            if not (shares > detector.iou_threshold).any():
                own.append(a)
        kept += [(-scores[a, label], a, label) for a in own]
    return [(a, label) for _, a, label in sorted(kept)[: detector.most]]


@pytest.mark.parametrize("most", [5, 100])
@pytest.mark.parametrize("step", [0.0, 1.0], ids=["distinct", "tied"])
@pytest.mark.parametrize("end", ScoreEnd)
def test_detections_are_those_of_the_plain_algorithm(end: ScoreEnd, step: float, most: int) -> None:
    rng = np.random.default_rng(3)
    detector = replace(DETECTOR, end=end, iou_threshold=0.3, most=most)
    raw = outputs(rng, 6, 3, step)
    if end is ScoreEnd.NONE:
        raw |= {name: np.abs(raw[name]) / 4 for name in detector.scores}
    found = decoded(detector, raw)
    codes, logits = joined(detector, raw)
    boxes, scores = (
        detector.coding.decode(codes, detector.anchors),
        probabilities(detector, logits),
    )
    above = (scores >= detector.score_threshold).sum((1, 2))
    assert found.counts.sum() < above.sum()  # some are suppressed, or the limit is reached
    assert (found.counts.max() == most) == (most == 5)
    for i in range(6):
        pairs = one_by_one(detector, boxes[i], scores[i])
        n = found.counts[i]
        assert n == len(pairs)
        assert list(found.classes[i, :n]) == [label for _, label in pairs]
        assert np.array_equal(found.boxes[i, :n], boxes[i, [a for a, _ in pairs]])
        assert np.array_equal(found.scores[i, :n], [scores[i, a, label] for a, label in pairs])
        assert not found.boxes[i, n:].any()


def test_an_anchor_without_offsets_is_its_own_box() -> None:
    raw = {
        name: np.zeros_like(array)
        for name, array in outputs(np.random.default_rng(0), 1, 2).items()
    }
    raw["scores_1"][...] = -9
    raw["scores_1"][0, 0, 0, 2] = 2.0  # first anchor of the last level: ground, class 0, class 1
    raw["scores_0"][...] = -9
    found = decoded(DETECTOR, raw)
    assert found.counts[0] == 1
    assert found.classes[0, 0] == 1
    assert np.allclose(found.boxes[0, 0], [0.05, 0.05, 0.95, 0.95])
    assert found.scores[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_thresholds_are_inclusive_for_scores_and_exclusive_for_overlaps() -> None:
    level = AnchorLevel(1, 2, ((1.0, 1.0),))  # two boxes that share a third
    detector = Detector(
        ("b",), ("s",), (level,), end=ScoreEnd.NONE, ground=False,
        score_threshold=0.5, iou_threshold=float(np.float32(1 / 3)),
    )  # fmt: skip
    raw = {"b": np.zeros((1, 1, 2, 4), np.float32), "s": np.array([[[[0.5], [0.6]]]], np.float32)}
    assert decoded(detector, raw).counts[0] == 2
    assert decoded(replace(detector, iou_threshold=0.33), raw).counts[0] == 1
    assert decoded(replace(detector, score_threshold=0.55), raw).counts[0] == 1


def test_levels_may_come_joined_as_rows_of_anchors() -> None:
    raw = outputs(np.random.default_rng(1), 2, 3)
    codes, scores = joined(DETECTOR, raw)
    alone = replace(DETECTOR, boxes=("b",), scores=("s",))
    first, second = decoded(DETECTOR, raw), decoded(alone, {"b": codes, "s": scores})
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.scores, second.scores)


def test_codes_that_overflow_are_boxes_without_end_and_no_warning() -> None:
    raw = outputs(np.random.default_rng(1), 1, 3)
    raw["boxes_0"][...] = 1e6
    assert decoded(DETECTOR, raw).counts[0] > 0


def test_outputs_of_other_anchors_are_refused() -> None:
    raw = outputs(np.random.default_rng(1), 1, 3)
    with pytest.raises(InvalidInputError, match="without scores_1"):
        decoded(DETECTOR, {name: array for name, array in raw.items() if name != "scores_1"})
    with pytest.raises(InvalidInputError, match="14 anchors"):
        decoded(DETECTOR, raw | {"boxes_0": raw["boxes_0"][:, :2]})
