"""Files of others through the commands: refused by name, stopped in time, killed by Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from foundation.threads import cores
from tests.edgequant.conftest import Run
from tests.evaluation.child.foreign_cases import pooled, save_endless, save_network

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ("--mean", "127.5", "--std", "127.5", "--crop", "stretch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images of three classes."""
    path = tmp_path_factory.mktemp("foreign") / "data.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), np.uint8)
    np.savez(path, images=pixels, labels=np.arange(9) % 3)
    return path


@pytest.mark.parametrize("command", ["evaluate", "lint"])
def test_a_graph_without_end_is_stopped(run: Run, data: Path, tmp_path: Path, command: str) -> None:
    path = save_endless(tmp_path / "net.onnx")
    outcome = run(command, path, "--data", data, *CONTRACT, "--time-limit", "1")
    assert outcome.code == 2
    assert "within 1 seconds" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate", "lint"])
def test_an_operator_of_elsewhere_is_named(
    run: Run, data: Path, tmp_path: Path, command: str
) -> None:
    shell = helper.make_node("Shell", ["image"], ["scores"], domain="mine")
    path = save_network(tmp_path / "net.onnx", [shell], [])
    outcome = run(command, path, "--data", data, *CONTRACT)
    assert outcome.code == 2
    assert "mine.Shell" in outcome.err


@pytest.mark.parametrize("trust", ["--trust", "--trust-lambda"])
def test_a_trusted_file_runs_in_this_process(
    run: Run, data: Path, tmp_path: Path, trust: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("evaluation.child.session.Child", refuse)
    path = save_network(tmp_path / "net.onnx", pooled(), [])
    outcome = run("evaluate", path, "--data", data, *CONTRACT, trust, "--json")
    assert outcome.json["n"] == 9


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e400"])
def test_a_time_limit_that_is_none_is_refused(
    run: Run, data: Path, tmp_path: Path, value: str
) -> None:
    path = save_network(tmp_path / "net.onnx", pooled(), [])
    outcome = run("evaluate", path, "--data", data, *CONTRACT, "--time-limit", value)
    assert outcome.code == 2
    assert "--time-limit" in outcome.err


@pytest.mark.parametrize("threads", [cores() + 1, 100_000, 10**10])
def test_more_threads_than_cores_are_refused(
    run: Run, data: Path, tmp_path: Path, threads: int
) -> None:
    path = save_network(tmp_path / "net.onnx", pooled(), [])
    outcome = run("evaluate", path, "--data", data, *CONTRACT, "--threads", threads)
    assert outcome.code == 2
    assert f"from 1 to {cores()} threads, the number of available cores" in outcome.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_ends_the_command_and_its_children(data: Path, tmp_path: Path) -> None:
    path = save_endless(tmp_path / "endless.onnx")
    command = [sys.executable, "-m", "edgequant", "evaluate", path, "--data", data, *CONTRACT]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that a shell has put into the background ignores interrupts, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    children: list[int] = []
    deadline = time.monotonic() + 60
    while not children and time.monotonic() < deadline:
        time.sleep(0.1)
        children = _children(started.pid)
    time.sleep(3)  # until the graph runs
    os.kill(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "interrupted; the unfinished file was discarded" in told
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def _children(process: int) -> list[int]:
    """Processes whose parent it is, by the fourth field of their ``stat``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # has ended meanwhile
            continue
        if fields[1] == str(process):
            found.append(int(path.parent.name))
    return found
