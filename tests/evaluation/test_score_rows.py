"""Rows of a classifier's scores give the metrics that all of its scores give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from calibration_data.task import Task
from evaluation.score_rows import ROW, in_rows, reduction, shape_of
from evaluation.scores import Scores
from evaluation.task import evaluate, task_kinds
from foundation.errors import InvalidInputError

KIND = task_kinds()[Task.CLASSIFICATION]
ROWS = in_rows(KIND)


def scores_of(kind: str, classes: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a file and of the float network, float32 ``[n, classes]``; the file's have ties."""
    rng = np.random.default_rng(classes)
    reference = rng.normal(0, 2, (n, classes)).astype(np.float32)
    outputs = reference + rng.normal(0, 0.3, reference.shape).astype(np.float32)
    outputs = (np.round(outputs * 4) / 4).astype(np.float32)
    if kind == "logits":
        return outputs, reference

    def probabilities(x: np.ndarray) -> np.ndarray:
        powers = np.exp(x)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    return np.round(probabilities(outputs) * 256) / 256, probabilities(reference)


def in_parts(outputs: np.ndarray, reference: np.ndarray, parts: int) -> tuple[np.ndarray, ...]:
    """Rows of both networks, made in parts."""
    made = [
        reduction({"0": (r,), "1": (o,)}, None)  # type: ignore[arg-type] # no part of the batch
        for o, r in zip(
            np.array_split(outputs, parts), np.array_split(reference, parts), strict=True
        )
    ]
    return tuple(np.concatenate([part[name] for part in made]) for name in ("1", "0"))


def measured(kind: Any, *arrays: Any) -> Any:
    return evaluate(kind.scores(*arrays), kind)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("classes", [2, 3, 10, 300])
def test_figures_are_those_of_all_scores(kind: str, classes: int) -> None:
    outputs, reference = scores_of(kind, classes)
    labels = reference.argmax(axis=1)
    labels[::7] = (labels[::7] + 1) % classes
    whole = measured(KIND, outputs, labels, reference)
    after, before = in_parts(outputs, reference, 3)
    rows = measured(ROWS, after, labels, before)
    for name, value in whole.values.items():
        if name in ("sqnr_db", "kl"):
            assert math.isclose(rows.values[name], value, rel_tol=1e-12), name
        else:
            assert rows.values[name] == value, name
    assert rows.values.keys() == whole.values.keys()
    assert (rows.drop, rows.changed, rows.per_class) == (whole.drop, whole.changed, whole.per_class)
    assert (rows.top1_interval, rows.classes) == (whole.top1_interval, classes)
    flips = KIND.flips, ROWS.flips
    assert flips[0] is not None
    assert flips[1] is not None
    expected = flips[0](Scores(outputs, labels, reference), str, 40)
    assert flips[1](ROWS.scores(after, labels, before), str, 40) == expected


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_bits_do_not_depend_on_the_number_of_parts(parts: int) -> None:
    outputs, reference = scores_of("logits", 10)
    one = measured(ROWS, *_with_none(in_parts(outputs, reference, 1)))
    assert measured(ROWS, *_with_none(in_parts(outputs, reference, parts))) == one


def _with_none(rows: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    after, before = rows
    return after, None, before


def test_a_network_alone_has_no_figures_of_likeness() -> None:
    outputs, _ = scores_of("logits", 10)
    rows = reduction({"0": (outputs,)}, None)["0"]  # type: ignore[arg-type]
    alone = measured(ROWS, rows, outputs.argmax(axis=1))
    assert set(alone.values) == {"top1", "top5", "ties"}
    assert alone.top1 == 100.0
    assert shape_of(rows) == (10,)
    assert shape_of(outputs) == (10,)


def test_what_all_scores_refuse_is_refused() -> None:
    outputs, reference = scores_of("probabilities", 4)
    broken = outputs.copy()
    broken[3, 1] = np.nan
    after, before = in_parts(broken, reference, 1)
    with pytest.raises(InvalidInputError, match="on 1 of 200 images"):
        ROWS.scores(after, None, before)
    negative = outputs.copy()
    negative[0, 0] = -0.5
    after, before = in_parts(negative, reference, 1)
    with pytest.raises(InvalidInputError, match="both networks end in softmax"):
        measured(ROWS, after, None, before)
    zeros = np.zeros_like(outputs)
    after, before = in_parts(outputs, zeros, 1)
    with pytest.raises(InvalidInputError, match="not all zero"):
        measured(ROWS, after, None, before)
    with pytest.raises(InvalidInputError, match="two classes"):
        reduction({"0": (outputs[:, :1],)}, None)  # type: ignore[arg-type]


def test_equal_networks_have_infinite_sqnr() -> None:
    outputs, _ = scores_of("logits", 5)
    after, before = in_parts(outputs, outputs, 1)
    assert measured(ROWS, after, None, before).sqnr_db == math.inf


def test_other_tasks_are_measured_as_they_are() -> None:
    for task, kind in task_kinds().items():
        assert (in_rows(kind) is kind) == (task is not Task.CLASSIFICATION)


def test_a_row_is_small() -> None:
    assert ROW.itemsize < 100
