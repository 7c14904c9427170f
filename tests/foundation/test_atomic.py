"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError


def _left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_file_appears_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "net.keras", lambda part: part.write_bytes(b"whole"))
    assert _left(tmp_path) == ["a", "a/b", "a/b/net.keras"]
    assert (tmp_path / "a/b/net.keras").read_bytes() == b"whole"


def test_the_part_has_the_name_of_the_file(tmp_path: Path) -> None:
    names: list[str] = []

    def write(part: Path) -> None:
        names.append(part.name)
        part.write_bytes(b"")

    write_whole(tmp_path / "net.weights.h5", write)
    assert names == ["net.weights.h5"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, MemoryError])
def test_an_exception_in_the_middle_leaves_nothing(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def write(part: Path) -> None:
        part.write_bytes(b"half")
        (part.parent / "another").write_bytes(b"x")
        raise error

    with pytest.raises(error):
        write_whole(tmp_path / "net.tflite", write)
    assert _left(tmp_path) == []


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"old")

    def write(part: Path) -> None:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"

    write_whole(path, write)
    assert path.read_bytes() == b"new"

    def fail(part: Path) -> None:
        part.write_bytes(b"newer")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(path, fail)
    assert path.read_bytes() == b"new"
    assert _left(tmp_path) == ["net.tflite"]


def test_a_writer_that_reports_a_full_disk(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InvalidInputError, match=r"has room.*net\.onnx.*No space left"):
        write_whole(tmp_path / "net.onnx", write)
    assert _left(tmp_path) == []


_LIMITED = """
import resource, sys
from pathlib import Path
from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path(sys.argv[1]), lambda part: part.write_bytes(bytes(5000)))
except InvalidInputError as error:
    sys.exit(str(error))
"""


def test_a_file_that_the_system_refuses_to_let_grow(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "has room" in done.stderr
    assert "Traceback" not in done.stderr
    assert _left(tmp_path) == ["net.tflite"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInputError, match="is writable"):
        write_whole(tmp_path / "file" / "net.tflite", lambda part: part.write_bytes(b""))
    assert _left(tmp_path) == ["file"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").mkdir()
    with pytest.raises(InvalidInputError, match="is writable"):
        write_whole(tmp_path / "net.tflite", lambda part: part.write_bytes(b""))
    assert _left(tmp_path) == ["net.tflite"]


_KILLED = """
import os, sys
from pathlib import Path
from foundation.atomic import write_whole
def write(part):
    part.write_bytes(b"half")
    os._exit(9)
write_whole(Path(sys.argv[1]), write)
"""


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert done.returncode == 9
    assert not path.exists()
    assert _left(tmp_path) != []
    write_whole(path, lambda part: part.write_bytes(b"whole"))
    assert _left(tmp_path) == ["net.tflite"]
