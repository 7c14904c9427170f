"""Delivery of several files together, at whatever step the process is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgequant.docs import HOME
from foundation import delivery
from foundation.delivery import PENDING, Orders, deliver, settle, staging
from foundation.errors import InvalidInputError
from foundation.locking import exclusive
from foundation.scratch import clear_leftovers


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def put(folder: Path, files: dict[str, bytes], orders: Orders | None = None) -> tuple[Path, ...]:
    with staging(folder) as staged:
        for name, content in files.items():
            staged.path(name).write_bytes(content)
        return deliver(staged, lambda: orders or Orders())


OLD = {"net.tflite": b"old", "net.plan": b"old plan", "net.report.md": b"of old"}
NEW = {"net.tflite": b"new", "net.plan": b"new plan", "net.labels.txt": b"a\n"}
REPLACE = Orders(
    {"net.tflite": frozenset({digest(b"old")}), "net.plan": frozenset({digest(b"old plan")})},
    {"net.report.md": digest(b"of old")},
)

# Kills a child before its Nth call that changes a folder; prints the number of such calls.
SCRIPT = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.foundation.test_delivery import NEW, OLD, REPLACE, put
from tests.kills import kill_before_each

def prepare(stop):
    folder = Path(sys.argv[1]) / str(stop)
    put(folder, OLD)
    return lambda: put(folder, NEW, REPLACE)

print(kill_before_each(("rename", "replace", "unlink", "fsync", "mkdir", "rmdir"), prepare))
"""


def test_files_take_their_place_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "net.tflite.my-notes").write_bytes(b"mine")
    assert put(tmp_path, OLD) == ()
    assert put(tmp_path, NEW, REPLACE) == ()
    assert contents(tmp_path) == {**NEW, "net.tflite.my-notes": b"mine"}
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_killed_before_any_step_the_next_start_has_all_of_the_old_or_the_new(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HOME)
    steps = int(done.stdout)
    assert steps > 15
    ends = []
    for stop in range(steps):
        folder = tmp_path / str(stop)
        settle(folder)
        assert contents(folder) in (OLD, NEW), stop
        assert all(path.is_file() for path in folder.iterdir()), stop
        ends.append(contents(folder) == NEW)
    assert ends == sorted(ends), "once committed, always new"
    assert set(ends) == {False, True}


def test_an_exception_before_the_commit_leaves_the_old(tmp_path: Path) -> None:
    put(tmp_path, OLD)

    def refuse() -> Orders:
        raise KeyboardInterrupt

    def write() -> None:
        with staging(tmp_path) as staged:
            staged.path("net.tflite").write_bytes(b"new")
            deliver(staged, refuse)

    with pytest.raises(KeyboardInterrupt):
        write()
    assert contents(tmp_path) == OLD
    assert len(list(tmp_path.iterdir())) == len(OLD)


def test_ctrl_c_between_the_renames_comes_when_all_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, OLD)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Any:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    # A shell starts what it runs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path, NEW, REPLACE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert contents(tmp_path) == NEW


def test_what_others_wrote_is_kept_under_another_name(tmp_path: Path) -> None:
    put(
        tmp_path, {"net.plan": b"theirs", "net.plan.kept-1": b"earlier", "net.report.md": b"edited"}
    )
    kept = put(tmp_path, NEW, REPLACE)
    assert [path.name for path in kept] == ["net.plan.kept-2"]
    expected = {
        **NEW, "net.plan.kept-1": b"earlier", "net.plan.kept-2": b"theirs",
        "net.report.md": b"edited",
    }  # fmt: skip
    assert contents(tmp_path) == expected


def test_what_is_edited_between_a_kill_and_the_next_start_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, OLD)
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_finish", lambda _: ())
        put(tmp_path, NEW, REPLACE)
    assert contents(tmp_path) == OLD
    (tmp_path / "net.plan").write_bytes(b"edited")
    assert [path.name for path in settle(tmp_path)] == ["net.plan.kept-1"]
    assert contents(tmp_path) == {**NEW, "net.plan.kept-1": b"edited"}
    assert settle(tmp_path) == ()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_folder_or_pipe_in_the_way_is_refused_before_the_commit(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "net.labels.txt"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(InvalidInputError, match=kind):
        put(tmp_path, NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["net.labels.txt"]


# Journals that others wrote


def journal(folder: Path, values: Any, files: dict[str, bytes] | None = None) -> Path:
    pending = folder / PENDING
    (pending / "files").mkdir(parents=True)
    for name, content in (files or {}).items():
        (pending / "files" / name).write_bytes(content)
    text = values if isinstance(values, str) else json.dumps(values)
    (pending / "journal.json").write_text(text)
    return pending


def entry(content: bytes) -> dict[str, Any]:
    return {"sha256": digest(content), "replaces": []}


@pytest.mark.parametrize(
    "values",
    [
        {"delivery": 1, "files": {"../victim": entry(b"x")}, "removed": {}},
        {"delivery": 1, "files": {"/etc/passwd": entry(b"x")}, "removed": {}},
        {"delivery": 1, "files": {}, "removed": {"../victim": digest(b"precious")}},
        {"delivery": 1, "files": {}, "removed": {"sub/victim": digest(b"precious")}},
        {"delivery": 1, "files": {"..": entry(b"x")}, "removed": {}},
        {"delivery": 1, "files": {"": entry(b"x")}, "removed": {}},
        {"delivery": 1, "files": {PENDING: entry(b"x")}, "removed": {}},
        {"delivery": 1, "files": {"a": {"sha256": "x", "replaces": []}}, "removed": {}},
        {"delivery": 1, "files": {"a": entry(b"another")}, "removed": {}},
        {"delivery": 1, "files": [], "removed": {}},
        {"delivery": 2, "files": {}, "removed": {}},
        {"delivery": 1},
        [],
        "",
        "[" * 100_000,
    ],
)
def test_a_journal_that_is_not_ours_is_refused(tmp_path: Path, values: Any) -> None:
    folder = tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for victim in (tmp_path / "victim", folder / "sub" / "victim"):
        victim.write_bytes(b"precious")
    journal(folder, values, {"a": b"content"})
    for start in (settle, lambda place: put(place, NEW)):
        with pytest.raises(InvalidInputError, match=r"unfinished delivery.*delete it"):
            start(folder)
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (folder / "sub" / "victim").read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == [PENDING, "sub"]


@pytest.mark.parametrize("what", ["pending", "files", "part", "journal pipe"])
def test_a_journal_leads_through_no_link_or_pipe(tmp_path: Path, what: str) -> None:
    home, folder = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    folder.mkdir()
    (home / "a").write_bytes(b"precious")
    values = {"delivery": 1, "files": {"a": entry(b"precious")}, "removed": {}}
    if what == "pending":
        journal(home, values, {"a": b"precious"})
        (folder / PENDING).symlink_to(home / PENDING)
    else:
        pending = journal(folder, values)
        if what == "files":
            (pending / "files").rmdir()
            (pending / "files").symlink_to(home)
        elif what == "part":
            (pending / "files" / "a").symlink_to(home / "a")
        else:
            (pending / "journal.json").unlink()
            os.mkfifo(pending / "journal.json")
    with pytest.raises(InvalidInputError, match="unfinished delivery"):
        settle(folder)
    assert (home / "a").read_bytes() == b"precious"
    assert not (folder / "a").exists()


# Beside others


def test_a_folder_that_another_process_holds_is_waited_for_and_then_refused(
    tmp_path: Path,
) -> None:
    refused = pytest.raises(InvalidInputError, match="one process at a time")
    with exclusive(tmp_path), refused, exclusive(tmp_path, wait_seconds=0.05):
        raise AssertionError("two have the folder")
    with exclusive(tmp_path, wait_seconds=0):
        pass
    assert list(tmp_path.iterdir()) == []


BESIDE = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.foundation.test_delivery import put
from foundation.delivery import Orders
folder, who = Path(sys.argv[1]), sys.argv[2]
for number in range(8):
    put(folder, {f"{name}-{who}": f"{who} {number}".encode() for name in "abc"})
"""


def test_processes_that_deliver_into_one_folder_all_succeed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BESIDE, str(tmp_path)]
    children = [subprocess.Popen([*command, who], cwd=HOME) for who in ("one", "two", "three")]
    assert [child.wait() for child in children] == [0, 0, 0]
    last = {f"{n}-{who}": f"{who} 7".encode() for n in "abc" for who in ("one", "two", "three")}
    found = contents(tmp_path)
    assert {name: found[name] for name in last} == last
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_the_scratch_of_a_process_that_lives_stays(tmp_path: Path) -> None:
    with staging(tmp_path) as staged:
        aged = time.time() - 3600
        os.utime(staged.scratch, (aged, aged))
        settle(tmp_path)
        assert staged.scratch.is_dir()
        renamed = staged.scratch.rename(tmp_path / ".writing-999999999-x")  # of another container
        clear_leftovers(tmp_path)
        assert renamed.is_dir()
    clear_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_scratch_of_the_dead_goes_also_where_its_number_was_given_again(tmp_path: Path) -> None:
    (tmp_path / ".writing-999999999-x" / "files").mkdir(parents=True)
    mine = tmp_path / f".writing-{os.getpid()}-x"
    mine.mkdir()
    settle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [mine.name], "too young to tell"
    aged = time.time() - 3600
    os.utime(mine, (aged, aged))
    settle(tmp_path)
    assert list(tmp_path.iterdir()) == []
