"""Each stored result names the commit that measured it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import sources


def test_every_stored_result_has_a_commit() -> None:
    stored = {path.name for path in sources.RESULTS.iterdir()} - {sources.SOURCES.name}
    assert set(sources.commits()) == stored
    assert all(sources.commits().values())


def test_a_result_is_old_once_the_engine_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a repository of two commits: one that measures, one that changes the engine."""
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "sources.csv").write_text("file,commit\n")
    (results / "speed.csv").write_text("1\n")
    monkeypatch.setattr(sources, "RESULTS", results)
    monkeypatch.setattr(sources, "SOURCES", results / "sources.csv")

    def commit(text: str) -> None:
        (tmp_path / "quantize").mkdir(exist_ok=True)
        (tmp_path / "quantize" / "engine.py").write_text(text)
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", text]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)

    commit("first")
    sources.note("speed.csv")
    assert sources.ages() == []
    commit("second")
    (age,) = sources.ages()
    assert (age.file, age.changes) == ("speed.csv", 1)
    (results / "new.csv").write_text("2\n")
    assert "does not know" in str(sources.ages()[0])
