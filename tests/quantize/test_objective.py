"""Scores that decide are followed where an output chooses a class, and every number elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import OutputTask, Task, Tasks
from network.graph import Graph
from network.run_tensorflow import run_outputs
from quantize.objective import DECISIVE, Decisive, classified, mean_deviation, squared_error
from quantize.ranges.activations import Range
from quantize.ranges.narrowing import narrowed
from tests.network.graphs import Builder, images
from tests.quantize.test_outputs import two_ends

CLASSES = DECISIVE + 1


def error(exact: np.ndarray, change: np.ndarray, *, classifies: bool = True) -> float:
    decisive = Decisive.of([exact], [classifies])
    return squared_error(decisive([exact]), decisive([exact + change]), (1.0,))


def test_what_all_scores_share_and_low_scores_change_no_answer() -> None:
    exact = np.random.default_rng(0).permuted(np.tile(np.arange(30.0), (4, 1)), axis=1)
    low = np.where(exact < 30 - DECISIVE, 1.0, 0.0)
    assert error(exact, np.ones_like(exact)) == pytest.approx(0)
    assert error(exact, low) == 0
    assert error(exact, low, classifies=False) == low.sum()
    one = np.where(exact == 29, 1.0, 0.0)  # the margins over nine rivals
    assert error(exact, one) == pytest.approx(4 * (1 - 1 / DECISIVE))


def test_an_image_counts_by_its_error_and_not_by_the_square() -> None:
    exact = [np.zeros((2, 4)), np.zeros((2, 2, 3))]
    found = [value.copy() for value in exact]
    found[0][0, 1], found[1][0, 0, 2], found[1][1, 1, 0] = 3, 2, 12
    mean = mean_deviation(exact, found, (1.0, 4.0))
    assert mean == pytest.approx((5 + 24) / 2)  # sqrt(3^2 + 4 x 2^2), sqrt(4 x 12^2)


def test_equal_scores_are_taken_in_the_order_of_the_classes() -> None:
    (places,) = Decisive.of([np.zeros((1, 40))], [True]).places
    assert places is not None
    assert places.tolist() == [list(range(DECISIVE))]


def test_an_output_chooses_a_class_unless_its_task_is_another() -> None:
    graph = two_ends()  # boxes [1, 8, 8, 4], scores [1, 4]
    contract = Preprocessing(size=(8, 8), crop=Crop.STRETCH)
    assert classified(graph, None) == classified(graph, contract) == (False, True)
    numbers = Tasks(named=(("scores", OutputTask(Task.REGRESSION)),))
    assert classified(graph, replace(contract, tasks=numbers)) == (False, False)


def with_a_far_class() -> Graph:
    """A channel that reaches ten times as far as the others, and is read by the last class alone.

    That class never is among the ten best.
    """
    b = Builder(np.random.default_rng(2))
    same = b.conv("same", b.conv("wide", "image", 4), 4)
    b.dense("scores", b.mean("pool", same), CLASSES)
    graph = b.graph()
    unit = np.eye(4, dtype=np.float32)[:, None, None, :]
    spread = graph.value("wide.weight") * np.array([1, 1, 1, 10], np.float32)[:, None, None, None]
    weight, bias = graph.value("scores.weight").copy(), graph.value("scores.bias").copy()
    weight[:-1, 3], weight[-1, :3], bias[-1] = 0, 0, -50
    values = {"wide.weight": spread, "same.weight": unit}
    return graph.with_values({**values, "scores.weight": weight, "scores.bias": bias})


def test_a_range_is_narrowed_to_what_the_best_scores_need() -> None:
    graph, seen = with_a_far_class(), images(8)
    wide = run_outputs(replace(graph, outputs=("wide",)), seen)[0]
    ranges = {"wide": Range(float(wide.min()), float(wide.max()))}
    (by_all,) = narrowed(graph, ranges, seen, [False]).values()
    (by_best,) = narrowed(graph, ranges, seen, [True]).values()
    assert by_all == ranges["wide"]
    assert by_best.high < 0.8 * by_all.high
