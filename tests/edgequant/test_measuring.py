"""Measurement of networks with several outputs, on sessions that give known arrays."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.preprocessing import Preprocessing
from calibration_data.targets import Targets
from edgequant.candidates import Candidate
from edgequant.cli.terminal import Terminal
from edgequant.measuring import check_gate, measure
from edgequant.requests import MeasureRequest
from evaluation.result import Subject
from evaluation.session import RuntimeInfo
from foundation.errors import GateFailedError, InvalidInputError
from reports import tables

COUNT = 6
REQUEST = MeasureRequest("set", latency=False)


class Known:
    """Answers each image, whose pixels are its number, with rows of known arrays."""

    info = RuntimeInfo("known", "1", "none", 1)

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.outputs = tuple(arrays)
        self.arrays = arrays

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        numbers = images[:, 0, 0, 0].astype(int)
        return tuple(array[numbers] for array in self.arrays.values())

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self.run(images)[0]

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        return lambda: self.run(image)


def candidate(name: str, **arrays: np.ndarray) -> Candidate:
    session = Known({key: value.astype(np.float32) for key, value in arrays.items()})
    return Candidate(Subject(name, name), lambda _threads: session)


def images(labels: list[int] | None = None, **columns: list[float]) -> Dataset:
    targets = ()
    if columns:
        values = np.array(list(columns.values())).T
        targets = (Targets(values, tuple(columns)),)
    return Dataset(
        "set",
        SplitRole.UNKNOWN,
        None if labels is None else np.array(labels),
        (),
        lambda i: np.full((4, 4, 3), i, np.uint8),
        count=COUNT,
        targets=targets,
    )


def contract(**outputs: dict[str, Any]) -> Preprocessing:
    values = {"size": [4, 4], "crop": "exact", "mean": 0, "std": 1, "outputs": outputs}
    return Preprocessing.from_dict(values)


AGE = np.arange(COUNT, dtype=np.float32)[:, None] + 20
GLAD = np.array([0.9, 0.2, 0.8, 0.6, 0.1, 0.3], np.float32)[:, None]
BOTH = contract(age={"task": "regression"}, glad={"task": "binary", "threshold": 0.25})


def measured(terminal: Terminal) -> dict[str, Any]:
    float_net = candidate("float", age=AGE, glad=GLAD)
    turned = candidate("turned", glad=GLAD[::1] * 0.5, age=AGE + 1)
    true = images(age=list(AGE[:, 0]), glad=[1, 0, 1, 1, 0, 0])
    return tables.document(measure([turned], float_net, true, BOTH, REQUEST, terminal))


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(machine_readable=True, out=io.StringIO(), err=io.StringIO())


def test_outputs_are_matched_by_name_and_measured_by_their_tasks(terminal: Terminal) -> None:
    rows = measured(terminal)["rows"]
    assert [(row["output"], row["name"], row["task"]) for row in rows] == [
        ("age", "float", "regression"),
        ("age", "turned", "regression"),
        ("glad", "float", "binary"),
        ("glad", "turned", "binary"),
    ]
    age, glad = rows[1], rows[3]
    assert (age["metrics"]["mae"], age["drop"]) == (1, 1)
    assert age["sqnr_db"] == pytest.approx(10 * np.log10(np.square(AGE).sum() / COUNT))
    assert glad["sqnr_db"] == pytest.approx(10 * np.log10(4))
    # Yes from 0.25: float says 1 0 1 1 0 1, halved 1 0 1 1 0 0.
    assert rows[2]["metrics"]["accuracy"] == pytest.approx(500 / 6)
    assert glad["metrics"]["accuracy"] == 100
    assert glad["flips"] == {
        "right_to_wrong": 0, "wrong_to_right": 1, "wrong_to_other_wrong": 0, "changed": 1,
    }  # fmt: skip


def test_a_gate_names_the_output_that_lost(terminal: Terminal) -> None:
    report = measured(terminal)
    check_gate([report], 1.0)
    with pytest.raises(GateFailedError, match=r"MAE grows by at most 0.5 .*received turned age 1:"):
        check_gate([report], 0.5)


def test_class_numbers_of_no_output_are_not_used_and_that_is_said(terminal: Terminal) -> None:
    float_net = candidate("float", age=AGE, glad=GLAD)
    same = candidate("same", age=AGE + 0.1, glad=GLAD)
    report = tables.document(
        measure([same], float_net, images([0, 1] * 3), BOTH, REQUEST, terminal)
    )
    assert "name no output of the network" in report["remarks"][0]
    assert not any("drop" in row for row in report["rows"])
    assert report["rows"][1]["metrics"]["max_change"] == pytest.approx(0.1, abs=1e-5)


def test_files_with_other_names_are_matched_by_place_and_other_numbers_refused(
    terminal: Terminal,
) -> None:
    float_net = candidate("float", age=AGE, glad=GLAD)
    placed = candidate("placed", one=AGE, two=GLAD)
    rows = measure([placed], float_net, images(), BOTH, REQUEST, terminal).rows
    assert [row.output for row in rows] == ["age", "age", "glad", "glad"]
    assert all(row.metrics.sqnr_db == np.inf for row in rows[1::2])
    with pytest.raises(InvalidInputError, match="have the same outputs; received 1 with age, not"):
        measure([candidate("one", age=AGE)], float_net, images(), BOTH, REQUEST, terminal)


def test_names_that_the_contract_does_not_have_stand_for_places(terminal: Terminal) -> None:
    renamed = candidate("file", out0=AGE, out1=GLAD)
    true = images(age=list(AGE[:, 0]), glad=[1, 0, 1, 1, 0, 0])
    rows = measure([renamed], None, true, BOTH, REQUEST, terminal).rows
    assert [(row.output, str(row.metrics.task)) for row in rows] == [
        ("age", "regression"),
        ("glad", "binary"),
    ]
    assert rows[0].metrics.values["mae"] == 0


def test_a_map_is_measured_without_a_word_of_classes(terminal: Terminal) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(0, 1, (COUNT, 3, 2, 2))
    stated = Preprocessing.from_dict(
        {"size": [4, 4], "crop": "exact", "mean": 0, "std": 1, "task": "regression"}
    )
    noisy = candidate("noisy", maps=maps + 0.1)
    report = tables.document(
        measure([noisy], candidate("float", maps=maps), images(), stated, REQUEST, terminal)
    )
    row = report["rows"][1]
    assert "output" not in row
    assert row["metrics"]["mean_change"] == pytest.approx(0.1, abs=1e-6)
