"""Shards: tar files of WebDataset and folders of .npz, read one image at a time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from calibration_data import tar_shards
from calibration_data.datasets.base import SplitRole, open_dataset
from calibration_data.datasets.shards import KIND
from foundation.errors import InvalidInputError


def png(level: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), level, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(levels: Iterable[int], *, labelled: bool = True) -> list[tuple[str, bytes]]:
    members = []
    for level in levels:
        members += [(f"./{level:03d}.png", png(level)), (f"./{level:03d}.seg.png", b"no image")]
        members += [(f"./{level:03d}.cls", f"{level % 7}\n".encode())] * labelled
        members += [(f"./{level:03d}.json", b"{}")]
    return members


def levels(data: object) -> list[int]:
    dataset = open_dataset(str(data))
    return [int(np.asarray(dataset.decode(i))[0, 0, 0]) for i in range(len(dataset))]


@pytest.mark.parametrize("labelled", [True, False])
def test_images_of_tars_are_in_order_with_their_classes(labelled: bool, tmp_path: Path) -> None:
    write_tar(tmp_path / "photos-0001.tar", samples(range(30, 33), labelled=labelled))
    write_tar(tmp_path / "photos-0000.tar", samples(range(20, 24), labelled=labelled))
    dataset = open_dataset(str(tmp_path))
    wanted = [20, 21, 22, 23, 30, 31, 32]
    assert levels(tmp_path) == wanted
    if labelled:
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [n % 7 for n in wanted]
    else:
        assert dataset.labels is None
    assert dataset.describe(4) == f"{tmp_path}/photos-0001.tar/030.png"
    assert dataset.content is not None
    assert dataset.content_size is not None
    assert dataset.content(4) == png(30)
    assert dataset.content_size(4) == len(png(30))
    assert dataset.conversions is not None
    assert dataset.conversions(4) == ()
    assert levels(tmp_path / "photos-0001.tar") == [30, 31, 32]


def test_splits_are_folders_or_beginnings_of_names(tmp_path: Path) -> None:
    for split, first in (("train", 10), ("test", 20)):
        write_tar(tmp_path / "named" / f"{split}-0000.tar", samples([first]))
        write_tar(tmp_path / "nested" / split / "a-0000.tar", samples([first]))
    for name in ("named", "nested"):
        assert levels(f"{tmp_path / name}:train") == [10]
        assert open_dataset(f"{tmp_path / name}:test").role is SplitRole.TEST
        for wrong in ("", ":val"):
            with pytest.raises(InvalidInputError, match="begin with it") as refused:
                open_dataset(f"{tmp_path / name}{wrong}")
            assert f"{tmp_path / name}:test" in refused.value.remedy
    with pytest.raises(InvalidInputError, match="no splits"):
        open_dataset(f"{tmp_path / 'named/train-0000.tar'}:train")


def link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("000.png")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"9"])
def test_members_that_are_no_files_are_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(link(kind))
    with pytest.raises(InvalidInputError, match="no plain file"):
        open_dataset(str(tmp_path / "a.tar"))


def test_names_that_climb_are_words_alone(tmp_path: Path) -> None:
    names = ("../../etc/000", "/root/001", "a/../../002")
    write_tar(tmp_path / "a.tar", [(f"{n}.png", png(i)) for i, n in enumerate(names)])
    before = sorted(tmp_path.parent.rglob("*"))
    assert levels(tmp_path / "a.tar") == [0, 1, 2]
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([("a.png", png(1)), ("a.cls", b"cat")], "a.cls that holds no class number"),
        ([("a.png", png(1)), ("a.cls", b"-1")], "a.cls that holds no class number"),
        ([("a.png", png(1)), ("a.cls", b"1" * 65)], "a.cls that holds no class number"),
        ([("a.png", png(1)), ("a.cls", b"1"), ("b.png", png(1))], "b.png without a .cls"),
        ([("a.png", png(1)), ("a.JPG", png(1))], "two images of the key a"),
        ([("a.txt", b"")], "at least one image"),
    ],
)
def test_tars_of_another_layout_are_one_sentence(
    members: list[tuple[str, bytes]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        open_dataset(str(write_tar(tmp_path / "a.tar", members)))


def test_every_cut_of_a_tar_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", samples([1, 2]))
    content = path.read_bytes()
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512
    for size in range(0, end, 256):
        path.write_bytes(content[:size])
        with pytest.raises(InvalidInputError, match="a shard is a tar"):
            levels(path)
    damaged = bytearray(content)
    damaged[512 * 4 + 150] ^= 255  # in a head
    path.write_bytes(damaged)
    with pytest.raises(InvalidInputError):
        levels(path)


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "a.tar", samples([1, 2]))
    monkeypatch.setattr(tar_shards, "MOST_BYTES", 10)
    with pytest.raises(InvalidInputError, match="10 are the most"):
        open_dataset(str(path))
    monkeypatch.undo()
    monkeypatch.setattr(tar_shards, "MOST_MEMBERS", 2)
    with pytest.raises(InvalidInputError, match="more than 4 members"):
        open_dataset(str(path))


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(InvalidInputError, match="without compression"):
        open_dataset(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_of_shards_are_read_one_at_a_time(dtype: type, tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 3)).astype(dtype)
    for number, (start, end) in enumerate(((0, 3), (3, 4), (4, 7))):
        np.savez(tmp_path / f"train-{number}.npz", y=np.arange(start, end), x=whole[start:end])
    dataset = open_dataset(f"{tmp_path}:train")
    assert (len(dataset), dataset.role) == (7, SplitRole.TRAIN)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == list(range(7))
    for index in (6, 0, 3, 2, 4):
        assert np.array_equal(np.asarray(dataset.decode(index)), whole[index])
    assert dataset.describe(4) == f"image 0 of {tmp_path}/train-2.npz"
    (tmp_path / "train-2.npz").write_bytes((tmp_path / "train-2.npz").read_bytes()[:300])
    with pytest.raises(InvalidInputError, match="train-2"):
        dataset.decode(6)
    with pytest.raises(InvalidInputError, match="train-2"):
        open_dataset(f"{tmp_path}:train")


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({"x": np.zeros((2, 4, 4, 3), np.float32), "y": np.arange(2)}, "one type and shape"),
        ({"x": np.zeros((2, 4, 5, 3), np.uint8), "y": np.arange(2)}, "one type and shape"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8)}, "1 of 2 labelled"),
        ({"x": np.zeros((2, 4, 4, 3), np.uint8), "y": np.arange(3)}, "5"),
        ({"x": np.asfortranarray(np.zeros((2, 4, 4, 3), np.uint8)), "y": np.arange(2)}, "Fortran"),
        ({"z": np.zeros((2, 4, 4, 3), np.uint8)}, "it holds z"),
        ({"x": np.array([{}, {}], object), "y": np.arange(2)}, "Python objects"),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(
    second: dict[str, np.ndarray], sentence: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4, 4, 3), np.uint8), y=np.arange(2))
    np.savez(tmp_path / "b.npz", allow_pickle=True, **second)
    with pytest.raises(InvalidInputError, match=sentence):
        open_dataset(str(tmp_path))


def test_compressed_arrays_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        np.savez_compressed(tmp_path / f"{name}.npz", x=np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(InvalidInputError, match=r"numpy\.savez"):
        open_dataset(str(tmp_path))


def test_other_folders_are_no_shards(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    np.savez(tmp_path / "one.npz", x=np.zeros((2, 4, 4, 3), np.uint8))
    assert not KIND.matches(str(tmp_path))
    (tmp_path / ".hidden.tar").write_bytes(b"")
    assert not KIND.matches(str(tmp_path))
