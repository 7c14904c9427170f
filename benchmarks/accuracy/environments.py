"""Environments of the peers (``make peers``): ``python -m benchmarks.accuracy.environments``.

One virtual environment for each requirements file in benchmarks/peers, under .peers/NAME, separate
from the product's. If one cannot be made, the reason is stored and becomes the peer's row.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.peer import HOME, peers, requirements

PEERS = HOME / ".peers"
_READY = ".ready"
_FAILED = ".failed"


@dataclass(frozen=True)
class Environment:
    """Environment of a peer.

    Attributes:
        python: path of the interpreter.
        reason: reason why the peer cannot run; empty if it can.
    """

    python: Path
    reason: str = ""


def environment(module: str, home: Path = PEERS) -> Environment:
    """Environment of a peer in its current state."""
    wanted = requirements(module)
    if wanted is None:
        return Environment(Path(sys.executable))
    folder = home / module
    python = folder / "bin" / "python"
    failed = folder / _FAILED
    if _text(failed).startswith(_digest(wanted)):
        return Environment(python, f"not installed: {_text(failed).partition(' ')[2]}")
    if _text(folder / _READY) != _digest(wanted):
        return Environment(python, "not installed: run make peers")
    return Environment(python)


def install(module: str, home: Path = PEERS) -> Environment:
    """Make the environment of a peer, unless it is up to date.

    Returns:
        The environment, with pip's reason if pip failed.
    """
    wanted = requirements(module)
    if wanted is None or not environment(module, home).reason:
        return environment(module, home)
    folder = home / module
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    pip = _pip(python)
    fill = [*pip, "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)]
    for command in (make, fill):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = _reason(done.stderr)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _FAILED).write_text(f"{_digest(wanted)} {reason}", encoding="utf-8")
            return environment(module, home)
    (folder / _READY).write_text(_digest(wanted), encoding="utf-8")
    return environment(module, home)


def _pip(python: Path) -> list[str]:
    """Command of a pip that installs into another environment: PYTHON's, as ours has none."""
    outer = os.environ.get("PYTHON", "python3")
    return [outer, "-m", "pip", "--python", str(python)]


def _reason(stderr: str) -> str:
    """Last error message of pip, on one line."""
    lines = [line for line in stderr.splitlines() if re.match(r"(ERROR|error)", line)]
    return (lines or stderr.splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main(names: list[str]) -> None:
    """Make the named environments, or all if none is named."""
    for name in names or peers():
        made = install(name)
        where = "the product's" if requirements(name) is None else str(made.python.parent.parent)
        print(f"{name:20} {made.reason or f'ready in {where}'}")


if __name__ == "__main__":
    main(sys.argv[1:])
