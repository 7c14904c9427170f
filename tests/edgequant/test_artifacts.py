"""The folder of an artifact: what is ours goes or is replaced whole, what is others' stays."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from edgequant.artifacts import (
    SUMS,
    Artifact,
    Making,
    add_files,
    check_folder,
    deliver,
    find_artifact,
    read_sums,
)
from edgequant.docs import HOME
from foundation.delivery import PENDING, settle
from foundation.errors import InvalidInputError
from quantize.recipes import recipe
from tests.edgequant.conftest import Run

FLOAT16 = recipe("tflite-float16")
STEM = "net-tflite-float16"


def written(folder: Path, content: bytes = b"old", stem: str = STEM, **more: Any) -> Artifact:
    contract = Preprocessing(size=(8, 8), crop=Crop.STRETCH, labels=("a", "b"))
    path = folder / f"{stem}.tflite"
    made = Making(path, FLOAT16, content.decode(), contract, {"remarks": ["r"]}, **more)
    return deliver(made, lambda part: part.write_bytes(content))


def reported(artifact: Artifact, text: str = "report") -> None:
    add_files(artifact, {".report.md": text, ".report.json": "{}"}, force=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def assert_whole(folder: Path, *, unlisted: tuple[str, ...] = ()) -> None:
    """Every file of the folder but some is in SHA256SUMS with its digest, and nothing else is."""
    there = {n: c for n, c in contents(folder).items() if n not in (SUMS, *unlisted)}
    assert read_sums(folder) == {n: hashlib.sha256(c).hexdigest() for n, c in there.items()}


def test_files_that_begin_with_the_name_and_are_not_ours_stay(tmp_path: Path) -> None:
    notes = tmp_path / f"{STEM}.my-notes.txt"
    notes.write_text("mine")
    reported(written(tmp_path))
    assert_whole(tmp_path, unlisted=(notes.name,))
    written(tmp_path, b"new")
    assert notes.read_text() == "mine"
    assert not list(tmp_path.glob("*.report.*")), "a report of another file"
    assert_whole(tmp_path, unlisted=(notes.name,))


def test_lines_that_the_user_wrote_into_the_sums_stay(tmp_path: Path) -> None:
    written(tmp_path)
    lines = [f"{'0' * 64}  {STEM}.my-notes.txt", f"{'1' * 64} *other.bin", "# a remark"]
    with (tmp_path / SUMS).open("a") as handle:
        handle.write("\n".join(lines) + "\n")
    written(tmp_path, b"new")
    assert set(lines) <= set((tmp_path / SUMS).read_text().splitlines())


def test_what_the_user_changed_by_hand_is_kept_beside(tmp_path: Path) -> None:
    reported(written(tmp_path))
    labels, report = (tmp_path / f"{STEM}{ending}" for ending in (".labels.txt", ".report.md"))
    labels.write_text("cat\ndog\n")
    report.write_text("my remarks")
    new = written(tmp_path, b"new")
    assert [path.name for path in new.kept] == [f"{labels.name}.kept-1"]
    assert new.kept[0].read_text() == "cat\ndog\n"
    assert labels.read_text() == "a\nb\n"
    assert report.read_text() == "my remarks", "edited, so it is not ours to delete"
    assert_whole(tmp_path, unlisted=(new.kept[0].name, report.name))


def test_a_file_of_that_name_that_was_there_before_is_kept(tmp_path: Path) -> None:
    for ending in (".tflite", ".labels.txt", ".recipe.json"):
        (tmp_path / f"{STEM}{ending}").write_text("{}")
    assert len(written(tmp_path).kept) == 3
    assert_whole(tmp_path, unlisted=tuple(p.name for p in tmp_path.glob("*.kept-1")))


def test_force_replaces_what_has_the_name_of_a_file_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.tflite").write_text("theirs")
    (tmp_path / f"{STEM}.notes").write_text("theirs")
    assert written(tmp_path, force=True).kept == ()
    assert (tmp_path / f"{STEM}.notes").read_text() == "theirs"
    assert_whole(tmp_path, unlisted=(f"{STEM}.notes",))


def test_records_of_earlier_versions_name_what_is_ours(tmp_path: Path) -> None:
    """They listed every file that began with the name."""
    reported(written(tmp_path))
    notes = tmp_path / f"{STEM}.my-notes.txt"
    notes.write_text("mine")
    path = tmp_path / f"{STEM}.recipe.json"
    record = json.loads(path.read_text())
    record["files"] = [*record["files"], notes.name]
    path.write_text(json.dumps(record))
    with (tmp_path / SUMS).open("a") as handle:
        handle.write(f"{hashlib.sha256(notes.read_bytes()).hexdigest()}  {notes.name}\n")
    written(tmp_path, b"new")
    assert notes.read_text() == "mine"
    assert not list(tmp_path.glob("*.report.*"))


@pytest.mark.parametrize("name", ["../victim", "/victim", f"{STEM}./../victim", "other.bin"])
def test_a_record_names_files_of_its_artifact_alone(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    path = written(folder).beside(".recipe.json")
    victims = (tmp_path / "victim", folder / "other.bin")
    for victim in victims:
        victim.write_bytes(b"precious")
    record = json.loads(path.read_text())
    record["files"][name] = hashlib.sha256(b"precious").hexdigest()
    path.write_text(json.dumps(record))
    written(folder, b"new")
    assert all(victim.read_bytes() == b"precious" for victim in victims)


def test_unchanged_until_a_file_of_it_changes(tmp_path: Path) -> None:
    first = written(tmp_path)
    reported(first)
    found = find_artifact(first.path, FLOAT16, "old")
    assert found is not None
    assert found.unchanged
    assert find_artifact(first.path, FLOAT16, "new") is None
    for path in [p for p in first.files() if p.name != SUMS]:
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert find_artifact(first.path, FLOAT16, "old") is None, path
        path.write_bytes(before)
    assert find_artifact(first.path, FLOAT16, "old") is not None


# Kills

SCRIPT = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.edgequant.test_artifacts import reported, written
from tests.kills import kill_before_each

def prepare(stop):
    folder = Path(sys.argv[1]) / str(stop)
    old = written(folder)
    if sys.argv[2] == "replace":
        reported(old)
    (folder / "SHA256SUMS").open("a").write("0" * 64 + "  theirs\\n")
    return lambda: written(folder, b"new") if sys.argv[2] == "replace" else reported(old)

print(kill_before_each(("rename", "replace", "unlink", "mkdir", "rmdir"), prepare))
"""


@pytest.mark.parametrize("what", ["replace", "report"])
def test_killed_before_any_step_the_next_start_finds_a_whole_artifact(
    tmp_path: Path, what: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 10
    seen = set()
    for stop in range(steps):
        folder = tmp_path / str(stop)
        settle(folder)
        there = contents(folder)
        listed = read_sums(folder)
        assert listed.pop("theirs") == "0" * 64
        there.pop(SUMS)
        assert listed == {n: hashlib.sha256(c).hexdigest() for n, c in there.items()}, stop
        assert all(path.is_file() for path in folder.iterdir()), stop
        key = there[f"{STEM}.tflite"].decode()
        assert find_artifact(folder / f"{STEM}.tflite", FLOAT16, key) is not None, stop
        seen.add((key, f"{STEM}.report.md" in there))
    old, new = ("old", what == "replace"), ("new", False) if what == "replace" else ("old", True)
    assert seen == {old, new}


COMMAND = """
import os, signal, sys, shutil
sys.path.insert(0, os.getcwd())
from pathlib import Path
import keras, tensorflow
from edgequant.cli.main import main

base, before, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]

def counted(original, left, folder):
    def call(*arguments, **named):
        if str(folder) in str(arguments[0]) or isinstance(arguments[0], int):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return original(*arguments, **named)
    return call

stop, status = 0, -1
while status:
    folder = base / str(stop)
    shutil.copytree(before, folder)
    child = os.fork()
    if child == 0:
        left = [stop]
        for name in ("rename", "replace", "unlink", "fsync", "mkdir", "rmdir"):
            setattr(os, name, counted(getattr(os, name), left, folder))
        main([*command, "--output", str(folder)])
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    stop += 1
print(stop - 1)
"""


@pytest.mark.slow
def test_the_command_killed_before_any_step(run: Run, tiny_keras: Path, tmp_path: Path) -> None:
    flags = ("--mean", "120", "--std", "60")
    command = ("quantize", "--model", tiny_keras, "--recipe", "tflite-float32")
    before, after, base = tmp_path / "before", tmp_path / "after", tmp_path / "kills"
    for folder, more in ((before, flags), (after, ())):
        assert run(*command, *more, "--output", folder).code == 0
    new = [sys.executable, "-c", COMMAND, str(base), str(before), *map(str, command)]
    done = subprocess.run(new, capture_output=True, text=True, check=False, cwd=HOME)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout.split()[-1])
    assert steps > 15
    for stop in range(steps):
        folder = base / str(stop)
        settle(folder)
        assert contents(folder) in (contents(before), contents(after)), stop
        assert all(path.is_file() for path in folder.iterdir()), stop


def test_the_next_command_finishes_what_was_committed_also_for_another_artifact(
    run: Run, tiny_keras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foundation import delivery

    output = tmp_path / "o"
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_finish", lambda _: ())
        written(output)
    (output / ".writing-999999999-x").mkdir()
    assert [p.name for p in output.iterdir() if not p.name.startswith(".")] == []
    command = ("quantize", "--model", tiny_keras, "--recipe", "tflite-float32", "--output", output)
    assert run(*command).code == 0
    assert (output / f"{STEM}.tflite").read_bytes() == b"old"
    assert_whole(output)
    (output / ".writing-999999999-x").mkdir()
    assert run(*command, "--json").json["unchanged"]
    assert not list(output.glob(".*"))


BESIDE = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.edgequant.test_artifacts import reported, written
for number in range(6):
    reported(written(Path(sys.argv[1]), f"{number}".encode(), stem=f"net-{sys.argv[2]}"))
"""


def test_processes_that_share_a_folder_are_all_in_its_sums(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BESIDE, str(tmp_path)]
    children = [subprocess.Popen([*command, who], cwd=HOME) for who in ("one", "two")]
    assert [child.wait() for child in children] == [0, 0]
    assert_whole(tmp_path)
    assert {path.read_bytes() for path in tmp_path.glob("*.tflite")} == {b"5"}
    assert not list(tmp_path.glob("*.kept-*"))


# What others put into the folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SUMS, b"\xff\xfe\x00"),
        (SUMS, None),
        ("mine-tflite-float32.recipe.json", b"\xff\xfe\x00"),
        ("mine-tflite-float32.recipe.json", b'{"a": ' * 100_000),
        ("mine-tflite-float32.recipe.json", None),
    ],
)
def test_records_that_cannot_be_ours_are_refused_before_anything_is_written(
    run: Run, tiny_keras: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is None:
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    command = ("quantize", "--model", tiny_keras, "--recipe", "tflite-float32")
    for more in ((), ("--force",)):
        outcome = run(*command, "--output", tmp_path, *more)
        assert outcome.code == 2, outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert name in outcome.err
        assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("ending", [".tflite", ".labels.txt", ".plan", ".report.json"])
def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"{STEM}{ending}")
    with pytest.raises(InvalidInputError, match="named pipe"):
        check_folder(tmp_path, STEM, ".tflite")


def test_a_journal_that_leads_elsewhere_is_refused(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    (tmp_path / "victim").write_text("precious")
    pending = tmp_path / "o" / PENDING
    (pending / "files").mkdir(parents=True)
    digest = hashlib.sha256(b"precious").hexdigest()
    values = {"delivery": 1, "files": {}, "removed": {"../victim": digest}}
    (pending / "journal.json").write_text(json.dumps(values))
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-float32", "--output", tmp_path / "o"
    )
    assert outcome.code == 2
    assert "unfinished delivery" in outcome.err
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("command", ["quantize", "compare", "train", "ship", "sensitivity"])
def test_an_empty_output_is_refused(
    run: Run, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(command, "--model", "mobilenet_v2_small", "--output", "")
    assert outcome.code == 2
    said = "Error: Invalid value for '--output': an empty text says nothing; leave the option out."
    assert outcome.err.splitlines()[-1] == said
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_for_temporary_files_is_known_before(
    run: Run, tiny_keras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("foundation.scratch.tempfile.TemporaryFile", full)
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-float32", "--output", tmp_path / "o"
    )
    assert outcome.code == 2
    assert "temporary files" in outcome.err
    assert not list((tmp_path / "o").glob("*"))
