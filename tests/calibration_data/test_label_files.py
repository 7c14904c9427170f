"""labels.csv and labels.json: in a folder, beside it, and as DATA; what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration_data.datasets.base import SplitRole, open_dataset, referenced_files
from foundation.errors import InvalidInputError
from tests.calibration_data.datasets.test_unlabelled import flat, refusal
from tests.calibration_data.pictures import write_folder

ROWS = {"0.png": "dog", "1.png": "cat", "2.png": "dog"}


def write_labels(path: Path, rows: dict[str, str], header: str = "file,label") -> Path:
    """A label file, by its ending."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        lines = (header, *(f"{file},{label}" for file, label in rows.items()))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
@pytest.mark.parametrize("place", ["inside", "beside", "beside with the folder"])
def test_a_label_file_of_a_flat_folder(tmp_path: Path, name: str, place: str) -> None:
    folder = flat(tmp_path / "photos")
    rows = {f"photos/{file}": label for file, label in ROWS.items()}
    rows = {**rows, "other/9.png": "owl"} if place == "beside with the folder" else ROWS
    write_labels((folder if place == "inside" else tmp_path) / name, rows)
    dataset = open_dataset(str(folder))
    assert dataset.class_names == ("cat", "dog")
    np.testing.assert_array_equal(dataset.require_labels("a test"), [1, 0, 1])
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64


def test_images_of_class_numbers_and_folders_below(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos", 2)
    flat(folder / "more", 1)
    write_labels(folder / "labels.csv", {"0.png": "7", "more/0.png": "0", "./1.png": "12"})
    dataset = open_dataset(str(folder))
    assert dataset.class_names == ()
    np.testing.assert_array_equal(dataset.require_labels("a test"), [7, 12, 0])


def test_columns_in_another_order_with_others_beside_them(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos", 2)
    text = '\ufeffLabel, File,split\r\n"great, white",0.png,a\r\n cat , 1.png ,b\r\n'
    (folder / "labels.csv").write_bytes(text.encode())
    assert open_dataset(str(folder)).class_names == ("cat", "great, white")


def test_whole_numbers_of_json_are_class_numbers(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos", 2)
    (folder / "labels.json").write_text('{"0.png": 3, "1.png": "1"}', encoding="utf-8")
    np.testing.assert_array_equal(open_dataset(str(folder)).require_labels("a test"), [3, 1])


@pytest.mark.parametrize("name", ["test.csv", "test.json"])
def test_a_label_file_as_data(tmp_path: Path, name: str) -> None:
    flat(tmp_path / "images")
    rows = {f"images/{file}": label for file, label in ROWS.items()}
    path = write_labels(tmp_path / name, rows)
    dataset = open_dataset(str(path))
    assert (dataset.class_names, dataset.role) == (("cat", "dog"), SplitRole.TEST)
    np.testing.assert_array_equal(dataset.require_labels("a test"), [1, 0, 1])
    assert len(referenced_files(str(path))) == 3
    write_labels(path, {**rows, "../x.png": "cat"})
    assert "its own folder or below it" in refusal(path)
    write_labels(path, {"images/9.png": "cat"})
    assert "images/9.png, which does not exist" in refusal(path)


def test_a_label_file_in_the_folder_above_one_of_images(tmp_path: Path) -> None:
    flat(tmp_path / "d" / "images")
    rows = {f"images/{file}": label for file, label in ROWS.items()}
    write_labels(tmp_path / "d" / "labels.csv", rows)
    assert open_dataset(str(tmp_path / "d")).class_names == ("cat", "dog")


def test_a_label_file_beside_that_is_about_others_is_passed_over(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos")
    write_labels(tmp_path / "labels.csv", {"elsewhere/0.png": "cat"})
    assert open_dataset(str(folder)).labels is None
    (tmp_path / "labels.csv").write_bytes(b"\xff not ours")
    assert open_dataset(str(folder)).labels is None
    assert referenced_files(str(folder)) == (tmp_path / "labels.csv",)


def test_class_folders_with_a_label_file_about_their_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", {"2023": 1, "2024": 1})
    write_labels(folder / "labels.csv", {"2023/0.png": "cat", "2024/0.png": "dog"})
    assert "class folders or a label file, not both" in refusal(folder)
    assert open_dataset(str(folder / "labels.csv")).class_names == ("cat", "dog")
    write_labels(folder / "labels.csv", {"a": "cat"}, "id,breed")  # another table
    assert open_dataset(str(folder)).class_names == ("2023", "2024")


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"9.png": "cat"}, "names an image of its folder; received"),
        ({"../photos/0.png": "cat"}, "names an image of its folder; received"),
        ({"2.png": None}, "has a row for each image of its folder; received"),
        ({"./1.png": "cat"}, "1.png more than once"),
        ({"1.png": "7"}, "all class names or all class numbers; received"),
        ({"1.png": " "}, "a row without a label"),
        ({" ": "cat"}, "a row without a file"),
        ({"1.png": "a\x07b"}, "not printable"),
    ],
)
def test_label_files_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, change: dict[str, str | None], words: str
) -> None:
    folder = flat(tmp_path / "photos")
    rows = {file: label for file, label in {**ROWS, **change}.items() if label is not None}
    said = refusal(write_labels(folder / name, rows).parent)
    assert words in said
    assert str(folder / name) in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.csv", b"file,label\n0.png,caf\xe9\n", "is UTF-8 text with a header line"),
        ("labels.csv", b"", "the header missing"),
        ("labels.csv", b"0.png,cat\n1.png,dog\n2.png,dog\n", "the header 0.png,cat"),
        ("labels.csv", b"file;label\n0.png;cat\n", "the header file;label"),
        ("labels.csv", b"file,label,file\n0.png,cat,1.png\n", "the header file,label,file"),
        ("labels.csv", b"file,label\n0.png\n", "1 cells in line 2, not 2"),
        ("labels.csv", b"file,label\n0.png,great, white\n", "3 cells in line 2, not 2"),
        ("labels.csv", b'file,label\n"0.png,cat\n', "labels.csv"),
        ("labels.csv", b"file,label\n", "without 0.png, 1.png, 2.png"),
        ("labels.json", b"\xff", "is UTF-8 text with an object {file: label}"),
        ("labels.json", b"{", "is UTF-8 text with an object {file: label}"),
        ("labels.json", b'["cat", "dog"]', "JSON that is not an object"),
        ("labels.json", b'"cat"', "JSON that is not an object"),
        ("labels.json", b'{"0.png": true}', "neither text nor a whole number"),
        ("labels.json", b'{"0.png": 1, "0.png": 2}', "0.png more than once"),
        ("labels.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_label_files_of_something_else_are_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    folder = flat(tmp_path / "photos")
    (folder / name).write_bytes(content)
    said = refusal(folder)
    assert words in said
    assert said.isprintable()


def test_two_label_files_are_refused(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos")
    for name in ("labels.csv", "labels.json"):
        write_labels(folder / name, ROWS)
    assert "images have one label file; received" in refusal(folder)


def test_a_label_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos")
    (folder / "labels.csv").mkdir()
    with pytest.raises(InvalidInputError, match="which is a folder"):
        open_dataset(str(folder))
