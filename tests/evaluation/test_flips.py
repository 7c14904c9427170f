"""Flips: images on which the answer changed."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.flips import flips
from evaluation.scores import Scores
from foundation.errors import InvalidInputError

REFERENCE = np.float32([[0, 5, 1], [3, 2, 0], [0, 0, 9], [1, 4, 0], [2, 1, 0]])
OUTPUTS = np.float32([[6, 5, 1], [3, 2, 0], [9, 0, 0], [1, 0, 4], [2, 1, 0]])
LABELS = np.array([1, 0, 0, 0, 2])


def test_the_surest_float_answers_come_first() -> None:
    found = flips(Scores(OUTPUTS, LABELS, REFERENCE), lambda i: f"photo {i}")
    assert [(f.image, f.label, f.before, f.after, f.margin) for f in found] == [
        (2, 0, 2, 0, 9.0), (0, 1, 1, 0, 4.0), (3, 0, 1, 2, 3.0),
    ]  # fmt: skip
    assert found[0].to_dict(("cat", "dog")) == {
        "image": 2, "name": "photo 2", "label": "cat", "before": "2", "after": "cat", "margin": 9.0,
    }  # fmt: skip


def test_no_more_are_kept_than_asked_for() -> None:
    scores = Scores(OUTPUTS, LABELS, REFERENCE)
    assert flips(scores, str, most=2) == flips(scores, str)[:2]
    assert flips(Scores(REFERENCE, LABELS, REFERENCE), str) == ()


def test_equal_margins_stay_in_the_order_of_the_images() -> None:
    same = np.tile(np.float32([[1, 0]]), (6, 1))
    found = flips(Scores(same[:, ::-1], np.zeros(6, int), same), str)
    assert [flip.image for flip in found] == list(range(6))


def test_a_reference_is_needed() -> None:
    with pytest.raises(InvalidInputError, match="compares with the float network"):
        flips(Scores(OUTPUTS, LABELS), str)
