from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.metrics import sqnr
from evaluation.scores import Scores
from evaluation.task import evaluate
from evaluation.tasks.classification import METRICS, kl, top5
from foundation.errors import InvalidInputError

FEW = settings(max_examples=60, deadline=None)


@st.composite
def scored(draw, integers: bool = False):
    """Scores of two networks, small integers as floats, which have many ties."""
    n, classes = draw(st.integers(1, 12)), draw(st.integers(2, 7))
    values = (
        st.integers(-3, 3).map(float)
        if integers
        else st.floats(-50, 50, width=32, allow_subnormal=False)
    )
    table = arrays(np.float32, (n, classes), elements=values)
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return Scores(draw(table), labels, draw(table))


def distributions(scores: Scores) -> np.ndarray:
    powers = np.exp(scores.outputs - scores.outputs.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_small_table_by_hand() -> None:
    reference = np.array([[3, 1, 0], [0, 2, 1], [1, 0, 4], [5, 1, 0]], np.float32)
    outputs = np.array([[3, 1, 0], [2, 1, 0], [1, 0, 4], [0, 1, 1]], np.float32)
    result = evaluate(Scores(outputs, np.array([0, 1, 1, 1]), reference))
    assert (result.n, result.classes, result.top1, result.top5) == (4, 3, 50.0, 100.0)
    assert result.values["ties"] == 25.0
    assert result.agreement == 50.0
    noise = (4 + 1 + 1) + (25 + 0 + 1)
    assert result.sqnr_db == pytest.approx(10 * math.log10((10 + 5 + 17 + 26) / noise))
    drop = result.drop
    assert drop is not None
    assert (drop.right_to_wrong, drop.wrong_to_right, drop.wrong_to_other_wrong) == (1, 1, 0)
    assert (drop.points, drop.changed, drop.n, drop.p_value) == (0.0, 2, 4, 1.0)
    assert drop.low < 0 < drop.high
    rows = [(c.label, c.n, c.accuracy, c.drop) for c in result.per_class]
    assert rows == [(0, 1, 100.0, 0.0), (1, 3, pytest.approx(100 / 3), 0.0)]
    assert result.top1_interval.low < 50 < result.top1_interval.high


def test_two_different_wrong_answers_are_a_change_without_a_loss() -> None:
    drop = evaluate(
        Scores(np.array([[0, 1, 2]], np.float32), np.array([0]), np.array([[0, 2, 1]], np.float32))
    ).drop
    assert drop is not None
    assert (drop.wrong_to_other_wrong, drop.changed, drop.points) == (1, 1, 0.0)


def test_without_a_reference_only_the_accuracy_is_told() -> None:
    result = evaluate(Scores(np.eye(3, dtype=np.float32), np.array([0, 1, 0])))
    assert set(result.values) == {"top1", "top5", "ties"}
    assert (result.agreement, result.sqnr_db, result.kl, result.drop) == (None, None, None, None)
    assert [c.drop for c in result.per_class] == [None, None]
    for metric in METRICS:
        if metric.needs_reference:
            with pytest.raises(InvalidInputError, match="float network"):
                metric.function(Scores(np.eye(3, dtype=np.float32), np.array([0, 1, 0])))


def test_without_labels_only_the_likeness_is_told() -> None:
    reference = np.array([[3, 1, 0], [1, 2, 0], [0, 1, 4]], np.float32)
    outputs = np.array([[3, 1, 0], [2, 1, 0], [1, 0, 4]], np.float32)
    result = evaluate(Scores(outputs, None, reference))
    assert set(result.values) == {"ties", "agreement", "sqnr_db", "kl"}
    assert (result.top1, result.top5, result.top1_interval, result.drop) == (None,) * 4
    assert (result.per_class, result.changed) == ((), 1)
    assert result.agreement == pytest.approx(200 / 3)
    json.dumps(result.to_dict(), allow_nan=False)
    assert set(evaluate(Scores(outputs, None)).values) == {"ties"}
    assert evaluate(Scores(outputs, None)).changed is None
    for metric in METRICS:
        if metric.needs_targets:
            with pytest.raises(InvalidInputError, match="images without labels"):
                metric.function(Scores(outputs, None))


def test_top5_counts_the_label_among_five_and_ties_go_to_the_lower_class() -> None:
    outputs = np.array([[9, 8, 7, 6, 5, 4], [1, 1, 1, 1, 1, 1], [9, 8, 7, 6, 5, 5]], np.float32)
    for label, expected in ((5, 0.0), (4, 100.0), (0, 100.0)):
        assert top5(Scores(outputs, np.full(3, label))) == expected


@FEW
@given(st.one_of(scored(), scored(integers=True)))
def test_values_keep_their_bounds_and_flips_add_up(scores: Scores) -> None:
    if not scores.reference.any():
        return
    result = evaluate(scores)
    for name in ("top1", "top5", "ties", "agreement"):
        assert 0 <= result.values[name] <= 100
    assert result.top1 <= result.top5
    assert result.kl >= 0
    drop = result.drop
    float_top1 = evaluate(Scores(scores.reference, scores.labels)).top1
    flips = drop.right_to_wrong - drop.wrong_to_right
    assert drop.points == 100 * flips / drop.n
    assert drop.points == pytest.approx(float_top1 - result.top1, abs=1e-9)
    assert flips == round((float_top1 - result.top1) * drop.n / 100)
    assert drop.changed == round((100 - result.agreement) * drop.n / 100)
    assert drop.changed == drop.right_to_wrong + drop.wrong_to_right + drop.wrong_to_other_wrong
    assert drop.low <= drop.points <= drop.high
    assert 0 <= drop.p_value <= 1
    assert sum(c.n for c in result.per_class) == result.n
    assert sum(c.n * c.drop for c in result.per_class) == pytest.approx(100 * flips)
    assert sum(c.n * c.accuracy for c in result.per_class) == pytest.approx(result.n * result.top1)


@FEW
@given(scored())
def test_a_network_agrees_with_itself(scores: Scores) -> None:
    if not scores.outputs.any():
        return
    same = evaluate(Scores(scores.outputs, scores.labels, scores.outputs))
    assert (same.agreement, same.sqnr_db, same.kl) == (100.0, math.inf, 0.0)
    assert (same.drop.points, same.drop.changed, same.drop.p_value) == (0.0, 0, 1.0)
    assert same.to_dict()["values"]["sqnr_db"] is None


@FEW
@given(scored(integers=True))
def test_top1_is_that_of_the_first_arg_max(scores: Scores) -> None:
    assert evaluate(Scores(scores.outputs, scores.labels)).top1 == pytest.approx(
        100 * (scores.outputs.argmax(axis=1) == scores.labels).mean()
    )


@FEW
@given(st.one_of(scored(), scored(integers=True)), st.floats(0.01, 100))
def test_the_sqnr_does_not_depend_on_the_unit(scores: Scores, unit: float) -> None:
    if not scores.reference.any():
        return
    scaled = Scores(
        scores.outputs.astype(np.float64) * unit,
        scores.labels,
        scores.reference.astype(np.float64) * unit,
    )
    if math.isinf(sqnr(scores)):
        assert math.isinf(sqnr(scaled))
    else:
        assert sqnr(scaled) == pytest.approx(sqnr(scores), abs=1e-6)


def test_the_divergence_of_logits_is_that_of_their_distributions() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(50, np.int64)
    reference, outputs = rng.normal(0, 2, (2, 50, 10)).astype(np.float32)
    p = distributions(Scores(reference, labels))
    q = distributions(Scores(outputs, labels))
    of_logits = kl(Scores(outputs, labels, reference))
    of_probabilities = kl(Scores(q, labels, p))
    from scipy.stats import entropy

    assert of_logits == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-3)
    assert of_probabilities == pytest.approx(of_logits, rel=1e-3)


def test_zeros_in_int8_probabilities_give_a_finite_divergence() -> None:
    reference = np.array([[0.5, 0.5, 0.0]], np.float32)
    outputs = np.array([[1.0, 0.0, 0.0]], np.float32)
    value = kl(Scores(outputs, np.array([0]), reference))
    expected = 0.5 * math.log(0.5) + 0.5 * math.log(0.5 / 1e-7)
    assert value == pytest.approx(expected, rel=1e-4)


def test_negative_outputs_are_not_taken_for_probabilities() -> None:
    with pytest.raises(InvalidInputError, match="softmax"):
        kl(
            Scores(
                np.array([[-1.0, 2.0]], np.float32),
                np.array([0]),
                np.array([[0.5, 0.5]], np.float32),
            )
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_never_hidden(bad: float) -> None:
    good = np.eye(3, dtype=np.float32)
    broken = good.copy()
    broken[1, 2] = bad
    with pytest.raises(InvalidInputError, match="on 1 of 3 images"):
        Scores(broken, np.arange(3))
    with pytest.raises(InvalidInputError, match="float network are finite"):
        Scores(good, np.arange(3), broken)


def test_tables_that_do_not_fit_are_refused() -> None:
    eye = np.eye(3, dtype=np.float32)
    for outputs, labels, reference in (
        (eye, np.array([0, 1]), None),
        (eye, np.array([0, 1, 3]), None),
        (eye, np.array([0, 1, -1]), None),
        (eye, np.arange(3), np.eye(3, 4, dtype=np.float32)),
        (eye[:0], np.arange(0), None),
        (eye[:, :1], np.zeros(3, np.int64), None),
        (eye[0], np.arange(3), None),
    ):
        with pytest.raises(InvalidInputError):
            Scores(outputs, labels, reference)


def test_a_float_network_that_says_nothing_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="not all zero"):
        evaluate(Scores(np.eye(2, dtype=np.float32), np.arange(2), np.zeros((2, 2), np.float32)))


def test_results_are_json() -> None:
    rng = np.random.default_rng(1)
    reference, outputs = rng.normal(size=(2, 20, 4)).astype(np.float32)
    result = evaluate(Scores(outputs, rng.integers(0, 4, 20), reference))
    read = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert read["values"] == result.values
    assert read["drop"]["method"].startswith("Newcombe 1998")
    assert read["drop"] == result.drop.to_dict()
    assert read["per_class"][0]["n"] == result.per_class[0].n
