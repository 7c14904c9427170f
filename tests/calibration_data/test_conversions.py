"""What decoding changes in image files, told from their headers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration_data.conversions import (
    PALETTE,
    SIXTEEN_BITS,
    TRANSPARENT,
    TURNED,
    conversion_remarks,
)
from calibration_data.datasets.base import open_dataset
from calibration_data.image_files import decode_file, header_conversions
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import in_memory, smooth

CMYK = "were CMYK, converted to RGB by Pillow"


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(8, 12)).save(path, exif=exif)


def _saved(mode: str, **more: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(smooth(8, 12)).convert(mode).save(path, **more)  # type: ignore[arg-type]


def _see_through(path: Path) -> None:
    picture = Image.fromarray(smooth(8, 12)).convert("RGBA")
    picture.putalpha(100)
    picture.save(path)


def _deep_png(path: Path) -> None:
    """16 bits in three channels, which Pillow does not write."""
    row = b"\0" + bytes(range(12 * 3 * 2))

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 12, 8, 16, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * 8)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _deep_grey(path: Path) -> None:
    Image.fromarray(np.full((8, 12), 0x1234, np.uint16)).save(path)


def _deep_pgm(path: Path) -> None:
    path.write_bytes(b"P5 12 8 65535\n" + b"\x12\x34" * 96)


def _deep_ppm(path: Path) -> None:
    path.write_bytes(b"P6 12 8 65535\n" + b"\x12\x34" * 96 * 3)


CASES: tuple[tuple[str, Callable[[Path], None], tuple[str, ...]], ...] = (
    ("plain.jpg", _saved("RGB"), ()),
    ("plain.png", _saved("RGB"), ()),
    ("plain.ppm", _saved("RGB"), ()),
    ("grey.png", _saved("L"), ()),
    ("cmyk.jpg", _saved("CMYK"), (CMYK,)),
    ("cmyk.tif", _saved("CMYK"), (CMYK,)),
    ("alpha.png", _saved("RGBA"), (TRANSPARENT,)),
    ("alpha.webp", _see_through, (TRANSPARENT,)),
    ("grey-alpha.png", _saved("LA"), (TRANSPARENT,)),
    ("palette.png", _saved("P"), (PALETTE,)),
    ("palette.gif", _saved("P"), (PALETTE,)),
    ("palette-hole.png", _saved("P", transparency=0), (PALETTE, TRANSPARENT)),
    ("turned.jpg", _turned, (TURNED,)),
    ("turned.png", _turned, (TURNED,)),
    ("turned.webp", _turned, (TURNED,)),
    ("turned.tif", _turned, (TURNED,)),
    ("deep.png", _deep_png, (SIXTEEN_BITS,)),
    ("deep-grey.png", _deep_grey, (SIXTEEN_BITS,)),
    ("deep-grey.tif", _deep_grey, (SIXTEEN_BITS,)),
    ("deep.pgm.ppm", _deep_pgm, (SIXTEEN_BITS,)),
    ("deep.ppm", _deep_ppm, (SIXTEEN_BITS,)),
)


@pytest.mark.parametrize(("name", "write", "expected"), CASES, ids=[case[0] for case in CASES])
def test_what_becomes_of_an_image_is_told(
    tmp_path: Path, name: str, write: Callable[[Path], None], expected: tuple[str, ...]
) -> None:
    write(tmp_path / name)
    assert header_conversions(tmp_path / name) == expected
    decoded = decode_file(tmp_path / name)
    mode = "RGBA" if TRANSPARENT in expected else "RGB"  # dropped where three channels are wanted
    assert (decoded.mode, decoded.size) == (mode, (8, 12) if TURNED in expected else (12, 8))


@pytest.mark.parametrize("write", [_deep_grey, _deep_pgm, _deep_ppm])
def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / ("a.png" if write is _deep_grey else "a.ppm")
    write(path)
    assert np.unique(np.asarray(decode_file(path))).tolist() == [0x12]


def test_the_colours_of_cmyk_are_those_of_the_picture(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert np.asarray(decode_file(tmp_path / "a.tif"))[0, 0].tolist() == [255, 0, 0]


def test_a_remark_counts_images(tmp_path: Path) -> None:
    for number in range(3):
        _saved("CMYK")(tmp_path / f"{number}.jpg")
        _saved("RGB")(tmp_path / f"{number}.png")
    _saved("RGBA")(tmp_path / "9.png")
    dataset = open_dataset(str(tmp_path))
    assert conversion_remarks(dataset) == (
        f"3 of 7 images {CMYK}",
        f"1 of 7 images {TRANSPARENT}",
    )
    assert conversion_remarks(dataset.subset(np.array([0, 1]))) == (
        "1 of 2 images was CMYK, converted to RGB by Pillow",
    )
    assert conversion_remarks(in_memory(4)) == ()


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(InvalidInputError, match=str(tmp_path / "a.png")):
        conversion_remarks(open_dataset(str(tmp_path)))
