"""Commit of each stored result, and results that are older than the engine.

``python -m benchmarks.sources`` names the results that were measured before the last change of the
engine or of the exporters (``make lint`` runs it; it never fails). With names of files in
``benchmarks/results``, it notes the current commit as theirs.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from foundation.atomic import write_whole

RESULTS = Path(__file__).parent / "results"
SOURCES = RESULTS / "sources.csv"
ENGINE = ("quantize", "network", "export")
"""Folders whose code decides the contents of the measured files."""
_FIELDS = ("file", "commit")


@dataclass(frozen=True)
class Age:
    """Age of a stored result.

    Attributes:
        file: name in ``benchmarks/results``.
        commit: commit that measured it; empty if unknown.
        changes: number of commits to ``ENGINE`` since then; None if git does not know.
    """

    file: str
    commit: str
    changes: int | None

    def __str__(self) -> str:
        if self.changes is None:
            return f"{self.file}: git does not know the commit {self.commit or '(none noted)'}"
        return f"{self.file}: measured at {self.commit}, {self.changes} commits to the engine since"


def commits() -> dict[str, str]:
    """Commits by name of the file in ``benchmarks/results``."""
    with SOURCES.open(newline="", encoding="utf-8") as handle:
        return {row["file"]: row["commit"] for row in csv.DictReader(handle)}


def note(*files: str) -> None:
    """Note the current commit as that of these files in ``benchmarks/results``."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    if commit is None:
        raise SystemExit("results are measured in a git checkout, so that their commit is known")
    table = {**commits(), **dict.fromkeys(files, commit)}

    def put(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(_FIELDS)
            writer.writerows(sorted(table.items()))

    write_whole(SOURCES, put)


def ages() -> list[Age]:
    """Stored results that are older than the engine, or of unknown age."""
    known = commits()
    stored = sorted(p.name for p in RESULTS.iterdir() if p.name != SOURCES.name)
    stored_ages = [Age(name, known.get(name, ""), _changes(known.get(name, ""))) for name in stored]
    return [age for age in stored_ages if age.changes != 0]


def _changes(commit: str) -> int | None:
    """Number of commits to the engine since then, including those that only move files."""
    if not commit:
        return None
    count = _git("rev-list", "--count", f"{commit}..HEAD", "--", *ENGINE)
    return None if count is None else int(count)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - whichever git the user has
            cwd=RESULTS.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    if sys.argv[1:]:
        note(*sys.argv[1:])
    for age in ages():
        print(age)
