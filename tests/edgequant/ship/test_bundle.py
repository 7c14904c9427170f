"""A bundle's place on disk, when the process that writes it is killed at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequant.docs import HOME
from edgequant.ship.bundle import (
    MANIFEST,
    changed_files,
    is_packed,
    page_path,
    recover,
    refuse_foreign_beside,
    refuse_occupied,
    write_bundle,
    zip_path,
)
from foundation.errors import InvalidInputError

# Kills a child before each call that changes a folder, and prints how many there were.
SCRIPT = """
import os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from edgequant.ship import bundle
from tests.edgequant.ship.test_bundle import old
from tests.kills import kill_before_each

def build(folder):
    (folder / "bundle.json").write_text('{"targets": {}, "key": "new"}')

def prepare(stop):
    folder = Path(sys.argv[1]) / str(stop) / "mine"
    bundle.write_bundle(folder, old)
    return lambda: bundle.write_bundle(folder, build)

print(kill_before_each(("rename", "replace", "unlink", "mkdir", "rmdir"), prepare))
"""


def old(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"targets": {}, "key": "old"}')


def key_of(folder: Path) -> str:
    return str(json.loads((folder / MANIFEST).read_text())["key"])


def test_killed_anywhere_one_whole_bundle_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HOME)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps > 12
    seen = set()
    for stop in range(steps):
        folder = tmp_path / f"{stop}" / "mine"
        recover(folder.with_name("another"))  # any bundle in that folder
        seen.add(key_of(folder))
        assert changed_files(folder) == []
        with zipfile.ZipFile(zip_path(folder)) as archive:
            assert archive.read(f"mine/{MANIFEST}") == (folder / MANIFEST).read_bytes(), stop
        assert is_packed(folder)
        assert sorted(p.name for p in folder.parent.iterdir()) == ["mine", "mine.zip"], stop
        write_bundle(folder, old)
        assert key_of(folder) == "old"
    assert seen == {"old", "new"}


def test_an_older_bundle_that_waits_comes_back(tmp_path: Path) -> None:
    write_bundle(tmp_path / "mine", old)
    (tmp_path / "mine").rename(tmp_path / ".replaced-mine")
    recover(tmp_path / "mine")
    assert key_of(tmp_path / "mine") == "old"
    with pytest.raises(InvalidInputError, match="--force"):
        refuse_occupied(tmp_path / "mine", force=False)


def forged(folder: Path) -> None:
    """A user's folder with some object in a bundle.json."""
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    (folder / MANIFEST).write_text('{"name": "webpack"}')


def with_more(folder: Path) -> None:
    write_bundle(folder, old)
    (folder / "thesis.tex").write_text("precious")


def with_an_empty_folder(folder: Path) -> None:
    write_bundle(folder, old)
    (folder / "raw").mkdir()


def with_a_link(folder: Path) -> None:
    write_bundle(folder, old)
    (folder / "link").symlink_to(folder.parent)


def edited(folder: Path) -> None:
    write_bundle(folder, old)
    (folder / MANIFEST).write_text('{"targets": {}, "key": "edited"}')


def without_sums(folder: Path) -> None:
    write_bundle(folder, old)
    (folder / "SHA256SUMS").unlink()


def a_link(folder: Path) -> None:
    write_bundle(folder.with_name("elsewhere"), old)
    folder.symlink_to("elsewhere")


def a_file(folder: Path) -> None:
    folder.write_text("precious")


def their_zip(folder: Path) -> None:
    with zipfile.ZipFile(zip_path(folder), "w") as archive:
        archive.writestr("thesis.tex", "precious")


def a_zip_with_a_manifest(folder: Path) -> None:
    with zipfile.ZipFile(zip_path(folder), "w") as archive:
        archive.writestr("mine/thesis.tex", "precious")
        archive.writestr(f"mine/{MANIFEST}", '{"targets": {}, "key": "k"}')
        archive.writestr("mine/SHA256SUMS", f"{'0' * 64}  {MANIFEST}\n")


def no_zip(folder: Path) -> None:
    zip_path(folder).write_bytes(b"precious")


def a_pipe_for_a_zip(folder: Path) -> None:
    os.mkfifo(zip_path(folder))


def their_page(folder: Path) -> None:
    page_path(folder).write_text("<html>precious</html>")


def another_page_of_ours(folder: Path) -> None:
    page_path(folder).write_text('<head><meta name="generator" content="edgequant"></head> costs')


OTHERS = [
    forged, with_more, with_an_empty_folder, with_a_link, edited, without_sums, a_link, a_file,
    their_zip, a_zip_with_a_manifest, no_zip, a_pipe_for_a_zip, their_page, another_page_of_ours,
]  # fmt: skip


def listing(folder: Path) -> dict[str, bytes]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.parametrize("put", OTHERS)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_bundle_of_ours_is_never_replaced(
    tmp_path: Path, put: Callable[[Path], None], force: bool
) -> None:
    folder = tmp_path / "mine"
    put(folder)
    before = listing(tmp_path)
    with pytest.raises(InvalidInputError, match=r"which exists and .*move it away") as refused:
        refuse_occupied(folder, force=force)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(InvalidInputError, match="which exists and"):
        write_bundle(folder, old)
    recover(folder)
    assert listing(tmp_path) == before


def test_force_replaces_a_bundle_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_bundle(folder, old)
    refuse_occupied(folder, force=True)
    with pytest.raises(InvalidInputError, match="--force to replace the bundle"):
        refuse_occupied(folder, force=False)


def test_a_folder_that_is_named_like_one_that_waits_stays(tmp_path: Path) -> None:
    write_bundle(tmp_path / "mine", old)
    theirs = tmp_path / ".replaced-mine"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("precious")
    recover(tmp_path / "mine")
    assert (theirs / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("put", [their_zip, no_zip, a_pipe_for_a_zip, their_page])
def test_an_unchanged_bundle_replaces_nothing_that_others_put_beside_it(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    folder = tmp_path / "mine"
    write_bundle(folder, old)
    zip_path(folder).unlink()
    put(folder)
    with pytest.raises(InvalidInputError, match="which exists and is not a"):
        refuse_foreign_beside(folder)


def test_the_zip_of_another_bundle_is_told_from_its_own(tmp_path: Path) -> None:
    write_bundle(tmp_path / "mine", old)
    assert is_packed(tmp_path / "mine")

    def other(folder: Path) -> None:
        (folder / MANIFEST).write_text('{"targets": {}, "key": "other"}')

    write_bundle(tmp_path / "other" / "mine", other)
    zip_path(tmp_path / "other" / "mine").replace(zip_path(tmp_path / "mine"))
    assert not is_packed(tmp_path / "mine")
