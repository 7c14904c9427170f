"""Hostile Keras files: zip bombs, links to other files, and invalid architectures."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.loading import archives
from models.loading.archives import check_weights_file, h5_config, keras_config
from models.loading.files import load_keras_file
from models.weights.torch_reader import read_torch_weights
from tests.models.weights.torch_files import EMPTY_DICT, View, archive, plain, state, whole


def _keras(path: Path, config: bytes | str, weights: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", config)
        if weights:
            file.writestr("model.weights.h5", weights)
    return path


def _h5(path: Path, config: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config
    return path


CONFIGS: dict[str, Any] = {
    "nested 1,000 deep": json.dumps({"config": 1}).replace("1", "[" * 1000 + "]" * 1000),
    "nested 100,000 deep": "[" * 100_000,
    "objects 900 deep": '{"a":' * 900 + "1" + "}" * 900,
    "a list": "[1, 2]",
    "a number": "12",
    "no text": b"\xff\xfe\x00",
    "nothing": "",
    "NUL": "\0",
    "a class that is a number": '{"class_name": 1, "config": {}, "module": "keras"}',
    "a config that is a list": '{"class_name": "Functional", "config": [], "module": "keras"}',
}


NOT_IN_HDF5 = ("NUL", "no text", "nested 100,000 deep")
"""What an attribute of HDF5 has no room for."""


@pytest.mark.parametrize("name", CONFIGS)
def test_a_keras_file_of_an_odd_architecture_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = _keras(tmp_path / "net.keras", CONFIGS[name])
    with pytest.raises(InvalidInputError, match=r"net\.keras") as caught:
        load_keras_file(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [n for n in CONFIGS if n not in NOT_IN_HDF5])
def test_an_h5_file_of_an_odd_architecture_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = _h5(tmp_path / "net.h5", CONFIGS[name])
    with pytest.raises(InvalidInputError, match=r"net\.h5") as caught:
        load_keras_file(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [12, [1, 2], ["a", "b"], np.zeros(3)])
def test_a_model_config_that_is_no_text_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InvalidInputError, match="no text"):
        h5_config(_h5(tmp_path / "net.h5", value))


def test_an_architecture_of_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    _keras(path, bytes(100 << 20))
    with pytest.raises(InvalidInputError, match=r"unpack to 104,857,6\d\d"):
        keras_config(path)


def test_architectures_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.dumps({"config": "x" * 2000})
    assert keras_config(_keras(tmp_path / "a.keras", config)) == json.loads(config)
    assert h5_config(_h5(tmp_path / "a.h5", config)) == json.loads(config)
    monkeypatch.setattr(archives, "MOST_CONFIG", 1000)
    for read, path in ((keras_config, "a.keras"), (h5_config, "a.h5")):
        with pytest.raises(InvalidInputError):
            read(tmp_path / path)
    with pytest.raises(InvalidInputError, match="1,000 are the most"):
        h5_config(_h5(tmp_path / "b.h5", np.bytes_(config)))


@pytest.mark.parametrize("flags", [1, 0])
def test_encrypted_and_doubled_members_are_refused(tmp_path: Path, flags: int) -> None:
    path = _keras(tmp_path / "net.keras", "{}")
    if flags:
        data = bytearray(path.read_bytes())
        for place in (data.find(b"PK\x01\x02") + 8, 6):
            data[place] |= flags
        path.write_bytes(data)
    else:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
            warnings.simplefilter("ignore")
            file.writestr("config.json", '{"class_name": "Lambda"}')
    with pytest.raises(InvalidInputError, match="encrypted" if flags else "two members"):
        load_keras_file(path)


# HDF5


def _bomb(file: h5py.File) -> None:
    file.create_dataset("w", (10**6, 10**6), "f4", compression="gzip", chunks=(64, 64))


def _lie(file: h5py.File) -> None:
    file.create_dataset("w", (10**12,), "f4")


def _many(file: h5py.File) -> None:
    for number in range(60):
        file.create_dataset(f"w{number}", (1000, 1000), "f4", compression="gzip", fillvalue=1)


def _chunk(file: h5py.File) -> None:
    file.create_dataset("w", (1,), "f4", chunks=(1 << 26,), maxshape=(None,), compression="gzip")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("w", layout)


def _outside(file: h5py.File) -> None:
    file.create_dataset("w", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def _linked(file: h5py.File) -> None:
    file.create_group("deep")["w"] = h5py.ExternalLink("/etc/passwd", "/")


def _words(file: h5py.File) -> None:
    file.create_dataset("w", data=["a", "b"], dtype=h5py.string_dtype())


HDF5 = {f.__name__: f for f in (_bomb, _lie, _many, _chunk, _virtual, _outside, _linked, _words)}


@pytest.mark.parametrize("name", HDF5)
@pytest.mark.parametrize("suffix", [".h5", ".keras", ".weights.h5"])
def test_hdf5_that_names_or_holds_too_much_is_refused(
    tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / f"net{suffix}"
    with h5py.File(tmp_path / "inner.h5", "w") as file:
        file.attrs["model_config"] = "{}"
        HDF5[name](file)
    if suffix == ".keras":
        _keras(path, "{}", (tmp_path / "inner.h5").read_bytes())
    else:
        (tmp_path / "inner.h5").rename(path)
    read = check_weights_file if suffix == ".weights.h5" else load_keras_file
    with pytest.raises(InvalidInputError, match=f"net{suffix}.*(file|values|bytes)"):
        read(path)


@pytest.mark.parametrize("read", [h5_config, check_weights_file])
def test_a_heap_without_end_is_not_walked(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """Found by fuzzing: HDF5 skips free space by its size, here 0, endlessly."""
    path = _h5(tmp_path / "net.h5", "{}")
    content = bytearray(path.read_bytes())
    at = content.find(b"GCOL") + 16
    while content[at : at + 2] != b"\0\0":
        at += 16 + (int.from_bytes(content[at + 8 : at + 16], "little") + 7) // 8 * 8
    assert int.from_bytes(content[at + 8 : at + 16], "little") > 16
    read(path)
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="free space has no size"):
        read(path)


def test_a_group_that_holds_itself_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["again"] = group
        group["soft"] = h5py.SoftLink("/a/again")
        group["nowhere"] = h5py.SoftLink("/b")
        group["w"] = np.zeros(3)
    check_weights_file(path)


@pytest.mark.parametrize("read", [keras_config, h5_config, check_weights_file, read_torch_weights])
def test_a_named_pipe_is_not_opened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="a named pipe"):
        read(tmp_path / "pipe")


# PyTorch


def test_one_storage_shown_a_thousand_times_is_refused(tmp_path: Path) -> None:
    values = np.zeros(10_000, np.float32)
    views = {f"w{number}": View(values, "0") for number in range(200)}
    with pytest.raises(InvalidInputError, match="more than 8 times"):
        read_torch_weights(archive(tmp_path / "net.pth", views))


def _doubled(levels: int) -> bytes:
    """Tuple of two equal tuples of two equal tuples ...: small in memory, endless as a text."""
    return (
        plain("a")
        + b"q\x00"
        + b"".join(
            b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels)
        )
    )


def test_a_tuple_that_doubles_is_not_written_out(tmp_path: Path) -> None:
    pickled = whole(_doubled(100) + plain("a") + b"\x93")
    with pytest.raises(InvalidInputError, match="a name that is no text"):
        read_torch_weights(archive(tmp_path / "net.pth", {}, pickled=pickled))


def test_a_byte_order_that_is_compressed_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", state({}))
        file.writestr("net/byteorder", b"little", zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInputError, match="compressed"):
        read_torch_weights(path)
    assert EMPTY_DICT in state({})
