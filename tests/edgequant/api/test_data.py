"""Data of a program, in every form, as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.datasets.given import FOLDER
from edgequant.api.data import data_text
from foundation.errors import InvalidInputError

X = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 2, 1, 0])
Written = Callable[..., Dataset]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Dataset that the working process opens for some data."""
    monkeypatch.setenv(FOLDER, str(tmp_path))

    def write(data: Any, axes: int | None = None) -> Dataset:
        return open_dataset(data_text(data, "data", tmp_path, axes))

    return write


def _tf_dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y))


class _Sequence:
    """Batches by number, as a Keras dataset gives them; iterating over it would not end."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(3 * (number % 2), 3 * (number % 2) + 3)
        return X[chosen], Y[chosen]


FORMS: dict[str, Callable[[], Any]] = {
    "pair": lambda: (X, Y),
    "one-hot": lambda: (X, np.eye(3)[Y]),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "pairs": lambda: zip(X, Y, strict=True),
    "batches": lambda: ((X[i : i + 2], Y[i : i + 2]) for i in (0, 2, 4)),
    "with weights": lambda: [(X, Y, np.ones(6))],
    "tf.data": _tf_dataset,
    "tf.data in batches": lambda: _tf_dataset().batch(4),
    "sequence": _Sequence,
}


@pytest.mark.parametrize("form", FORMS)
def test_labelled_data_of_every_form_are_the_same(form: str, written: Written) -> None:
    dataset = written(FORMS[form]())
    assert dataset.labels is not None
    np.testing.assert_array_equal(dataset.labels, Y)
    np.testing.assert_array_equal(np.stack([np.asarray(dataset.decode(i)) for i in range(6)]), X)
    assert dataset.name.startswith("given/data-")


@pytest.mark.parametrize(
    "form", [X, list(X), [X[:4], X[4:]], iter(X)], ids=["array", "list", "batches", "iterator"]
)
def test_examples_without_labels(form: Any, written: Written) -> None:
    dataset = written(form)
    assert dataset.labels is None
    assert len(dataset) == 6
    np.testing.assert_array_equal(np.asarray(dataset.decode(5)), X[5])


def test_the_axes_of_the_model_tell_a_batch(written: Written) -> None:
    series = np.ones((5, 7, 2), np.float32)
    assert len(written([series], axes=2)) == 5
    assert len(written(list(series), axes=2)) == 5
    assert len(written([np.ones(4), np.zeros(4)], axes=1)) == 2


def test_equal_data_have_one_name_and_others_another(written: Written) -> None:
    assert written((X, Y)).name == written(zip(X, Y, strict=True)).name
    assert written((X, Y)).name != written((X, 2 - Y)).name
    assert written(X).name != written((X, Y)).name


def test_images_of_several_sizes_and_of_pillow(written: Written) -> None:
    from PIL import Image

    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    dataset = written([(pixels, 1), (pixels[:3], 0), (Image.fromarray(pixels), 2)])
    assert [np.asarray(dataset.decode(i)).shape for i in range(3)] == [
        (5, 4, 3),
        (3, 4, 3),
        (5, 4, 3),
    ]
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 2]


def test_targets_that_are_no_classes_stay_as_they_are(written: Written) -> None:
    dataset = written((X, np.linspace(0, 1, 6)))
    assert dataset.labels is None
    assert dataset.targets[0].values.shape == (6, 1)


def test_a_text_is_a_text(tmp_path: Path) -> None:
    assert data_text("fashion_mnist:test", "data", tmp_path, None) == "fashion_mnist:test"
    assert data_text(tmp_path, "data", tmp_path, None) == str(tmp_path)


BAD: dict[str, Any] = {
    "dict": {"x": X},
    "number": 3,
    "texts": ["a.png", "b.png"],
    "nothing": [],
    "flat": np.ones(4),
    "lengths": (X, Y[:4]),
    "objects": np.array([None, None]),
    "mixed": [(X[0], 1), X[1]],
    "mixed the other way": [X[0], (X[1], 1)],
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_data_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^calibration .*; received .*: .*\.$"):
        data_text(BAD[name], "calibration", tmp_path, None)


def test_an_iterable_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgequant.api import data

    monkeypatch.setattr(data, "MOST_EXAMPLES", 50)
    with pytest.raises(InvalidInputError, match=r"itertools\.islice"):
        data_text((X[0] for _ in iter(int, 1)), "data", tmp_path, None)
