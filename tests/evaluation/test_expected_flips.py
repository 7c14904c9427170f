from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from calibration_data.task import Task
from evaluation.expected_flips import ExpectedFlips, expected_flips
from evaluation.scores import Outputs, Scores
from evaluation.task import evaluate, task_kinds
from foundation.errors import InvalidInputError


def scored(n: int, seed: int, classes: int = 10) -> np.ndarray:
    """Scores with many close decisions and some sure ones."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, classes))
    scores[np.arange(n), rng.integers(0, classes, n)] += rng.exponential(4, n)
    return scores.astype(np.float32)


def simulated(scores: np.ndarray, spread: float, times: int) -> list[tuple[int, ExpectedFlips]]:
    """Counted and expected flips of errors of a known spread, drawn several times."""
    rng = np.random.default_rng(10_001)  # not that of the scores
    found = []
    for _ in range(times):
        after = (scores + rng.normal(0, spread, scores.shape)).astype(np.float32)
        counted = int((after.argmax(axis=1) != scores.argmax(axis=1)).sum())
        found.append((counted, expected_flips(Scores(after, None, scores))))
    return found


@pytest.mark.parametrize("spread", [0.03, 0.3, pytest.param(3.0, marks=pytest.mark.slow)])
def test_they_are_the_mean_of_simulated_flips_and_scatter_less(spread: float) -> None:
    found = simulated(scored(400, 0), spread, 30)
    counted = np.array([count for count, _ in found], float)
    expected = np.array([one.count for _, one in found])
    error = counted.std(ddof=1) / np.sqrt(len(counted))
    assert abs(expected.mean() - counted.mean()) < 4 * error
    assert expected.std() < 0.6 * counted.std()  # the images stay: only the spread is estimated
    for _, one in found:
        assert one.spread == pytest.approx(np.sqrt(2) * spread, rel=0.4)
        assert one.gain == pytest.approx(1, abs=0.8 if spread > 1 else 0.3)


@pytest.mark.slow
def test_the_interval_holds_the_number_of_other_images() -> None:
    truth = np.mean([count for count, _ in simulated(scored(20_000, 1), 0.3, 2)]) * 400 / 20_000
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(60):
        before = scored(400, 100 + seed)
        after = (before + rng.normal(0, 0.3, before.shape)).astype(np.float32)
        one = expected_flips(Scores(after, None, before))
        assert 0 <= one.low <= one.count <= one.high <= one.n
        held += one.low <= truth <= one.high
    assert held >= 51  # 57 on average


def test_with_one_rival_it_is_the_normal_tail() -> None:
    margins = np.linspace(0, 1, 500)
    errors = np.where(np.arange(500) % 2 == 0, 0.1, -0.1)
    before = np.stack([margins, 0 * margins], axis=1).astype(np.float32)
    after = before + np.stack([-errors, 0 * errors], axis=1).astype(np.float32)
    one = expected_flips(Scores(after, None, before))
    spread = np.sqrt(np.pi / 2) * 0.1
    assert one.spread == pytest.approx(spread, rel=1e-3)
    assert one.gain == pytest.approx(1, abs=0.01)
    assert one.count == pytest.approx(norm.sf(one.gain * margins / one.spread).sum(), rel=1e-3)


def test_equal_rivals_change_the_answer_as_often_as_they_are_many() -> None:
    rng = np.random.default_rng(0)
    before = np.zeros((400, 4), np.float32)
    one = expected_flips(Scores(rng.normal(size=(400, 4)).astype(np.float32), None, before))
    assert one.count == pytest.approx(300, rel=1e-3)
    assert one.agreement == pytest.approx(25, rel=1e-2)


def test_a_common_gain_or_shift_of_all_scores_changes_no_answer() -> None:
    before = scored(300, 3)
    shift = np.random.default_rng(0).normal(size=(300, 1))
    for after in (before, before / 2, before + shift, 2 * before + shift):
        one = expected_flips(Scores(after.astype(np.float32), None, before))
        assert one.count < 0.01
        assert one.low == 0


def test_scores_that_say_nothing_of_the_image_leave_chance() -> None:
    before, rng = scored(500, 4), np.random.default_rng(0)
    one = expected_flips(Scores(rng.normal(size=before.shape).astype(np.float32), None, before))
    assert one.gain < 0.1
    assert one.count == pytest.approx(450, abs=20)


def test_probabilities_expect_as_many_as_their_logits() -> None:
    before, rng = scored(2000, 5), np.random.default_rng(0)
    after = before + rng.normal(0, 0.1, before.shape)

    def softmax(scores: np.ndarray) -> np.ndarray:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    logits = expected_flips(Scores(after.astype(np.float32), None, before))
    steps = np.round(softmax(after) * 256).astype(np.float32) / 256
    assert expected_flips(Scores(steps, None, softmax(before))).count == pytest.approx(
        logits.count, rel=0.15
    )


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTI_LABEL])
def test_answers_of_yes_or_no_have_a_threshold_as_rival(task: Task) -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(0, 2, (1000, 1 if task is Task.BINARY else 5)).astype(np.float32)
    kind = task_kinds()[task]
    counted, expected = [], []
    for _ in range(40):
        after = (before + rng.normal(0, 0.2, before.shape)).astype(np.float32)
        result = evaluate(Outputs(after, None, before), kind)
        assert result.expected is not None
        counted.append(result.changed)
        expected.append(result.expected.count)
    error = np.std(counted) / np.sqrt(len(counted))
    assert abs(np.mean(expected) - np.mean(counted)) < 4 * error
    assert np.std(expected) < 0.6 * np.std(counted)


def test_many_classes_and_few_images() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(1, 1000)).astype(np.float32)
    after = before + rng.normal(0, 0.1, before.shape).astype(np.float32)
    one = evaluate(Scores(after, None, before)).expected
    assert one is not None
    assert (one.n, one.low, one.high, one.rivals) == (1, 0.0, 1.0, 32)
    json.dumps(one.to_dict(), allow_nan=False)


def test_a_reference_is_needed() -> None:
    scores = Scores(np.eye(3, dtype=np.float32))
    assert evaluate(scores).expected is None
    with pytest.raises(InvalidInputError, match="float network"):
        expected_flips(scores)
