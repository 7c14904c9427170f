"""What a plan loses on held-out images, with labels and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration_data.stream import Batch
from calibration_data.task import OutputTask, Task
from calibration_data.task_choice import Output
from edgequant.outputs import Answer
from edgequant.repair.comparing import Comparison, Part
from edgequant.repair.judging import Judge, lost
from evaluation.task import task_kinds
from network.run_tensorflow import run_outputs
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import Builder, calibration, images

EXACT = np.array([[0.9, 0.2], [0.1, 0.8], [0.6, 0.3], [0.2, 0.7]], np.float32)
MOVED = np.array([[0.9, 0.2], [0.1, 0.8], [0.3, 0.6], [0.2, 0.45]], np.float32)


def of(task: Task, targets: np.ndarray | None, width: int = 2) -> tuple[float, float]:
    kind = task_kinds()[task]
    outputs, exact = MOVED[:, :width], EXACT[:, :width]
    loss = lost(outputs, exact, targets, OutputTask(task), kind)
    same = lost(exact, exact, targets, OutputTask(task), kind)
    assert same.drop == 0
    return loss.drop, loss.agreement


@pytest.mark.parametrize(
    ("task", "width", "targets", "drop", "agreement"),
    [
        (Task.CLASSIFICATION, 2, [0, 1, 1, 1], -25, 75),
        (Task.CLASSIFICATION, 2, None, 25, 75),
        (Task.BINARY, 1, [1, 0, 1, 1], 25, 75),
        (Task.BINARY, 1, None, 25, 75),
        (Task.EMBEDDING, 2, None, 50, 50),
    ],
)
def test_losses_in_points(
    task: Task, width: int, targets: list[int] | None, drop: float, agreement: float
) -> None:
    true = None if targets is None else np.array(targets)
    assert of(task, true, width) == (drop, agreement)


def test_values_lose_in_their_unit() -> None:
    drop, decibels = of(Task.REGRESSION, None)
    noise = np.square(EXACT - MOVED).sum()
    assert drop == pytest.approx(float(np.abs(EXACT - MOVED).mean()))
    assert decibels == pytest.approx(10 * np.log10(np.square(EXACT).sum() / noise))
    drop, _ = of(Task.REGRESSION, MOVED.astype(np.float64))
    assert drop == pytest.approx(-float(np.abs(EXACT - MOVED).mean()))


def test_labels_lose_average_precision_or_answers() -> None:
    drop, agreement = of(Task.MULTI_LABEL, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]))
    # Label 1: yes is now at ranks 1 and 3; label 0 keeps its order.
    assert drop == pytest.approx(100 * (1 - (1 + 2 / 3) / 2) / 2)
    assert agreement == 62.5
    silent = np.full((4, 2), 0.1, np.float32)
    loss = lost(MOVED, silent, None, OutputTask(Task.MULTI_LABEL), task_kinds()[Task.MULTI_LABEL])
    assert loss.drop == 100 - loss.agreement


def test_the_output_that_loses_most_decides() -> None:
    b = Builder(np.random.default_rng(0))
    pool = b.mean("pool", b.conv("stem", "image", 8, kernel=3, stride=2))
    first, second = b.dense("kind", pool, 4), b.dense("size", pool, 2)
    graph = b.graph(first, second)
    settings = PlanSettings(optimization=Optimization.FAST)
    plan = make_plan(graph, calibration(), None, settings)
    stored = plan.constants["size.weight"]  # the second output alone is ruined
    broken = replace(stored, integers=np.zeros_like(stored.integers))
    plan = replace(plan, constants={**plan.constants, "size.weight": broken})
    kinds = task_kinds()
    names = {"kind": Task.CLASSIFICATION, "size": Task.EMBEDDING}
    judged = tuple(
        Answer(name, (Output(name, ()),), OutputTask(task), kinds[task], alone=False)
        for name, task in names.items()
    )
    pictures = images(16, seed=5)
    batch = Batch(pictures, None, np.arange(16), np.zeros((16, 2), np.int64))
    runs = ((batch, run_outputs(graph, pictures)),)
    network = PlannedNetwork(plan.network(graph), plan)

    def judge(count: int) -> Judge:
        parts = tuple(Part((place,), None, None) for place in range(count))
        return Judge(Comparison(runs, parts), 16, judged[:count])

    loss, name = judge(2).worst(network)
    assert (name, loss.drop > 50) == ("size", True)
    loss, name = judge(1).worst(network)
    assert (name, loss.drop < 50) == ("kind", True)
    assert judge(1).unit == "points"
