"""Tasks in contracts, and their choice from the network and the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.contract import ContractRequest, complete_labels, resolve_contract
from calibration_data.contract_file import read_contract
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.preprocessing import Preprocessing
from calibration_data.targets import Targets
from calibration_data.task import End, OutputTask, Task, Tasks
from calibration_data.task_choice import Output, with_tasks
from foundation.errors import InvalidInputError

PLAIN = Preprocessing.from_dict({"size": [8, 8]})


def dataset(
    labels: list[int] | None = None,
    values: list[list[float]] | None = None,
    columns: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
) -> Dataset:
    targets = ()
    if values is not None:
        array = np.array(values)
        targets = (Targets(array, columns),)
    return Dataset(
        "set",
        SplitRole.UNKNOWN,
        None if labels is None else np.array(labels),
        names,
        lambda _: np.zeros((8, 8, 3), np.uint8),
        count=len(labels or values or [0, 0]),
        targets=targets,
    )


CLASSES = dataset(labels=[0, 1, 2])
FLOATS = dataset(values=[[0.5, 1.5], [1, 2], [3, 4]])
ONE_FLOAT = dataset(values=[[0.5], [1], [3]])
TABLE = dataset(values=[[0, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("end", "width", "data", "expected"),
    [
        (End.SOFTMAX, 3, None, Task.CLASSIFICATION),
        (End.SIGMOID, 1, None, Task.BINARY),
        (End.SIGMOID, 3, None, Task.MULTI_LABEL),
        (End.SIGMOID, 3, TABLE, Task.MULTI_LABEL),
        (End.SIGMOID, 3, CLASSES, Task.CLASSIFICATION),
        (End.LINEAR, 3, CLASSES, Task.CLASSIFICATION),
        (End.LINEAR, 2, FLOATS, Task.REGRESSION),
        (End.LINEAR, 1, ONE_FLOAT, Task.REGRESSION),
        (End.UNKNOWN, 3, None, Task.CLASSIFICATION),
        (End.UNKNOWN, 2, FLOATS, Task.REGRESSION),
    ],
)
def test_a_task_is_found_from_the_network_and_the_data(
    end: End, width: int, data: Dataset | None, expected: Task
) -> None:
    given = [] if data is None else [data]
    found = with_tasks(PLAIN, [Output("x", (width,), end)], given, measured=True)
    assert found.tasks.only.known is expected
    assert ("task" in found.to_dict()) == (expected is not Task.CLASSIFICATION)


@pytest.mark.parametrize(
    ("end", "shape", "data"),
    [
        (End.LINEAR, (3,), None),
        (End.LINEAR, (1,), None),
        (End.LINEAR, (1,), CLASSES),
        (End.LINEAR, (3,), TABLE),
        (End.UNIT_NORM, (3,), CLASSES),
        (End.UNKNOWN, (1,), None),
        (End.SOFTMAX, (1,), None),
        (End.SIGMOID, (8, 8, 1), None),
    ],
)
def test_what_cannot_be_found_is_asked_for_once_it_matters(
    end: End, shape: tuple[int, ...], data: Dataset | None
) -> None:
    outputs, given = [Output("x", shape, end)], [] if data is None else [data]
    with pytest.raises(InvalidInputError, match=r"received x, .*give --task \(classification, "):
        with_tasks(PLAIN, outputs, given, measured=True)
    assert with_tasks(PLAIN, outputs, given) == PLAIN
    stated = ContractRequest(mean=(0,), std=(1,), task=Task.REGRESSION)
    contract = resolve_contract(stated, own=PLAIN, model_path=None, shape=(8, 8, 3))
    assert with_tasks(contract, outputs, given, measured=True).tasks.only.task is Task.REGRESSION


def test_labels_of_the_contract_make_a_classifier_of_logits() -> None:
    contract = PLAIN.with_labels(("a", "b", "c"))
    found = with_tasks(contract, [Output("x", (3,), End.LINEAR)], measured=True)
    assert found == contract


def test_what_is_stated_holds_whatever_is_found() -> None:
    contract = Preprocessing.from_dict({"size": [8, 8], "task": "classification"})
    outputs = [Output("x", (3,), End.SIGMOID)]
    assert with_tasks(contract, outputs, [TABLE]).tasks == Tasks()
    embedding = Preprocessing.from_dict({"size": [8, 8], "task": "embedding"})
    softmax = [Output("x", (3,), End.SOFTMAX)]
    assert with_tasks(embedding, softmax).tasks.only.task is Task.EMBEDDING


def test_cards_of_classifiers_are_as_they_were() -> None:
    values = PLAIN.to_dict()
    assert set(values) == {"size", "crop", "interpolation", "channels", "mean", "std"}
    stated = Preprocessing.from_dict({**values, "task": "classification"})
    assert stated.to_dict() == values


def test_contracts_come_back_from_their_values(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'size = [8, 8]\n[outputs.age]\ntask = "regression"\n[outputs.kind]\ntask = "multi-label"\n'
        'labels = ["cat", "dog"]\nthreshold = 0.25\n[outputs.scene]\ntask = "classification"\n'
    )
    contract = read_contract(tmp_path / "c.toml")
    again = Preprocessing.from_dict(contract.to_dict())
    assert again == contract
    assert again.tasks == contract.tasks
    kind = contract.tasks.of("kind")
    assert (kind.task, kind.limit, kind.labels) == (Task.MULTI_LABEL, 0.25, ("cat", "dog"))
    assert contract.tasks.of("scene").task is Task.CLASSIFICATION
    binary = Preprocessing.from_dict({"size": [8, 8], "task": "binary", "threshold": 0.7})
    assert Preprocessing.from_dict(binary.to_dict()).tasks == binary.tasks


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"task": "detect"}, "a task is one of classification, binary.*received detect"),
        ({"task": "binary", "threshold": 1.0}, "between 0 and 1.*received 1: give --threshold"),
        ({"task": "binary", "threshold": 0}, "received 0:"),
        ({"threshold": float("nan")}, "received nan"),
        ({"threshold": "half"}, "a threshold is a number.*received half"),
        ({"threshold": True}, "a threshold is a number"),
        ({"task": "regression", "threshold": 0.5}, "goes with the tasks binary and multi-label"),
        ({"outputs": 3}, "tables"),
        ({"outputs": {"a": 3}}, "tables"),
        ({"outputs": {"a": {"tsk": 1}}}, "has the keys task, threshold, labels; received tsk"),
        ({"outputs": {"a": {"labels": "x"}}}, "list of texts"),
        ({"outputs": {"a": {"labels": ["x", "x"]}}}, "are unique"),
    ],
)
def test_broken_statements_are_refused_in_one_sentence(values: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        Preprocessing.from_dict({"size": [8, 8], **values})


@pytest.mark.parametrize(
    ("task", "shape", "match"),
    [
        (Task.BINARY, (3,), "a binary output is one score; received x with 3"),
        (Task.CLASSIFICATION, (1,), "two values at least; received x with 1"),
        (Task.EMBEDDING, (1,), "two values at least"),
        (Task.MULTI_LABEL, (4, 4, 3), "one row of values for each image"),
    ],
)
def test_a_task_that_the_shape_rules_out_is_refused(
    task: Task, shape: tuple[int, ...], match: str
) -> None:
    contract = Preprocessing.from_dict({"size": [8, 8], "task": str(task)})
    with pytest.raises(InvalidInputError, match=match):
        with_tasks(contract, [Output("x", shape)])


def test_each_of_several_outputs_has_its_task() -> None:
    outputs = [
        Output("kind", (2,), End.SOFTMAX),
        Output("age", (1,), End.LINEAR),
        Output("glad", (1,), End.SIGMOID),
    ]
    data = dataset(values=[[0.5, 1], [1, 0]], columns=("age", "glad"))
    found = with_tasks(PLAIN, outputs, [data], measured=True)
    assert [(name, t.task) for name, t in found.tasks.named] == [
        ("kind", Task.CLASSIFICATION),
        ("age", Task.REGRESSION),
        ("glad", Task.BINARY),
    ]
    assert with_tasks(Preprocessing.from_dict(found.to_dict()), outputs) == found
    with pytest.raises(InvalidInputError, match=r"write \[outputs.age\] with task"):
        with_tasks(PLAIN, outputs, [], measured=True)
    wrong = Preprocessing.from_dict({"size": [8, 8], "outputs": {"agee": {"task": "regression"}}})
    with pytest.raises(InvalidInputError, match="kind, age, glad; received agee"):
        with_tasks(wrong, outputs)


def test_a_table_of_the_only_output_is_that_of_the_contract() -> None:
    table = {"x": {"task": "multi-label", "labels": ["a", "b"], "threshold": 0.3}}
    contract = Preprocessing.from_dict({"size": [8, 8], "outputs": table})
    found = with_tasks(contract, [Output("x", (2,))])
    assert with_tasks(contract, [Output("scores", (2,))]) == found
    assert found.tasks == Tasks(OutputTask(Task.MULTI_LABEL, 0.3))
    assert found.labels == ("a", "b")


def test_flags_change_the_task_and_forget_the_threshold_of_another() -> None:
    own = Preprocessing.from_dict({"size": [8, 8], "task": "binary", "threshold": 0.7})
    for request, expected in (
        (ContractRequest(threshold=0.2), OutputTask(Task.BINARY, 0.2)),
        (ContractRequest(task=Task.BINARY), OutputTask(Task.BINARY, 0.7)),
        (ContractRequest(task=Task.REGRESSION), OutputTask(Task.REGRESSION)),
        (ContractRequest(task=Task.MULTI_LABEL, threshold=0.1), OutputTask(Task.MULTI_LABEL, 0.1)),
    ):
        contract = resolve_contract(request, own=own, model_path=None, shape=(8, 8, 3))
        assert contract.tasks.only == expected
    with pytest.raises(InvalidInputError, match=r"0.5 with regression"):
        ContractRequest(task=Task.REGRESSION, threshold=0.5)


@pytest.mark.parametrize(
    ("task", "width", "data", "expected"),
    [
        ("binary", 1, dataset(labels=[0, 1], names=("cat", "dog")), ("cat", "dog")),
        ("binary", 1, dataset(values=[[0], [1]], columns=("dog",)), ("dog",)),
        ("multi-label", 2, dataset(values=[[0, 1]], columns=("a", "b")), ("a", "b")),
        ("regression", 2, dataset(values=[[0.5, 1]], columns=("a", "b")), ("a", "b")),
        ("regression", 3, dataset(values=[[0.5, 1]], columns=("a", "b")), ()),
        ("embedding", 2, dataset(labels=[0, 1], names=("cat", "dog")), ()),
    ],
)
def test_labels_come_from_the_data_where_they_fit(
    task: str, width: int, data: Dataset, expected: tuple[str, ...]
) -> None:
    contract = Preprocessing.from_dict({"size": [8, 8], "task": task})
    assert complete_labels(contract, width, data).labels == expected


def test_label_lists_have_the_length_of_their_task() -> None:
    def labelled(task: str, *labels: str) -> Preprocessing:
        values = {"size": [8, 8], "task": task, "labels": list(labels)}
        return complete_labels(Preprocessing.from_dict(values), 1, None)

    assert labelled("binary", "dog").labels == ("dog",)
    assert labelled("binary", "cat", "dog").labels == ("cat", "dog")
    with pytest.raises(InvalidInputError, match="no and yes, or that of yes; received 3 labels"):
        labelled("binary", "a", "b", "c")
    with pytest.raises(InvalidInputError, match="each of its 1 values; received 2"):
        labelled("regression", "a", "b")


def test_labels_of_an_output_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "kinds.txt").write_text("cat\ndog\n")
    (tmp_path / "c.toml").write_text(
        'size = [8, 8]\n[outputs.kind]\ntask = "classification"\nlabels = "kinds.txt"\n'
    )
    assert read_contract(tmp_path / "c.toml").tasks.of("kind").labels == ("cat", "dog")
