"""Written artifacts as commands show them: their paths, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgequant.artifacts import Artifact, remarks_of
from edgequant.cli.terminal import Terminal


def artifact_row(artifact: Artifact) -> dict[str, Any]:
    """Artifact as plain values for JSON."""
    return {
        "artifact": str(artifact.path),
        "recipe": artifact.recipe.name,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "unchanged": artifact.unchanged,
        "remarks": list(remarks_of(artifact)),
        "files": [str(path) for path in artifact.files()],
        "kept": [str(path) for path in artifact.kept],
    }


def say_artifact(artifact: Artifact, terminal: Terminal) -> None:
    """Print the files of an artifact."""
    state = "unchanged since the last run" if artifact.unchanged else "written"
    terminal.say(f"{artifact.recipe.name}: {state}")
    for path in artifact.files():
        terminal.say(f"  {path}")
    terminal.say(f"  sha256 {artifact.sha256}")
    say_kept(artifact.kept, terminal)


def say_remarks(artifacts: Iterable[Artifact], terminal: Terminal) -> None:
    """Note the remarks of plans, each once with the names of its recipes."""
    names: dict[str, list[str]] = {}
    for artifact in artifacts:
        for remark in dict.fromkeys(remarks_of(artifact)):
            names.setdefault(remark, []).append(artifact.recipe.name)
    for remark, recipes in names.items():
        terminal.note(f"{', '.join(recipes)}: {remark}")


def say_kept(paths: Iterable[Path], terminal: Terminal) -> None:
    """Note foreign files that were renamed to make room."""
    for path in paths:
        terminal.note(f"a foreign file was in the way and was renamed to {path}")
