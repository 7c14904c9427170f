"""Every kind of dataset is found, named and recognized; splits have roles."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.datasets.base import (
    Dataset,
    DatasetKind,
    SplitRole,
    dataset_kinds,
    open_dataset,
    readings,
)
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import in_memory, write_folder


@pytest.mark.parametrize("kind", dataset_kinds(), ids=lambda kind: kind.name)
def test_a_kind_describes_itself(kind: DatasetKind) -> None:
    assert kind.name
    assert kind.syntax
    assert kind.summary
    assert "\n" not in kind.summary
    for example in kind.examples:
        assert kind.matches(example.partition(":")[0])


@pytest.mark.parametrize("kind", dataset_kinds(), ids=lambda kind: kind.name)
def test_no_kind_takes_nonsense(kind: DatasetKind) -> None:
    assert not kind.matches("no such thing")


def test_kinds_have_names_of_their_own_and_a_settled_order() -> None:
    kinds = dataset_kinds()
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert [kind.order for kind in kinds] == sorted(kind.order for kind in kinds)


@pytest.mark.parametrize(
    ("split", "role"),
    [
        ("train", SplitRole.TRAIN),
        ("Training", SplitRole.TRAIN),
        ("calibration", SplitRole.CALIBRATION),
        ("representative", SplitRole.CALIBRATION),
        ("dev", SplitRole.DEVELOPMENT),
        ("val", SplitRole.DEVELOPMENT),
        ("validation", SplitRole.DEVELOPMENT),
        ("test", SplitRole.TEST),
        ("eval", SplitRole.TEST),
        ("cats", SplitRole.UNKNOWN),
        ("", SplitRole.UNKNOWN),
        (None, SplitRole.UNKNOWN),
    ],
)
def test_roles_of_splits(split: str | None, role: SplitRole) -> None:
    assert SplitRole.of(split) is role


@pytest.mark.parametrize("data", ["nothing", "nothing:test", "no.npz", "", ":", "x" * 5000])
def test_what_is_no_dataset_is_refused(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="DATA is an existing folder"):
        open_dataset(data or "\n")


def test_a_path_with_a_colon_is_taken_whole(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a:b", {"cat": 1, "dog": 1})
    assert len(open_dataset(str(folder))) == 2
    write_folder(folder / "train", {"cat": 2, "dog": 1})
    assert len(open_dataset(f"{folder}:train")) == 3


def test_a_split_may_hold_colons_itself() -> None:
    assert readings("tfds/mnist:train[:10%]")[0] == ("tfds/mnist", "train[:10%]")


def test_a_subset_keeps_order_names_and_pictures() -> None:
    dataset = in_memory(6, names=("a", "b"))
    part = dataset.subset(np.array([5, 0])).subset(np.array([0]))
    assert isinstance(part, Dataset)
    np.testing.assert_array_equal(part.labels, [1])
    assert np.asarray(part.decode(0)).max() == 5
    assert part.describe(0) == "image 5"
    assert part.class_names == ("a", "b")


# Keras's own datasets


def _keras_module(monkeypatch: pytest.MonkeyPatch, name: str, load: Any) -> None:
    """Replacement of keras.datasets.NAME, which would download."""
    module = types.ModuleType(f"keras.datasets.{name}")
    module.load_data = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"keras.datasets.{name}", module)


def test_keras_splits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    train = (np.zeros((3, 32, 32, 3), np.uint8), np.array([[4], [5], [6]], np.uint8))
    test = (np.ones((2, 32, 32, 3), np.uint8), np.array([[7], [8]], np.uint8))
    _keras_module(monkeypatch, "cifar10", lambda: (train, test))
    opened = open_dataset("keras/cifar10:test")
    np.testing.assert_array_equal(opened.labels, [7, 8])
    assert opened.labels.dtype == np.int64
    assert np.asarray(opened.decode(1)).max() == 1
    assert (opened.name, opened.role) == ("keras/cifar10:test", SplitRole.TEST)
    assert open_dataset("keras/cifar10:train").role is SplitRole.TRAIN


@pytest.mark.parametrize(
    "error",
    [
        Exception("URL fetch failure on https://storage.googleapis.com/x: None -- no route"),
        ValueError("Incomplete or corrupted file detected"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_keras_without_internet(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load() -> None:
        raise error

    _keras_module(monkeypatch, "mnist", load)
    with pytest.raises(InvalidInputError, match=r"from the internet.*keras/mnist"):
        open_dataset("keras/mnist:test")


def test_mistakes_in_code_are_not_taken_for_a_missing_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load() -> None:
        raise ZeroDivisionError

    _keras_module(monkeypatch, "mnist", load)
    with pytest.raises(ZeroDivisionError):
        open_dataset("keras/mnist:test")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("keras/imagenet:test", "keras/cifar10"),
        ("keras/mnist:val", "train, test"),
        ("keras/mnist", "no split"),
    ],
)
def test_keras_datasets_and_splits_that_do_not_exist(data: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        open_dataset(data)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is not None,
    reason="tensorflow-datasets is installed",
)
def test_tfds_that_is_not_installed_says_so() -> None:
    with pytest.raises(InvalidInputError, match="pip install tensorflow-datasets"):
        open_dataset("tfds/imagenette:train[:10%]")
