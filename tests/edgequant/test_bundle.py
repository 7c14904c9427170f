"""A bundle's place on disk, when the process that writes it is killed at any moment."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgequant.bundle import (
    MANIFEST,
    changed_files,
    recover,
    refuse_occupied,
    write_bundle,
    zip_path,
)
from edgequant.docs import HOME
from foundation.errors import InvalidInputError

SCRIPT = """
import os, signal, sys
from pathlib import Path
import edgequant
from edgequant import bundle

stop, calls, names = int(sys.argv[2]), 0, ("rename", "replace", "unlink")

def counted(original):
    def call(self, *arguments, **named):
        global calls
        if calls == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return original(self, *arguments, **named)
    return call

for name in names:
    setattr(Path, name, counted(getattr(Path, name)))

def build(folder):
    (folder / "bundle.json").write_text('{"targets": {}, "key": "new"}')

bundle.write_bundle(Path(sys.argv[1]), build)
print(calls)
"""


def old(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"targets": {}, "key": "old"}')


def key_of(folder: Path) -> str:
    return str(json.loads((folder / MANIFEST).read_text())["key"])


def killed_after(folder: Path, steps: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(steps)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME)


def test_killed_anywhere_one_whole_bundle_is_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    write_bundle(whole, old)
    steps = int(killed_after(whole, -1).stdout)
    assert steps >= 5
    for stop in range(steps):
        folder = tmp_path / f"{stop}" / "mine"
        write_bundle(folder, old)
        assert killed_after(folder, stop).returncode == -signal.SIGKILL
        recover(folder)
        assert key_of(folder) in ("old", "new")
        assert changed_files(folder) == []
        if zip_path(folder).exists():
            with zipfile.ZipFile(zip_path(folder)) as archive:
                assert archive.read(f"mine/{MANIFEST}") == (folder / MANIFEST).read_bytes()
        write_bundle(folder, old)  # clears what the killed process left
        assert sorted(p.name for p in folder.parent.iterdir()) == ["mine", "mine.zip"]
        assert key_of(folder) == "old"


def test_an_older_bundle_that_waits_comes_back(tmp_path: Path) -> None:
    write_bundle(tmp_path / "mine", old)
    (tmp_path / "mine").rename(tmp_path / ".replaced-mine")
    recover(tmp_path / "mine")
    assert key_of(tmp_path / "mine") == "old"
    with pytest.raises(InvalidInputError, match="--force"):
        refuse_occupied(tmp_path / "mine", force=False)
