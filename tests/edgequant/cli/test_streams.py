"""Standard streams that are closed, full or no longer read, and other surroundings of a command."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgequant.cli.failures import check_surroundings, out_of_memory, shortened, system_error
from edgequant.cli.main import cli
from foundation.errors import InvalidInputError
from tests.edgequant.conftest import Run

COMMANDS = ("list recipes", "list recipes --json", "--help", "quantize --help", "--version")
FULL = "/dev/full"


def shell(words: str, redirect: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose streams a shell sets up."""
    command = f"{shlex.quote(sys.executable)} -m edgequant {words} {redirect}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=folder,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_results_that_cannot_be_written_are_an_error(words: str, tmp_path: Path) -> None:
    for redirect, why in ((">&-", "it is closed"), (f">{FULL}", "No space left")):
        code, err = shell(words, redirect, tmp_path)
        assert code == 2, err
        assert err.count("edgequant: ") == 1, err
        assert why in err
        assert "Traceback" not in err


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_left_ends_a_command_quietly(words: str, tmp_path: Path) -> None:
    code, err = shell(words, "| true", tmp_path)
    assert code in (0, 141)  # 0 where all of it fitted into the pipe before the reader left
    assert err == ""


def test_a_broken_pipe_is_told_apart_by_its_exit_code(tmp_path: Path) -> None:
    """A reader that has left for certain: the pipe's other end is closed before the command."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "edgequant", "list", "recipes"],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("redirect", ["2>&-", f"2>{FULL}", "2>&- <&-"])
def test_remarks_that_cannot_be_written_are_dropped(redirect: str, tmp_path: Path) -> None:
    assert shell("list recipes", redirect, tmp_path) == (0, "")
    assert shell("nobody", redirect, tmp_path) == (2, "")
    assert shell("list recipes", f">&- {redirect}", tmp_path) == (2, "")


def test_names_in_other_encodings(tmp_path: Path) -> None:
    code, err = shell("inspect $'\\xff.tflite'", "", tmp_path)
    assert (code, "UTF-8 text" in err) == (2, True), err
    old = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    code, err = shell("inspect é.tflite", "", tmp_path, **old)
    assert (code, "LC_ALL=C.UTF-8" in err) == (2, True), err
    code, err = shell("inspect é.tflite", "", tmp_path, LC_ALL="C")
    assert (code, "Traceback" in err) == (2, False), err


def test_a_current_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidInputError, match="folder that exists"):
        check_surroundings(["list", "models"])


def test_a_folder_for_temporary_files_that_is_not_there(tmp_path: Path) -> None:
    code, err = shell("list recipes", ">/dev/null", tmp_path, TMPDIR=str(tmp_path / "none"))
    assert (code, err) == (0, "")


def test_memory_and_the_system_are_told_with_what_fits_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = MemoryError()
    error.add_note("count mobilenet_v2")
    told = out_of_memory(error, ["cost", "--size", "4000"], cli)
    assert told.startswith("count mobilenet_v2 fits into memory")
    assert "--size" in told
    assert "--samples" not in told
    assert "--samples" in out_of_memory(MemoryError(), ["quantize"], cli)
    assert "smaller files" in out_of_memory(MemoryError(), ["plan", "show", "x"], cli)
    full = OSError(28, "No space left on device", "/tmp/x")
    assert "TMPDIR" in str(system_error(full))

    def fail(*_: object) -> None:
        raise full

    monkeypatch.setattr("edgequant.commands.listing.show", fail)
    outcome = run("list", "models")
    assert outcome.code == 2
    assert "/tmp/x (No space left on device)" in outcome.err


def test_words_without_end_are_cut() -> None:
    assert len(shortened(f"received {'9' * 5000}: choose")) < 200
    assert shortened("received /a/b c") == "received /a/b c"
