"""Foreign datasets, contracts and labels: damaged, hostile, or not regular files."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from calibration_data.contract_file import read_contract, read_labels
from calibration_data.datasets.base import open_dataset
from calibration_data.datasets.idx import read_idx
from calibration_data.image_files import FORMATS, IMAGE_SUFFIXES, decode_file
from calibration_data.pixels import rgb_of
from foundation.errors import InvalidInputError
from foundation.foreign import MOST_TEXT
from tests.calibration_data.pictures import smooth, write_folder

# Images

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a file that a fake ``gs`` on PATH writes when it runs."""
    trace, program = tmp_path / "trace", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {trace}\nexit 1\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # clears the result of an earlier search
    return trace


@pytest.mark.parametrize("name", ["0.jpg", "0.png", "0.tiff", "0.ppm"])
def test_an_eps_of_another_name_reaches_no_ghostscript(
    tmp_path: Path, ghostscript: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(EPS)
    with pytest.raises(InvalidInputError, match="can be decoded"):
        decode_file(path)
    assert not ghostscript.exists()
    # The trap works: Pillow without a list of formats runs it.
    with Image.open(path) as image, pytest.raises(CalledProcessError, match="gs"):
        image.load()
    assert ghostscript.exists()


def test_formats_are_those_of_the_endings() -> None:
    Image.init()
    named = {Image.EXTENSION[suffix] for suffix in IMAGE_SUFFIXES}
    assert named == set(FORMATS)


@pytest.mark.parametrize("other", ["PCX", "TGA", "ICO", "SGI", "PDF", "DDS"])
def test_other_formats_are_refused_whatever_their_name(tmp_path: Path, other: str) -> None:
    path = tmp_path / "0.jpg"
    Image.fromarray(smooth(16, 16)).save(path, other)
    with pytest.raises(InvalidInputError, match=str(path)):
        decode_file(path)


def test_a_photo_with_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    path, first = tmp_path / "0.jpg", Image.fromarray(smooth(16, 24))
    first.save(path, "MPO", save_all=True, append_images=[Image.fromarray(smooth(16, 24))])
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert np.asarray(decode_file(path)).shape == (16, 24, 3)


def test_a_class_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"ant": 1, "bee": 1, "cat": 1})
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("bee"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(
        InvalidInputError, match=r"class folder of a dataset can be read.*bee.*Permission"
    ):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3), (4, 0), (0, 0, 1)])
def test_an_image_without_a_pixel_is_no_black_one(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="at least one row and one column"):
        rgb_of(np.zeros(shape, np.uint8))


# .npz

IMAGES, LABELS = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3), np.array([0, 1])


def _member(values: np.ndarray, header: str | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, allow_pickle=False)
    content = stream.getvalue()
    if header is None:
        return content
    text = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _zip(images: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        archive.writestr("images.npy", images)
        archive.writestr("labels.npy", _member(LABELS))
    return stream.getvalue()


def _with(content: bytes, offset: int, number: int, width: int = 2) -> bytes:
    """Archive with another number in the directory's first entry and in its local header."""
    data = bytearray(content)
    data[data.find(b"PK\x01\x02") + offset :][:width]
    at = data.find(b"PK\x01\x02") + offset
    data[at : at + width] = number.to_bytes(width, "little")
    local = offset - 2
    data[local : local + width] = number.to_bytes(width, "little")
    return bytes(data)


def _twice() -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")
        for values in (IMAGES, IMAGES, LABELS):
            name = "images.npy" if values is IMAGES else "labels.npy"
            archive.writestr(name, _member(values))
    return stream.getvalue()


def _header(shape: str, descr: str = "|u1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}"
    return _zip(_member(IMAGES, header))


ARRAYS: dict[str, Callable[[], bytes]] = {
    "encrypted": lambda: _with(_zip(_member(IMAGES)), 8, 1),
    "unknown compression": lambda: _with(_zip(_member(IMAGES)), 10, 99),
    "lzma": lambda: _zip(_member(IMAGES), zipfile.ZIP_LZMA),
    "a newer version": lambda: _with(_zip(_member(IMAGES)), 6, 170),
    "no array": lambda: _zip(b"hello"),
    "an empty member": lambda: _zip(b""),
    "an open bracket": lambda: _zip(_member(IMAGES, "{'descr': (((")),
    "a deep header": lambda: _zip(_member(IMAGES, "(" * 110)),
    "an array of 10^12": lambda: _header("(1000000, 1000, 1000)"),
    "a negative size": lambda: _header("(-2, 4, 4, 3)"),
    "a size that is no number": lambda: _header("('a',)"),
    "objects": lambda: _header("(2,)", "|O"),
    "records": lambda: _header("(2,)", "u1,u1"),
    "the future": lambda: _zip(b"\x93NUMPY\x09\x00" + bytes(100)),
    "one name twice": _twice,
    "a bomb": lambda: _zip(_member(np.zeros((100 << 20,), np.uint8))),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_npz_of_anything_else_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(ARRAYS[name]())
    with pytest.raises(InvalidInputError, match=r"numpy\.load without pickles; received .*a\.npz"):
        open_dataset(str(path))


def test_well_compressed_images_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.zeros((2, 1000, 1000, 3), np.uint8), labels=LABELS)
    assert path.stat().st_size < 10_000
    assert len(open_dataset(str(path))) == 2


# IDX


def _idx(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x1f\x8b",
        b"\x1f\x8b" + bytes(40),
        gzip.compress(_idx((2, 2), bytes(4)))[:-12],
        gzip.compress(bytes(200 << 20), 9),
        _idx((1000, 1000, 1000, 1000)),
        _idx((2, 2), bytes(3)),
        _idx((0xFFFF_FFFF,) * 255),
        struct.pack(">HBB", 0, 8, 255),
    ],
    ids=["empty", "magic", "zeros", "cut", "bomb", "10^12", "short", "many", "no shape"],
)
def test_an_idx_file_of_anything_else_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"IDX file holds uint8.*images-idx3"):
        read_idx(path)


def test_gzip_of_two_parts_is_read(tmp_path: Path) -> None:
    whole = _idx((2, 3), bytes(range(6)))
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(whole[:9]) + gzip.compress(whole[9:]) + bytes(16))
    np.testing.assert_array_equal(read_idx(path), np.arange(6).reshape(2, 3))


# Contracts and labels

CONTRACTS = {
    "nested 1,000 deep": "size = " + "[" * 1000 + "]" * 1000,
    "tables 1,000 deep": "[" + ".".join(["a"] * 1000) + "]",
    "a number of 400 digits": f"size = [8, 8]\nmean = {'9' * 400}",
    "a size of 400 digits": f"size = [8, {'9' * 400}]",
    "a number of 5,000 digits": f"size = [8, {'9' * 5000}]",
    "a size of gigabytes": "size = [100000, 100000]",
    "a short side of gigabytes": "size = [8, 8]\nresize_short_side = 1000000000",
    "NUL": "size = [8, 8]\0",
    "NUL in the labels": 'size = [8, 8]\nlabels = "a\\u0000.txt"',
    "a control character": 'size = [8, 8]\nlabels = ["a\\u001b[31mb"]\ncrop = "\\u001b"',
    "another encoding": "size = [8, 8]\nlabels = ['\udcff']",
    "nothing": "",
    "two keys": "size = [8, 8]\nsize = [8, 8]",
    "an unknown key of 10,000 letters": f"size = [8, 8]\n{'k' * 10_000} = 1",
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_of_anything_else_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "contract.toml"
    path.write_bytes(CONTRACTS[name].encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInputError) as caught:
        read_contract(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    "key",
    ["size", "crop", "resize_short_side", "interpolation", "channels", "mean", "std", "labels"],
)
@pytest.mark.parametrize(
    "value",
    [
        "true", "1.5", "-1", "nan", "inf", "'x y'", "[]", "[[1]]", "['a', 1]", "{a = 1}",
        "1979-05-27", "[1, 2, 3, 4]", "[[[1, 2]]]", "''",
    ],
)  # fmt: skip
def test_every_key_of_a_contract_refuses_other_types(tmp_path: Path, key: str, value: str) -> None:
    values = {"size": "[8, 8]", key: value}
    path = tmp_path / "contract.toml"
    lines = (f"{name} = {text}" for name, text in values.items())
    path.write_text("\n".join(lines), encoding="utf-8")
    allowed = {("mean", "1.5"), ("mean", "-1"), ("std", "1.5"), ("labels", "[]")}
    if (key, value) in {*allowed, ("labels", "'x y'")}:  # a comment for the reader
        read_contract(path)
        return
    with pytest.raises(InvalidInputError):
        read_contract(path)


def test_labels_of_gigabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    with path.open("wb") as handle:
        handle.truncate(3 << 30)
    with pytest.raises(InvalidInputError, match=f"where {MOST_TEXT:,} are the most"):
        read_labels(path)


@pytest.mark.parametrize(
    "read",
    [
        read_contract,
        read_labels,
        read_idx,
        decode_file,
        lambda path: open_dataset(str(path)),
        lambda path: open_dataset(f"{path}:train"),
    ],
    ids=["contract", "labels", "idx", "image", "data", "split"],
)
def test_a_named_pipe_is_not_opened(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "a.npz"
    os.mkfifo(path)
    with pytest.raises(InvalidInputError):
        read(path)


NOTHING = ["", "  ", "\0", "a\0b", "x" * 5000, "keras/\0", "keras/" + "x" * 9999]


@pytest.mark.parametrize("data", NOTHING, ids=range(len(NOTHING)))
def test_data_that_names_nothing_is_one_sentence(data: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_dataset(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500
