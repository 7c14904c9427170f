"""Intervals over seeds and images, and the figures computed from answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from studies.relu6.measured import Measured, Subject, contrast, drops, measured, summaries
from studies.relu6.statistics import half_width, over_seeds_and_images


def test_the_interval_covers_the_mean_of_a_crossed_population() -> None:
    rng = np.random.default_rng(1)
    hits, rounds = 0, 300
    for _ in range(rounds):
        seeds, images = rng.normal(0, 1, (3, 1)), rng.normal(0, 5, (1, 100))
        found = over_seeds_and_images(2 + seeds + images + rng.normal(0, 3, (3, 100)))
        hits += found.low <= 2 <= found.high
    assert hits / rounds > 0.95


def test_half_widths_are_students() -> None:
    values = np.asarray([1.0, 2.0, 3.0])
    assert half_width(values) == pytest.approx(4.30265 / np.sqrt(3), rel=1e-4)  # t(0.975, 2)


def test_one_seed_has_an_interval_over_images_alone() -> None:
    found = over_seeds_and_images(np.asarray([[0.0, 100.0] * 50]))
    assert found.seeds == 0
    assert found.images == pytest.approx(1.96 * 50.25 / 10, rel=1e-3)
    with pytest.raises(ValueError, match="a seed and two images"):
        over_seeds_and_images(np.empty((0, 5)))


def _answers(seed: int, wrong: int, kind: str = "relu6") -> Measured:
    labels = np.arange(40) % 4
    reference = np.eye(4, dtype=np.float32)[labels]
    given = reference.copy()
    given[:wrong] = np.roll(given[:wrong], 1, axis=1)
    return measured(Subject(kind), seed, given, reference, labels)


def test_drops_are_paired_and_averaged() -> None:
    rows = [_answers(1, 4), _answers(2, 8), _answers(3, 0)]
    (summary,) = summaries(rows)
    assert summary.float_top1 == 100
    assert summary.drop.mean == pytest.approx(10)
    assert summary.agreement == pytest.approx(90)
    # Draws of one seed count as one.
    assert drops([*rows, _answers(3, 4)]).shape == (3, 40)


def test_contrast_compares_the_seeds_that_both_have() -> None:
    found = contrast([_answers(s, 8, "relu") for s in (1, 2)], [_answers(s, 4) for s in (1, 2, 3)])
    assert found.mean == pytest.approx(10)
    assert found.low <= 10 <= found.high


def test_answers_survive_json() -> None:
    row = _answers(1, 3)
    again = Measured.from_dict(json.loads(json.dumps(row.to_dict())))
    assert again.to_dict() == row.to_dict()
    assert (again.right == row.right).all()


def test_scores_that_are_not_finite_are_wrong_answers() -> None:
    labels = np.asarray([0, 1])
    reference = np.eye(2, dtype=np.float32)
    row = measured(Subject("relu"), 1, np.asarray([[np.nan, 0], [0, 1]]), reference, labels)
    assert row.right.tolist() == [False, True]
    assert row.sqnr < -100
