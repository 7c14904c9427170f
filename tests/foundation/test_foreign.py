"""Foreign files: any exception of a parser becomes one sentence, and pipes are not opened."""

from __future__ import annotations

import os
import socket
import zlib
from pathlib import Path

import pytest

from foundation.errors import GateFailedError, InvalidInputError
from foundation.foreign import (
    DAMAGE,
    MOST_TEXT,
    printable,
    read_object,
    read_text,
    reading,
    reason_of,
    require_regular,
)


@pytest.mark.parametrize("kind", DAMAGE, ids=lambda kind: kind.__name__)
def test_whatever_a_parser_raises_names_the_file(kind: type[Exception]) -> None:
    with (
        pytest.raises(InvalidInputError, match=r"a rule; received f\.bin \(.+\): do this\."),
        reading("f.bin", "a rule", "do this"),
    ):
        raise kind()


def test_errors_of_ours_and_interrupts_pass() -> None:
    with pytest.raises(GateFailedError), reading("f", "a rule", "do this"):
        raise GateFailedError("a gate", received="more", remedy="less")
    with pytest.raises(KeyboardInterrupt), reading("f", "a rule", "do this"):
        raise KeyboardInterrupt


def test_an_error_of_a_library_is_taken_when_named() -> None:
    class OwnError(Exception):
        pass

    with pytest.raises(OwnError), reading("f", "a rule", "do this"):
        raise OwnError
    with pytest.raises(InvalidInputError), reading("f", "a rule", "do this", raised=(OwnError,)):
        raise OwnError


def test_reasons_are_one_printable_line_of_bounded_length() -> None:
    assert reason_of(ValueError("\n  first.\nsecond")) == "first"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(RecursionError("maximum recursion depth")) == "nested too deeply"
    assert len(reason_of(ValueError("x" * 10_000))) == 200
    assert reason_of(zlib.error("a\x1b[31mb")) == "a\\x1b[31mb"
    assert printable("a\udcffb") == "a\\udcffb"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, word in {
        "pipe": "a named pipe",
        "link": "a named pipe",
        "socket": "a socket",
        "folder": "a folder",
        "nothing": "does not exist",
    }.items():
        with pytest.raises(InvalidInputError, match=word):
            require_regular(tmp_path / name, "a file")
    with pytest.raises(InvalidInputError, match="a device"):
        require_regular(Path("/dev/zero"), "a file")
    with pytest.raises(InvalidInputError, match="null"):
        require_regular(Path("a\0b"), "a file")


def test_texts_are_bounded_and_decoded(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="codec can't decode"):
        read_text(path, "a text", "write one")
    with path.open("wb") as handle:
        handle.truncate(MOST_TEXT + 1)
    with pytest.raises(InvalidInputError, match="are the most"):
        read_text(path, "a text", "write one")


@pytest.mark.parametrize(
    ("content", "word"), [("[" * 100_000, "nested too deeply"), ("[1]", "list"), ("{", "Expecting")]
)
def test_json_is_an_object(tmp_path: Path, content: str, word: str) -> None:
    path = tmp_path / "j.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=word):
        read_object(path, "an object", "write one")
    path.write_text('{"a": 1}')
    assert read_object(path, "an object", "write one") == {"a": 1}
