"""Datasets in array files: .npz, IDX, and the bundled Fashion-MNIST."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibration_data import make_bundled
from calibration_data.datasets import fashion_mnist
from calibration_data.datasets.base import SplitRole, open_dataset
from calibration_data.datasets.idx import idx_bytes, read_idx
from calibration_data.labels import FASHION_MNIST_LABELS
from calibration_data.manifest import Manifest
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from models.training.run import TrainingRecipe

IMAGES = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("images", "labels"), ""),
        (("x", "y"), ""),
        (("x_test", "y_test"), ":test"),
        (("images_val", "labels_val"), ":val"),
    ],
)
def test_npz_in_every_naming(tmp_path: Path, names: tuple[str, str], split: str) -> None:
    path = tmp_path / "digits.npz"
    arrays: dict[str, Any] = dict(zip(names, (IMAGES, LABELS), strict=True))
    np.savez(path, **arrays)
    dataset = open_dataset(f"{path}{split}")
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(dataset.decode(2), IMAGES[2])
    assert dataset.role is SplitRole.of(split[1:])


def test_npz_named_as_a_split_has_its_role(tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", images=IMAGES, labels=LABELS)
    assert open_dataset(str(tmp_path / "test.npz")).role is SplitRole.TEST


@pytest.mark.parametrize("labels", [LABELS[:, None], LABELS.astype(np.uint8)])
def test_npz_labels_in_a_column_or_of_another_width(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES[..., 0], labels=labels)
    dataset = open_dataset(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(dataset.labels, LABELS)
    assert dataset.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"images": IMAGES + 0j, "labels": LABELS}, "uint8.*received complex128"),
        ({"images": IMAGES[0, 0, 0], "labels": LABELS}, "uint8.*received uint8"),
        ({"x": np.array([[1.0, 2.0], [0.0, np.nan]])}, "NaN or infinity in 1 of 2.*number 1"),
        ({"x": np.array([[1.0], [1.0, 2.0]], object)}, "Python objects"),
        ({"images": IMAGES, "labels": LABELS[:2]}, "3 whole numbers from 0"),
        ({"images": IMAGES, "labels": LABELS - 1}, "3 whole numbers from 0"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "at least one image"),
        ({"images": IMAGES, "targets": LABELS}, "holds images and labels or x and y"),
        ({"x_train": IMAGES, "y_train": LABELS}, "add a split"),
        ({"images": IMAGES, "labels": np.array(["a", "b", "c"], object)}, "without pickles"),
    ],
)
def test_npz_of_something_else_is_refused(
    tmp_path: Path, arrays: dict[str, Any], rule: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InvalidInputError, match=rule):
        open_dataset(str(tmp_path / "a.npz"))


def _npz_bytes(path: Path) -> bytes:
    np.savez_compressed(path, images=IMAGES, labels=LABELS)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["zero-byte", "truncated", "flipped", "text", "npy"])
def test_npz_that_is_damaged_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.npz"
    whole = _npz_bytes(path)
    if kind == "npy":
        with path.open("wb") as handle:
            np.save(handle, IMAGES)
    else:
        path.write_bytes(
            {
                "zero-byte": b"",
                "truncated": whole[: len(whole) // 2],
                "flipped": whole[:80] + bytes(b ^ 255 for b in whole[80:90]) + whole[90:],
                "text": b"no archive",
            }[kind]
        )
    with pytest.raises(InvalidInputError, match=r"numpy\.load without pickles; received .*a\.npz"):
        open_dataset(str(path))


# IDX


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)),
    st.booleans(),
)
def test_read_idx_reads_what_idx_bytes_wrote(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, zipped: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / "values"
    written = idx_bytes(values)
    path.write_bytes(written if zipped else gzip.decompress(written))
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)


def test_idx_bytes_are_the_same_for_the_same_values() -> None:
    assert idx_bytes(IMAGES) == idx_bytes(IMAGES.copy())


_PLAIN = gzip.decompress(idx_bytes(IMAGES))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x08",
        _PLAIN[:-1],
        _PLAIN + b"\x00",
        _PLAIN[:6],
        b"\x00\x00\x0d" + _PLAIN[3:],
        idx_bytes(IMAGES)[:-9],
        b"\x1f\x8b" + bytes(20),
    ],
    ids=["empty", "short header", "cut", "longer", "no sizes", "float", "cut gzip", "no gzip"],
)
def test_idx_that_is_damaged_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad-idx"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"IDX file.*bad-idx"):
        read_idx(path)


def _idx_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx_bytes(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx_bytes(labels))
    return folder


def test_a_folder_of_idx_files(tmp_path: Path) -> None:
    folder = _idx_folder(tmp_path / "digits", IMAGES[..., 0], LABELS)
    dataset = open_dataset(f"{folder}:test")
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(dataset.decode(1), IMAGES[1, ..., 0])
    assert dataset.role is SplitRole.TEST
    with pytest.raises(InvalidInputError, match="train, test"):
        open_dataset(str(folder))


@pytest.mark.parametrize(
    ("images", "labels"),
    [(IMAGES[..., 0], LABELS[:2]), (IMAGES[0, 0, 0], LABELS), (IMAGES[..., 0], LABELS[:, None])],
)
def test_idx_files_that_do_not_belong_together(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray
) -> None:
    folder = _idx_folder(tmp_path / "digits", images, labels)
    with pytest.raises(InvalidInputError, match="IDX folder has images"):
        open_dataset(f"{folder}:train")


def test_an_idx_folder_without_labels(tmp_path: Path) -> None:
    folder = _idx_folder(tmp_path / "digits", IMAGES[..., 0], LABELS)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InvalidInputError, match="train-labels-idx1-ubyte"):
        open_dataset(f"{folder}:train")


# The bundled dataset


@pytest.mark.parametrize(
    ("split", "count", "role"),
    [("test", 10_000, SplitRole.TEST), ("calibration", 1_000, SplitRole.CALIBRATION)],
)
def test_the_bundled_splits(split: str, count: int, role: SplitRole) -> None:
    dataset = open_dataset(f"fashion_mnist:{split}")
    assert dataset.role is role
    assert dataset.class_names == FASHION_MNIST_LABELS
    np.testing.assert_array_equal(np.bincount(dataset.labels), [count // 10] * 10)
    assert np.asarray(dataset.decode(count - 1)).shape == (28, 28)


def test_the_bundled_calibration_images_are_no_development_images() -> None:
    manifest = Manifest.read(fashion_mnist.folder() / "manifest.json")
    indices = np.array(manifest.splits["calibration"].indices)
    assert manifest.splits["calibration"].source_split == "train"
    assert len(set(indices.tolist())) == 1000
    assert indices.min() >= 0
    assert indices.max() < make_bundled.TRAINING_IMAGES == 60_000 - TrainingRecipe().holdout


def test_no_calibration_image_is_a_test_image() -> None:
    def pictures(split: str) -> set[bytes]:
        dataset = open_dataset(f"fashion_mnist:{split}")
        return {np.asarray(dataset.decode(i)).tobytes() for i in range(len(dataset))}

    assert not pictures("calibration") & pictures("test")


@pytest.mark.parametrize("name", ["test", "calibration"])
def test_the_manifest_states_the_hashes_of_its_files(name: str) -> None:
    manifest = Manifest.read(fashion_mnist.folder() / "manifest.json")
    split = manifest.splits[name]
    for file in (split.images, split.labels):
        assert sha256_of(fashion_mnist.folder() / file.name) == file.sha256


@pytest.mark.parametrize("split", [None, "train", "val"])
def test_bundled_splits_that_do_not_exist(split: str | None) -> None:
    with pytest.raises(InvalidInputError, match="calibration, test"):
        open_dataset("fashion_mnist" if split is None else f"fashion_mnist:{split}")


@pytest.mark.parametrize("damage", ["flip", "delete", "manifest", "no manifest"])
def test_a_damaged_bundled_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = tmp_path / "fashion_mnist"
    shutil.copytree(fashion_mnist.folder(), folder)
    labels = folder / "test-labels-idx1-ubyte.gz"
    if damage == "flip":
        content = bytearray(labels.read_bytes())
        content[len(content) // 2] ^= 1
        labels.write_bytes(content)
    elif damage == "delete":
        labels.unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text('{"source": 1}', encoding="utf-8")
    else:
        (folder / "manifest.json").unlink()
    monkeypatch.setattr(fashion_mnist, "folder", lambda: folder)
    with pytest.raises(InvalidInputError, match="restore the file from the repository"):
        open_dataset("fashion_mnist:test")


def test_the_bundled_files_are_made_from_the_original_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 60_000).astype(np.uint8)
    images = np.arange(60_000, dtype=np.uint32).view(np.uint8).reshape(60_000, 2, 2)
    source = _idx_folder(tmp_path / "source", images, labels)
    manifest = make_bundled.make(source, tmp_path / "made")
    assert Manifest.read(tmp_path / "made" / "manifest.json") == manifest
    split = manifest.splits["calibration"]
    indices = np.array(split.indices)
    np.testing.assert_array_equal(
        read_idx(manifest.checked(tmp_path / "made", split.images)), images[indices]
    )
    np.testing.assert_array_equal(np.bincount(labels[indices]), [100] * 10)
    assert indices.max() < 55_000
    assert json.loads(json.dumps(dataclasses.asdict(manifest)))["licence"] == "MIT"
