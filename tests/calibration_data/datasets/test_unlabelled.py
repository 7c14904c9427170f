"""Images without labels: flat folders, lists, .npy and .npz, and what is refused of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration_data.calibration_set import CalibrationSet
from calibration_data.contract import align_labels
from calibration_data.datasets.base import Dataset, SplitRole, open_dataset, referenced_files
from calibration_data.overlap import refuse_shared_images
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.splits import calibration_beside
from calibration_data.stream import stream
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import write_folder

CONTRACT = Preprocessing(size=(8, 8), crop=Crop.EXACT)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def flat(folder: Path, count: int = 3, first: int = 0) -> Path:
    """A folder with so many different images right inside."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (8, 8), (number, 40, 7)).save(folder / f"{number}.png")
    return folder


def write_list(path: Path, *lines: str) -> Path:
    """A list of images."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def refusal(data: object) -> str:
    """The sentence with which DATA is refused."""
    with pytest.raises(InvalidInputError) as caught:
        open_dataset(str(data))
    return str(caught.value)


def test_images_right_inside_a_folder_have_no_labels(tmp_path: Path) -> None:
    dataset = open_dataset(str(flat(tmp_path / "photos")))
    assert (dataset.labels, dataset.class_names, len(dataset)) == (None, (), 3)
    assert dataset.role is SplitRole.UNKNOWN
    assert np.asarray(dataset.decode(2))[0, 0].tolist() == [2, 40, 7]
    assert dataset.describe(1) == str(tmp_path / "photos/1.png")


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path) -> None:
    folder = flat(tmp_path / "photos")
    flat(folder / ".thumbs")
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("x", encoding="utf-8")
    (folder / "._0.png").write_bytes(b"resource fork")
    assert len(open_dataset(str(folder))) == 3


def test_a_split_may_be_flat(tmp_path: Path) -> None:
    for split in ("train", "test"):
        flat(tmp_path / split)
    assert open_dataset(f"{tmp_path}:test").role is SplitRole.TEST
    assert calibration_beside(f"{tmp_path}:test") == f"{tmp_path}:train"
    assert "name a split" in refusal(tmp_path)


@pytest.mark.parametrize("word", ["unlabelled", "unlabeled"])
def test_nested_folders_without_a_meaning(tmp_path: Path, word: str) -> None:
    write_folder(tmp_path / "photos", {"2023/may": 2, "2024": 1})
    labelled = open_dataset(str(tmp_path / "photos"))
    assert labelled.class_names == ("2023", "2024")
    dataset = open_dataset(f"{tmp_path}/photos:{word}")
    assert (dataset.labels, dataset.class_names, len(dataset)) == (None, (), 3)
    assert dataset.name == f"{tmp_path}/photos:{word}"


def test_a_folder_of_that_name_is_a_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "unlabelled", {"cat": 1, "dog": 1})
    assert open_dataset(f"{tmp_path}:unlabelled").class_names == ("cat", "dog")


def test_the_role_of_nested_folders_is_that_of_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "test", {"a": 1})
    dataset = open_dataset(f"{tmp_path}/test:unlabelled")
    with pytest.raises(InvalidInputError, match="a test split"):
        CalibrationSet(dataset, CONTRACT)


def test_images_and_class_folders_are_refused(tmp_path: Path) -> None:
    write_folder(flat(tmp_path / "d"), {"cat": 1, "dog": 1})
    said = refusal(tmp_path / "d")
    assert "holds images, or one folder per class, not both; received" in said
    assert "0.png and cat/0.png: move one of them away, or take all images without labels: " in said
    assert len(open_dataset(f"{tmp_path}/d:unlabelled")) == 5


@pytest.mark.parametrize("data", ["", ":unlabelled"])
def test_an_empty_folder_is_refused(tmp_path: Path, data: str) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    assert "image" in refusal(f"{tmp_path}/d{data}")


def test_one_folder_of_images_is_told_how_to_go_without_labels(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"images": 2})
    assert f"take them without labels: {tmp_path}/d:unlabelled" in refusal(tmp_path / "d")


def test_a_list_of_images(tmp_path: Path) -> None:
    write_folder(tmp_path, {"2023": 2, "2024": 1})
    path = tmp_path / "test.txt"
    path.write_bytes("\ufeff2024/0.png\r\n\r\n./2023/1.png\r\n".encode())
    dataset = open_dataset(str(path))
    assert (dataset.labels, len(dataset), dataset.role) == (None, 2, SplitRole.TEST)
    assert [dataset.describe(i) for i in range(2)] == [
        str(tmp_path / name) for name in ("2024/0.png", "2023/1.png")
    ]
    assert referenced_files(str(path)) == (tmp_path / "2024/0.png", tmp_path / "2023/1.png")
    write_list(tmp_path / "train.txt", "2023/0.png", str(tmp_path / "2024/0.png"))
    assert calibration_beside(str(path)) == str(tmp_path / "train.txt")


def test_a_list_is_relative_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_list(flat(tmp_path / "photos") / "list.txt", "0.png", "1.png")
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("photos/list.txt")
    assert dataset.describe(0) == "photos/0.png"
    assert np.asarray(dataset.decode(1)).shape == (8, 8, 3)


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.png")
    return "pipe.png"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (lambda _: "missing.png", "missing.png, which does not exist: correct that line of"),
        (lambda _: "0.png 3", "0.png 3, which does not exist"),
        (_pipe, "pipe.png, which is a named pipe"),
        (lambda _: "sub", "sub, which is a folder"),
        (lambda _: "../other/0.png", "its own folder or below it; received"),
        (lambda _: "sub/../../other/0.png", "its own folder or below it; received"),
        (lambda _: "/etc/hostname", "its own folder or below it; received"),
        (lambda _: "./sub/../1.png", "each image once; received"),
        (lambda _: "a\0b.png", "a list names image files; received"),
        (lambda _: "x" * 5000, "a list names image files; received"),
    ],
)
def test_a_list_of_something_else_is_refused(
    tmp_path: Path, line: Callable[[Path], str], words: str
) -> None:
    folder = flat(tmp_path / "photos")
    flat(tmp_path / "other")
    (folder / "sub").mkdir()
    said = refusal(write_list(folder / "list.txt", "1.png", line(folder)))
    assert words in said
    assert said.isprintable()


def test_a_list_without_images_or_not_in_utf8_is_refused(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.txt", "", " ")
    assert "at least one image" in refusal(path)
    path.write_bytes(b"caf\xe9.png\n")
    assert "UTF-8 text with one path per line" in refusal(path)
    assert ".txt data has no splits" in refusal(f"{path}:train")


def test_a_file_of_a_list_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    dataset = open_dataset(str(write_list(tmp_path / "list.txt", "a.png")))
    with pytest.raises(InvalidInputError, match=str(tmp_path / "a.png")):
        dataset.decode(0)


def test_npy_images(tmp_path: Path) -> None:
    np.save(tmp_path / "test.npy", PIXELS)
    dataset = open_dataset(str(tmp_path / "test.npy"))
    assert (dataset.labels, len(dataset), dataset.role) == (None, 4, SplitRole.TEST)
    np.testing.assert_array_equal(np.asarray(dataset.decode(3)), PIXELS[3])
    assert "has no splits" in refusal(tmp_path / "test.npy:train")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (PIXELS + 0j, "uint8 [n, height, width, channels] with values 0..255; received complex128"),
        (PIXELS[0, 0, 0], "received uint8 [3]"),
        (PIXELS[:0], "at least one image"),
        (np.array([{}, {}], object), "without pickles"),
    ],
)
def test_npy_of_something_else_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    assert words in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", ["cut", "claim", "empty"])
def test_npy_that_is_damaged_is_refused(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    whole = (tmp_path / "a.npy").read_bytes()
    claimed = whole.replace(b"(4, 8, 8, 3), }", b"(4, 8, 8, 9), }")
    (tmp_path / "a.npy").write_bytes({"cut": whole[:-9], "claim": claimed, "empty": b""}[kind])
    assert "can be read by numpy.load without pickles; received" in refusal(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("names", "split"),
    [(("images",), ""), (("x",), ""), (("x_train", "y_train", "x_test"), "test")],
)
def test_npz_of_images_alone(tmp_path: Path, names: tuple[str, ...], split: str) -> None:
    arrays = {name: np.arange(4) if name[0] == "y" else PIXELS for name in names}
    np.savez(tmp_path / "a.npz", **arrays)
    dataset = open_dataset(f"{tmp_path}/a.npz" + (f":{split}" if split else ""))
    assert (dataset.labels, len(dataset)) == (None, 4)


@pytest.mark.parametrize("other", ["targets", "Y", "labels_test"])
def test_labels_under_another_name_are_not_dropped(tmp_path: Path, other: str) -> None:
    np.savez(tmp_path / "a.npz", **{"x_test": PIXELS, other: np.arange(4)})
    assert "holds images_test and labels_test or x_test and y_test" in refusal(
        f"{tmp_path}/a.npz:test"
    )


def test_two_arrays_of_images_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, x=PIXELS)
    assert "holds images and labels or x and y, or images or x alone" in refusal(tmp_path / "a.npz")


def test_what_a_dataset_without_labels_gives(tmp_path: Path) -> None:
    dataset = open_dataset(str(flat(tmp_path / "photos", 5)))
    part = dataset.subset(np.array([4, 1]))
    assert (part.labels, len(part), part.describe(0)) == (None, 2, dataset.describe(4))
    assert [b.labels for b in stream(part, CONTRACT)] == [None]
    assert align_labels(dataset, CONTRACT.with_labels(("a", "b")), 2) is dataset
    with pytest.raises(InvalidInputError, match=r"training needs images with labels; .*csv"):
        dataset.require_labels("training")


def test_a_dataset_states_its_number() -> None:
    with pytest.raises(ValueError, match="number of images"):
        Dataset("d", SplitRole.TRAIN, None, (), decode=lambda _: PIXELS[0])


def test_calibration_takes_two_images_without_labels(tmp_path: Path) -> None:
    images = CalibrationSet.draw(open_dataset(str(flat(tmp_path / "a"))), CONTRACT, 2, 0)
    assert images.first(9).shape == (2, 8, 8, 3)
    with pytest.raises(InvalidInputError, match="at least two images; received 1"):
        CalibrationSet(open_dataset(str(flat(tmp_path / "b", 1))), CONTRACT)


def test_images_that_are_measured_are_found_without_labels(tmp_path: Path) -> None:
    one, other = flat(tmp_path / "a", 4), flat(tmp_path / "b", 4, first=2)
    with pytest.raises(InvalidInputError, match="received 2 images that are both"):
        refuse_shared_images(open_dataset(str(one)), open_dataset(str(other)))
