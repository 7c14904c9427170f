"""Image folders: accepted layouts, and files that are refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration_data.datasets.base import SplitRole, open_dataset
from calibration_data.image_files import IMAGE_SUFFIXES
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import smooth, write_folder


def test_the_layout_of_torchvision(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog": 2, "cat": 1})
    dataset = open_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    np.testing.assert_array_equal(dataset.labels, [0, 1, 1])
    assert dataset.labels.dtype == np.int64
    assert [dataset.describe(i) for i in range(3)] == [
        str(tmp_path / name) for name in ("cat/0.png", "dog/0.png", "dog/1.png")
    ]
    assert np.asarray(dataset.decode(2))[0, 0].tolist() == [0, 1, 7]
    assert dataset.role is SplitRole.UNKNOWN


def test_images_in_folders_below_a_class_are_of_that_class(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat/day": 1, "cat/night": 1, "dog": 1})
    dataset = open_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    np.testing.assert_array_equal(dataset.labels, [0, 0, 1])


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_is_a_folder_inside(tmp_path: Path, split: str) -> None:
    write_folder(tmp_path / split, {"cat": 1, "dog": 1})
    write_folder(tmp_path / "train", {"cat": 2, "dog": 1})
    dataset = open_dataset(f"{tmp_path}:{split}")
    assert (len(dataset), dataset.name) == (2, f"{tmp_path}:{split}")
    assert dataset.role is SplitRole.of(split)
    assert open_dataset(str(tmp_path / split)).role is SplitRole.of(split)


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"cat": 1, "dog": 1})
    with pytest.raises(InvalidInputError, match=r"inside it \(train\); received .*:tset"):
        open_dataset(f"{tmp_path}:tset")


@pytest.mark.parametrize(
    "splits", [("train", "val"), ("train", "test", "dev"), ("calibration", "test"), ("train",)]
)
def test_folders_of_splits_are_not_read_as_classes(tmp_path: Path, splits: tuple[str, ...]) -> None:
    for split in splits:
        write_folder(tmp_path / split, {"cat": 1, "dog": 1})
    with pytest.raises(InvalidInputError, match=f"name a split: {tmp_path}:{min(splits)}"):
        open_dataset(str(tmp_path))


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 1, "tram": 1})
    assert open_dataset(str(tmp_path)).class_names == ("train", "tram")


@pytest.mark.parametrize("counts", [{}, {"cat": 3}, {"cat": 3, "dog": 0}, {"cat": 0, "dog": 0}])
def test_fewer_than_two_classes_with_images_are_refused(
    tmp_path: Path, counts: dict[str, int]
) -> None:
    write_folder(tmp_path, counts)
    with pytest.raises(InvalidInputError, match="at least two of them with images"):
        open_dataset(str(tmp_path))


def test_one_folder_of_class_folders_is_proposed_as_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "images", {"cat": 1, "dog": 1})
    with pytest.raises(InvalidInputError, match=f"{tmp_path}:images"):
        open_dataset(str(tmp_path))


def test_an_empty_class_folder_keeps_its_number(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 1, "bee": 0, "cat": 1})
    dataset = open_dataset(str(tmp_path))
    assert dataset.class_names == ("ant", "bee", "cat")
    np.testing.assert_array_equal(dataset.labels, [0, 2])


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1, ".git": 1, "cat/.thumbs": 1})
    (tmp_path / "cat" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat" / "folder.png").mkdir()
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    dataset = open_dataset(str(tmp_path))
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset) == 2


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_image_files_of_every_ending(tmp_path: Path, suffix: str) -> None:
    write_folder(tmp_path, {"dog": 1})
    (tmp_path / "cat").mkdir()
    picture = smooth(16, 12)
    Image.fromarray(picture).save(tmp_path / "cat" / f"0{suffix.upper()}")
    decoded = open_dataset(str(tmp_path)).decode(0)
    assert isinstance(decoded, Image.Image)
    assert decoded.mode == "RGB"
    # JPEG, WebP and GIF are lossy; a tolerance of 24 levels of 255 still distinguishes pictures.
    assert np.abs(np.asarray(decoded).astype(int) - picture).mean() < 24


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog": 1})
    (tmp_path / "cat").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a rotation by 90 degrees
    Image.fromarray(smooth(10, 20)).save(tmp_path / "cat" / "0.jpg", exif=exif)
    decoded = open_dataset(str(tmp_path)).decode(0)
    assert np.asarray(decoded).shape == (20, 10, 3)


def test_sixteen_bit_files_keep_their_high_byte(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog": 1})
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.full((4, 4), 0x1234, np.uint16)).save(tmp_path / "cat" / "0.png")
    decoded = np.asarray(open_dataset(str(tmp_path)).decode(0))
    np.testing.assert_array_equal(decoded, np.full((4, 4, 3), 0x12))


def _damaged(kind: str) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(smooth(32, 32)).save(stream, "PNG")
    whole = stream.getvalue()
    return {
        "zero-byte": b"",
        "truncated": whole[: len(whole) // 2],
        "corrupt": whole[:60] + bytes(40) + whole[100:],
        "text": b"<html>404</html>",
    }[kind]


@pytest.mark.parametrize("kind", ["zero-byte", "truncated", "corrupt", "text"])
def test_a_damaged_file_is_refused_by_its_path(tmp_path: Path, kind: str) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1})
    bad = tmp_path / "dog" / "0.png"
    bad.write_bytes(_damaged(kind))
    dataset = open_dataset(str(tmp_path))
    with pytest.raises(InvalidInputError, match=f"can be decoded; received {bad}"):
        dataset.decode(1)


def test_a_class_that_cannot_be_read_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so that a mock replaces the system's refusal."""
    write_folder(tmp_path, {"cat": 1, "dog": 1, "owl": 1})
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InvalidInputError, match=r"dog \(Permission denied\)"):
        open_dataset(str(tmp_path))


def test_a_file_may_have_any_name_and_a_class_a_printable_one(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 1, "dog": 1})
    odd = os.fsdecode(b"\xff.png")
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / odd)
    assert np.asarray(open_dataset(str(tmp_path)).decode(0)).ndim == 3
    (tmp_path / "dog").rename(tmp_path / os.fsdecode(b"dog\xff"))
    with pytest.raises(InvalidInputError, match="printable UTF-8 text") as caught:
        open_dataset(str(tmp_path))
    str(caught.value).encode()
