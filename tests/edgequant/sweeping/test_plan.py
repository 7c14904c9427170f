"""Plans and their tasks: what is read, what is refused, and what a task's name depends on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.sweeping.plan import SweepPlan, read_plan
from edgequant.sweeping.tasks import Task, tasks_of
from foundation.errors import InvalidInputError

GRID = {
    "data": "images.npz:test",
    "calibration": "images.npz:train",
    "recipes": ["tflite-int8", "tflite-float16"],
    "efforts": ["fast", "best"],
    "samples": [8, 16],
    "models": [{"model": "mobilenet_v2_small", "alphas": [0.35, 0.5], "weights": "random"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images of two splits."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 28, 28, 1), np.uint8)
    labels = np.arange(20) % 10
    np.savez(
        tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images[::-1], y_test=labels
    )
    return tmp_path


def plan_of(folder: Path, **changes: Any) -> SweepPlan:
    """Plan of the grid with other values; None leaves a key out."""
    values = {k: v for k, v in {**GRID, **changes}.items() if v is not None}
    (folder / "plan.json").write_text(json.dumps(values))
    return read_plan(folder / "plan.json")


def tasks(folder: Path, **changes: Any) -> tuple[Task, ...]:
    return tasks_of(plan_of(folder, **changes), 1000)


def test_toml_with_every_kind_of_key(folder: Path) -> None:
    (folder / "net.toml").write_text("")
    (folder / "plan.toml").write_text(
        'data = "images.npz:test"\nrecipes = "tflite-int8"\nseeds = [0, 1]\nlatency = false\n'
        '[[models]]\nmodel = "mobilenet_v2_small"\nsizes = 32\nmean = [1, 2.5, 3]\n'
        'preprocessing = "net.toml"\n[gates]\nmax_drop = 1\n'
    )
    plan = read_plan(folder / "plan.toml")
    assert plan.data == f"{folder}/images.npz:test"
    assert (plan.recipes, plan.seeds, plan.latency) == (("tflite-int8",), (0, 1), False)
    assert plan.models[0].sizes == (32,)
    options = dict(plan.models[0].options)
    assert options == {"mean": "1,2.5,3", "preprocessing": f"{folder}/net.toml"}
    assert plan.gates.max_drop == 1.0


@pytest.mark.parametrize(
    ("changes", "received", "remedy"),
    [
        ({"recipe": ["tflite-int8"]}, "recipe:", "write recipes"),
        ({"zzz": 1}, "zzz", "remove it"),
        ({"models": [{"model": "mobilenet_v2", "alpha": 1}]}, "alpha", "write alphas"),
        ({"gates": {"max_byte": 1}}, "max_byte", "write max_bytes"),
        ({"efforts": []}, "an empty grid, with efforts = []", "leave it out"),
        ({"models": []}, "an empty grid", "name a model"),
        ({"samples": [1.5]}, "1.5", "docs/sweeps.md"),
        ({"latency": "no"}, "'no'", "docs/sweeps.md"),
        ({"gates": {"max_drop": float("nan")}}, "nan", "docs/sweeps.md"),
        ({"models": [{"alphas": [1]}]}, "one with alphas", "model ="),
        ({"recipes": None}, "none of the key recipes", "docs/sweeps.md"),
        ({"seeds": [0, 1], "limit": 5}, "limit = 5 with 2 seeds", "leave limit out"),
        ({"limit": True}, "True", "docs/sweeps.md"),
        ({"models": 3}, "3", "docs/sweeps.md"),
    ],
)
def test_a_plan_is_refused_in_a_sentence(
    folder: Path, changes: dict[str, Any], received: str, remedy: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan_of(folder, **changes)
    assert received in str(caught.value)
    assert remedy in caught.value.remedy


def test_damaged_toml_is_refused(folder: Path) -> None:
    (folder / "plan.toml").write_text("data = [")
    with pytest.raises(InvalidInputError, match="TOML"):
        read_plan(folder / "plan.toml")
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_plan(folder / "missing.toml")


def test_settings_of_the_calibration_multiply_only_recipes_that_have_one(folder: Path) -> None:
    made = tasks(folder)
    assert len(made) == 2 * (2 * 2 + 1)
    float16 = [task for task in made if task.choice.recipe == "tflite-float16"]
    assert len(float16) == 2
    assert {(t.choice.effort, t.choice.samples, t.choice.seed) for t in float16} == {(None,) * 3}
    assert not any(word.startswith("--calibration") for t in float16 for word in t.words)
    assert len({task.key for task in made}) == len(made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ["tflite-int3"]}, "tflite-int3"),
        ({"efforts": ["fastest"]}, "fastest"),
        ({"data": "nowhere:test"}, "nowhere"),
        ({"models": ["nothing.keras"]}, "nothing.keras"),
        ({"models": [{"model": "mobilenet_v2_small", "alphas": [-1]}]}, "-1"),
        ({"models": [{"model": "mobilenet_v2_small", "activation": "gelu"}]}, "gelu"),
        ({"samples": [0]}, "0"),
        ({"models": [{"model": "mobilenet_v2_small", "task": "clasification"}]}, "clasification"),
    ],
)
def test_a_value_that_the_command_refuses_is_refused_before_any_work(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        tasks(folder, **changes)


def test_a_grid_of_too_many_tasks_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"at most 9 tasks \(--max-tasks\); received 10"):
        tasks_of(plan_of(folder), 9)


def test_a_name_depends_on_content_alone(folder: Path) -> None:
    """Not on the order of the plan, nor on tasks beside it; on the images and the settings."""
    names = {task.choice: task.key for task in tasks(folder)}
    fewer = tasks(folder, samples=[16, 8], efforts=["best"], recipes=["tflite-int8"])
    assert {task.choice: task.key for task in fewer}.items() <= names.items()
    os.utime(folder / "images.npz", (1, 1))
    assert not {task.key for task in tasks(folder)} & set(names.values())


def test_a_plan_may_name_the_folder_of_its_paths(folder: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "plan.json"
    elsewhere.write_text(json.dumps({**GRID, "folder": str(folder)}))
    assert read_plan(elsewhere).data == f"{folder}/images.npz:test"


def test_a_task_is_the_same_after_a_message(folder: Path) -> None:
    task = tasks(folder)[0]
    assert Task.of(json.loads(json.dumps(task.to_dict()))) == task
