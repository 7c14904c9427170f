from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.targets import truth_of
from foundation.errors import InvalidInputError

PIXELS = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)


def photos(folder: Path, count: int = 3) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(PIXELS[number]).save(folder / f"{number}.png")
    return folder


def npz(folder: Path, labels: np.ndarray) -> Dataset:
    np.savez(folder / "x.npz", images=PIXELS, labels=labels)
    return open_dataset(str(folder / "x.npz"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0.5, -1, 2]), [[0.5], [-1], [2]]),
        (np.array([[0, 1], [1, 1], [0, 0]]), [[0, 1], [1, 1], [0, 0]]),
        (np.array([[True], [False], [True]]), [[1], [0], [1]]),
        (np.array([[1.5, 2, 3]] * 3, np.float16), [[1.5, 2, 3]] * 3),
    ],
)
def test_arrays_that_are_no_class_numbers_are_targets(
    tmp_path: Path, labels: np.ndarray, expected: list[list[float]]
) -> None:
    dataset = npz(tmp_path, labels)
    (targets,) = dataset.targets
    assert dataset.labels is None
    assert len(dataset) == 3
    assert targets.values.tolist() == expected
    assert dataset.subset(np.array([2, 0])).targets[0].values.tolist() == [
        expected[2],
        expected[0],
    ]


def test_columns_of_whole_numbers_are_class_numbers_as_before(tmp_path: Path) -> None:
    assert npz(tmp_path, np.array([[2], [0], [1]])).labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused_and_counted(tmp_path: Path, broken: float) -> None:
    with pytest.raises(InvalidInputError, match=r"finite.*1 of 3 images.*image 1: leave"):
        npz(tmp_path, np.array([1.0, broken, 2.0]))


def test_labels_of_an_npy_file_are_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x_test.npy", PIXELS)
    assert open_dataset(str(tmp_path / "x_test.npy")).labels is None
    np.save(tmp_path / "y_test.npy", np.array([0.5, 1, 2]))
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", np.array([2, 1, 0]))
    assert open_dataset(str(tmp_path / "x_test.npy")).targets[0].values.tolist() == [
        [0.5],
        [1],
        [2],
    ]
    assert open_dataset(str(tmp_path / "images.npy")).labels.tolist() == [2, 1, 0]


CSV = "file,cat,dog\n0.png,1,0\n2.png,0,1\n1.png,1,1\n"
ROWS = [[1, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("name", "text", "columns", "rows"),
    [
        ("labels.csv", CSV, ("cat", "dog"), ROWS),
        ("labels.csv", "file,label\n0.png,1.5\n1.png,2\n2.png,-3e1\n", (), [[1.5], [2], [-30]]),
        ("labels.csv", "File, Age\n0.png,31\n1.png,7\n2.png,80\n", ("Age",), [[31], [7], [80]]),
        ("labels.json", {"0.png": [1, 0], "1.png": [1, 1], "2.png": [0, 1]}, (), ROWS),
        (
            "labels.json",
            {"0.png": {"a": 1, "b": 2}, "1.png": {"b": 4, "a": 3}, "2.png": {"a": 5, "b": 6}},
            ("a", "b"),
            [[1, 2], [3, 4], [5, 6]],
        ),
        ("labels.json", {"0.png": 1, "1.png": 2.5, "2.png": 3}, (), [[1], [2.5], [3]]),
    ],
)
def test_label_files_of_a_folder_hold_a_number_for_each_column(
    tmp_path: Path, name: str, text: object, columns: tuple[str, ...], rows: list[list[float]]
) -> None:
    folder = photos(tmp_path / "photos")
    content = text if isinstance(text, str) else json.dumps(text)
    for place in (folder, tmp_path):
        (place / name).write_text(content)
        (targets,) = open_dataset(str(folder)).targets
        assert targets.columns == columns
        assert targets.values.tolist() == rows
        (place / name).unlink()
    (folder / name).write_text(content)
    by_file = open_dataset(str(folder / name))
    assert sorted(by_file.targets[0].values.tolist()) == sorted(rows)


def test_class_files_are_read_as_before(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "labels.csv").write_text("file,label,score\n0.png,2,0.5\n1.png,0,x\n2.png,1,\n")
    dataset = open_dataset(str(folder))
    assert dataset.labels.tolist() == [2, 0, 1]
    assert dataset.targets == ()


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("labels.csv", "file,a,b\n0.png,1,2\n1.png,1\n2.png,1,2\n", "2 cells in the row of 1.png"),
        ("labels.csv", "file,a,b\n0.png,1,2\n1.png,1,x\n2.png,1,2\n", "x of 1.png.*no number"),
        ("labels.csv", "file,a\n0.png,1.5\n1.png,\n2.png,2\n", "an empty cell of 1.png"),
        ("labels.csv", "file,a\n0.png,1.5\n1.png,nan\n2.png,2\n", "finite.*NaN"),
        ("labels.csv", "file,a\n0.png,1.5\n0.png,2\n2.png,2\n", "0.png more than once"),
        ("labels.csv", "file,a\n0.png,1.5\n1.png,2\n", "a row for each image"),
        ("labels.csv", "file,kind\n0.png,cat\n1.png,dog\n2.png,cat\n", "file,label"),
        ("labels.json", '{"0.png": [1, 2], "1.png": [1], "2.png": [1, 2]}', "different numbers"),
        ("labels.json", '{"0.png": {}, "1.png": {}, "2.png": {}}', "without any"),
        ("labels.json", '{"0.png": {"a": 1}, "1.png": {"b": 1}, "2.png": {"a": 1}}', "other names"),
    ],
)
def test_ragged_and_wordy_tables_are_refused_in_one_sentence(
    tmp_path: Path, name: str, text: str, match: str
) -> None:
    folder = photos(tmp_path / "photos")
    (folder / name).write_text(text)
    with pytest.raises(InvalidInputError, match=match):
        open_dataset(str(folder))


def dataset_of(tmp_path: Path, text: str) -> Dataset:
    folder = photos(tmp_path / "photos")
    (folder / "labels.csv").write_text(text)
    return open_dataset(str(folder))


def test_each_output_takes_the_columns_of_its_name_or_of_its_labels(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, "file,age,dog,cat\n0.png,31.5,1,0\n1.png,7,0,1\n2.png,80,1,1\n")
    age = truth_of(dataset, "age", alone=False)
    kinds = truth_of(dataset, "kinds", alone=False, labels=("cat", "dog"))
    assert age.values.tolist() == [[31.5], [7], [80]]
    assert kinds.values.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert kinds.columns == ("cat", "dog")
    assert truth_of(dataset, "other", alone=False) is None


def test_the_only_output_takes_all_columns_in_the_order_of_its_labels(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, CSV)
    assert truth_of(dataset, "x", alone=True).values.tolist() == ROWS
    turned = truth_of(dataset, "x", alone=True, labels=("dog", "cat"))
    assert turned.values.tolist() == [row[::-1] for row in ROWS]
    assert truth_of(dataset, "x", alone=True, labels=("bird", "cat")).columns == ("cat", "dog")


def test_class_numbers_are_of_the_only_output(tmp_path: Path) -> None:
    dataset = npz(tmp_path, np.array([2, 0, 1]))
    assert truth_of(dataset, "x", alone=True).labels.tolist() == [2, 0, 1]
    assert truth_of(dataset, "x", alone=False) is None
