"""Scratch folders: made, deleted, and their errors in one sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from foundation import scratch
from foundation.errors import InvalidInputError
from foundation.scratch import (
    output_scratch,
    require_space,
    require_writable,
    temporary_scratch,
)


class Usage(NamedTuple):
    """Result of ``shutil.disk_usage``."""

    total: int
    used: int
    free: int


def test_both_scratch_folders_are_deleted_with_their_content(tmp_path: Path) -> None:
    output = tmp_path / "new" / "output"
    with output_scratch(output) as beside, temporary_scratch(tmp_path) as temporary:
        assert beside.parent == output
        assert temporary.parent == tmp_path
        for folder in (beside, temporary):
            (folder / "inner").mkdir()
            (folder / "inner" / "file").write_bytes(b"x")
    assert list(output.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_the_block_renamed_stays(tmp_path: Path) -> None:
    with output_scratch(tmp_path) as beside:
        (beside / "file").write_bytes(b"x")
        beside.rename(tmp_path / "delivered")
    assert [path.name for path in tmp_path.iterdir()] == ["delivered"]
    assert (tmp_path / "delivered" / "file").read_bytes() == b"x"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_folder_that_is_full(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(InvalidInputError, match=rf"output folder.*{tmp_path.name}.*--output"),
        output_scratch(tmp_path),
    ):
        raise OSError(number, os.strerror(number))
    with (
        pytest.raises(InvalidInputError, match=rf"temporary files.*{tmp_path.name}.*TMPDIR"),
        temporary_scratch(tmp_path),
    ):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_another_system_error_in_a_temporary_folder_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), temporary_scratch(tmp_path) as folder:
        (folder / "missing").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_temporary_files_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = tmp_path / "absent"
    with (
        pytest.raises(InvalidInputError, match=r"temporary files.*absent.*No such file"),
        temporary_scratch(absent),
    ):
        pass
    monkeypatch.setenv("TMPDIR", str(absent))
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(absent))
    with pytest.raises(InvalidInputError, match=r"temporary files.*absent.*No such file.*TMPDIR"):
        require_writable(tmp_path / "output")


def test_space_is_what_is_needed_and_what_tools_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = 16 << 20
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: Usage(0, 0, tools + 1000))
    require_space(tmp_path, 1000)
    with pytest.raises(InvalidInputError, match="16,778,216 bytes free, where 16,778,217 are"):
        require_space(tmp_path, 1001)
