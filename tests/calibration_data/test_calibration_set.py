"""Calibration sets: refused splits, and the random choice of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration_data.calibration_set import CalibrationSet
from calibration_data.datasets.base import SplitRole
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.splits import calibration_beside
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import in_memory, write_folder

CONTRACT = Preprocessing(size=(8, 8), crop=Crop.EXACT, mean=(0.0,) * 3, std=(1.0,) * 3)


def _values(images: CalibrationSet) -> list[int]:
    return [int(image.max()) for batch in images.batches(4) for image in batch]


@pytest.mark.parametrize("role", SplitRole)
def test_images_that_accuracy_is_measured_on_are_refused(role: SplitRole) -> None:
    dataset = in_memory(6, role=role)
    if role in (SplitRole.TEST, SplitRole.DEVELOPMENT):
        with pytest.raises(InvalidInputError, match=f"a {role.value} split"):
            CalibrationSet(dataset, CONTRACT)
    else:
        assert len(_values(CalibrationSet(dataset, CONTRACT))) == 6


def test_images_of_one_class_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="6 images of one class"):
        CalibrationSet(in_memory(6, classes=1), CONTRACT)


def test_a_draw_of_one_class_is_refused() -> None:
    dataset = in_memory(100).subset(np.array([1, *range(0, 100, 2)]))
    with pytest.raises(InvalidInputError, match="2 images of one class"):
        CalibrationSet.draw(dataset, CONTRACT, 2, seed=0)


@pytest.mark.parametrize("samples", [-1, 0, 1, 7])
def test_more_images_than_there_are_or_fewer_than_two(samples: int) -> None:
    with pytest.raises(InvalidInputError, match=f"between 2 and the 6.*received {samples}"):
        CalibrationSet.draw(in_memory(6), CONTRACT, samples, 0)


def test_a_draw_depends_on_its_seed_and_repeats_no_image() -> None:
    dataset = in_memory(100)
    first, again, other = (
        _values(CalibrationSet.draw(dataset, CONTRACT, 20, seed)) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert len(set(first)) == 20


def test_without_a_number_all_are_taken_in_order() -> None:
    assert _values(CalibrationSet.draw(in_memory(6), CONTRACT, None, 0)) == [0, 1, 2, 3, 4, 5]


def test_batches_are_the_same_each_time() -> None:
    images = CalibrationSet.draw(in_memory(9), CONTRACT, 8, 1)
    first, second = list(images.batches(3)), list(images.batches(3))
    assert [len(batch) for batch in first] == [3, 3, 2]
    for one, two in zip(first, second, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)


def test_chosen_images_come_alone_and_in_their_order() -> None:
    images = CalibrationSet.draw(in_memory(9), CONTRACT, 8, 1)
    everything = np.concatenate(list(images.batches()))
    chosen = list(images.batches(2, np.array([1, 4, 7])))
    assert [len(batch) for batch in chosen] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(chosen), everything[[1, 4, 7]])
    np.testing.assert_array_equal(images.first(3), everything[:3])
    np.testing.assert_array_equal(images.first(100), everything)


# The calibration split beside evaluation data

CLASSES = {"cat": 1, "dog": 1}


@pytest.mark.parametrize("separator", [":", "/"])
@pytest.mark.parametrize("split", ["test", "val"])
def test_the_calibration_split_comes_before_the_training_split(
    tmp_path: Path, split: str, separator: str
) -> None:
    for name in (split, "train"):
        write_folder(tmp_path / name, CLASSES)
    data = f"{tmp_path}{separator}{split}"
    assert calibration_beside(data) == f"{tmp_path}{separator}train"
    write_folder(tmp_path / "calibration", CLASSES)
    assert calibration_beside(data) == f"{tmp_path}{separator}calibration"


def test_a_folder_beside_that_holds_no_dataset_is_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "test", CLASSES)
    (tmp_path / "train" / "state").mkdir(parents=True)
    assert calibration_beside(str(tmp_path / "test")) is None
    assert calibration_beside(f"{tmp_path}:test") is None


def test_the_evaluation_data_itself_is_not_taken(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", CLASSES)
    assert calibration_beside(str(tmp_path / "train") + "/") is None
    assert calibration_beside(f"{tmp_path}:train") is None


def test_what_is_beside_data_that_is_no_split_is_not_taken(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", CLASSES)
    write_folder(tmp_path / "train", CLASSES)
    assert calibration_beside(str(tmp_path / "pets")) is None


def test_npz_files_and_their_splits(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1])
    np.savez(tmp_path / "both.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert calibration_beside(f"{tmp_path}/both.npz:test") == f"{tmp_path}/both.npz:train"
    for name in ("test", "calibration"):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
    assert calibration_beside(f"{tmp_path}/test.npz") == f"{tmp_path}/calibration.npz"


def test_the_bundled_dataset() -> None:
    assert calibration_beside("fashion_mnist:test") == "fashion_mnist:calibration"
    assert calibration_beside("nothing:test") is None
