"""Zips that somebody made to do harm: refused by their directory, before they are unpacked."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequant.ship.archive import unpack
from foundation.errors import InvalidInputError

Make = Callable[[zipfile.ZipFile], object]


def made(path: Path, make: Make) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        make(archive)
    return path


def members(*names: str) -> Make:
    def make(archive: zipfile.ZipFile) -> None:
        for name in names:
            archive.writestr(name, b"x")

    return make


def of_mode(mode: int) -> Make:
    def make(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("a/link")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")

    return make


def bomb(archive: zipfile.ZipFile) -> None:
    with archive.open("a/zeros", "w", force_zip64=False) as handle:
        for _ in range(100):
            handle.write(bytes(1 << 20))


def method(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/x", b"x", zipfile.ZIP_BZIP2)


def comment(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/x", b"x")
    archive.comment = b"hello"


def folder_with_content(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/x/", b"content")
    archive.writestr("a/y", b"")


def folder_named_as_a_file(archive: zipfile.ZipFile) -> None:
    archive.writestr("a/x", b"x")
    archive.writestr("a/X/", b"")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (members("/etc/x"), "absolute or leads elsewhere"),
        (members("a/../../x"), "absolute or leads elsewhere"),
        (members("../x"), "absolute or leads elsewhere"),
        (members("a/./x"), "absolute or leads elsewhere"),
        (members("a//x"), "absolute or leads elsewhere"),
        (members("C:/x"), "another path"),
        (members("a/b\\..\\x"), "another path"),
        (members("a/b\nc"), "another path"),
        (members("a/x", "b/x"), "2 folders or files side by side"),
        (members("x"), "1 folders or files side by side"),
        (members("x", "a/x"), "side by side"),
        (members(), "0 folders or files side by side"),
        (members("a/x", "a/X"), "two members named a/X"),
        (members("a/x", "a/x"), "two members named a/x"),
        (members("a/x", "a/x/y"), "a file and a folder"),
        (folder_named_as_a_file, "a file and a folder"),
        (members("a/b/c/d/e"), "too long"),
        (members("a/" + "x" * 300), "too long"),
        (members(*(f"a/{n}" for n in range(1001))), "more than 1,000 members"),
        (of_mode(stat.S_IFLNK | 0o777), "a link"),
        (of_mode(stat.S_IFIFO | 0o644), "no regular file"),
        (of_mode(stat.S_IFCHR | 0o644), "no regular file"),
        (method, "compressed by method 12"),
        (comment, "a comment"),
        (bomb, "bytes that unpack to 104,857,600"),
        (folder_with_content, "a folder with content"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_it_is_refused_and_nothing_is_unpacked(tmp_path: Path, make: Make, word: str) -> None:
    path = made(tmp_path / "x.zip", make)
    with pytest.raises(InvalidInputError) as caught:
        unpack(path, tmp_path / "out")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "x.zip"]


def patched(path: Path, signature: bytes, offset: int, fmt: str, value: int) -> Path:
    """A field of every record with this signature, overwritten."""
    content = bytearray(path.read_bytes())
    place = content.find(signature)
    assert place >= 0
    while place >= 0:
        struct.pack_into(fmt, content, place + offset, value)
        place = content.find(signature, place + 4)
    path.write_bytes(content)
    return path


LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


@pytest.mark.parametrize(
    ("signature", "offset", "fmt", "value", "word"),
    [
        (CENTRAL, 8, "<H", 1, "encrypted"),
        (CENTRAL, 10, "<H", 99, "compressed by method 99"),
        (CENTRAL, 24, "<L", 3, "x.zip"),  # smaller than it is: the check sum is of more
        (CENTRAL, 24, "<L", 5 << 20, "x.zip"),  # larger than it is
        (CENTRAL, 24, "<L", 0xFFFFFFF0, "bytes that unpack to 4,294,967,280"),
        (CENTRAL, 16, "<L", 7, "x.zip"),
        (CENTRAL, 42, "<L", 99999, "x.zip"),
        (LOCAL, 26, "<H", 60000, "x.zip"),
        (LOCAL, 0, "<L", 0, "x.zip"),
        (END, 10, "<H", 60000, "a directory of more than 1,000 members"),
        (END, 12, "<L", 2 << 20, "a directory of more than 1,000 members"),
        (END, 16, "<L", 0xFFFFFFFF, "x.zip"),
        (END, 0, "<L", 0, "no end of a zip's directory"),
    ],
)
def test_a_damaged_or_lying_directory_is_one_sentence(
    tmp_path: Path, signature: bytes, offset: int, fmt: str, value: int, word: str
) -> None:
    path = made(tmp_path / "x.zip", lambda archive: archive.writestr("a/x", b"content" * 99))
    patched(path, signature, offset, fmt, value)
    with pytest.raises(InvalidInputError) as caught:
        unpack(path, tmp_path / "out")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_damage_is_one_sentence(tmp_path: Path) -> None:
    import random

    whole = made(tmp_path / "x.zip", members(*(f"a/{n}" for n in range(9)))).read_bytes()
    chance = random.Random(0)
    for number in range(400):
        content = bytearray(whole)
        for _ in range(3):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(content[: chance.choice((len(content), chance.randrange(len(content))))])
        told = ""
        try:
            unpack(path, tmp_path / f"{number}")
        except InvalidInputError as error:
            told = str(error)
        assert "\n" not in told
    assert not [p for p in tmp_path.iterdir() if p.name not in ("x.zip", *_numbered())]


def _numbered() -> set[str]:
    return {name for n in range(400) for name in (f"{n}", f"{n}.zip")}


def test_a_pipe_and_what_is_no_zip_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "short.zip").write_bytes(b"PK")
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "folder.zip").mkdir()
    for name in ("pipe.zip", "short.zip", "empty.zip", "folder.zip", "absent.zip"):
        with pytest.raises(InvalidInputError):
            unpack(tmp_path / name, tmp_path / "out")


def test_a_zip_that_was_packed_by_others_with_folders_in_it_is_taken(tmp_path: Path) -> None:
    path = made(tmp_path / "x.zip", members())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/", b"")
        archive.writestr("a/b/", b"")
        archive.writestr("a/b/c", b"content")
    assert (unpack(path, tmp_path / "out") / "b" / "c").read_bytes() == b"content"
