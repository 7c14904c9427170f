"""``edgequant sweep`` on a tiny network: in processes of ours and of Dask, and what is killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgequant.sweeping.engine import Engine, open_engine
from edgequant.sweeping.running import Ended, Request, run_all
from foundation.errors import InvalidInputError
from tests.edgequant.conftest import Run

CLOCKED = ("seconds", "where", "latency_ms")


def write_plan(tiny_keras: Path, photos: Path, folder: Path) -> Path:
    """Plan of three files of the user's own model."""
    values = {
        "data": f"{photos}:test",
        "calibration": f"{photos}:train",
        "recipes": ["tflite-int8", "onnx-int8", "tflite-float32"],
        "efforts": "fast",
        "latency": False,
        "models": [str(tiny_keras)],
    }
    (folder / "plan.json").write_text(json.dumps(values))
    return folder / "plan.json"


@pytest.fixture
def plan(tiny_keras: Path, photos: Path, tmp_path: Path) -> Path:
    """A plan that may be changed."""
    return write_plan(tiny_keras, photos, tmp_path)


def table(folder: Path) -> list[dict[str, str]]:
    """CSV of a sweep without what was clocked."""
    with (folder / "sweep.csv").open(newline="") as handle:
        return [{k: v for k, v in r.items() if k not in CLOCKED} for r in csv.DictReader(handle)]


def start(plan: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgequant", "sweep", str(plan), "--output", str(output), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(output: Path) -> int:
    """Number of results in the store."""
    return len(list((output / "store/tasks").glob("*.json")))


def wait_for(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    while done(output) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def workers(of: int) -> list[int]:
    """Numbers of the worker processes of a process."""
    text = Path(f"/proc/{of}/task/{of}/children").read_text()
    children = [int(word) for word in text.split()]
    threads = Path(f"/proc/{of}/task").iterdir()
    for thread in threads:
        children += [int(word) for word in (thread / "children").read_text().split()]
    return sorted(set(children))


@pytest.fixture(scope="session")
def whole(
    tiny_keras: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, str]]:
    """Table of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(write_plan(tiny_keras, photos, folder), folder / "out", "--workers", "1")
    _, err = process.communicate()
    assert process.returncode == 0, err
    return table(folder / "out")


@pytest.mark.slow
def test_each_task_is_done_once_and_files_are_those_of_the_command(
    plan: Path, tmp_path: Path, run: Run, tiny_keras: Path, photos: Path
) -> None:
    output = tmp_path / "out"
    first = run("sweep", plan, "--output", output, "--workers", "1", "--json")
    assert first.code == 0, first.err
    rows = first.json["rows"]
    assert [row["recipe"] for row in rows] == ["tflite-int8", "onnx-int8", "tflite-float32"]
    assert all(row["n"] == 18 and row["interval"] and row["macs"] for row in rows)
    quantized = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--optimize", "fast",
        "--calibration", f"{photos}:train", "--output", tmp_path / "one", "--json",
    )  # fmt: skip
    assert rows[0]["sha256"] == quantized.json["sha256"]
    stored = output / "store" / rows[0]["stored"]
    assert stored.read_bytes() == Path(quantized.json["artifact"]).read_bytes()

    before = {p: p.stat().st_mtime_ns for p in (output / "store/tasks").iterdir()}
    damaged = next(iter(before))
    damaged.write_bytes(b'{"key": ')
    again = run("sweep", plan, "--output", output, "--workers", "1", "--json")
    assert "3 tasks, 2 of them done before" in again.err
    after = {p: p.stat().st_mtime_ns for p in (output / "store/tasks").iterdir()}
    assert {p for p in before if before[p] != after[p]} == {damaged}
    state = run("sweep", plan, "--output", output, "--status", "--json").json
    assert (state["done"], state["running"], state["failed"]) == (3, [], [])


@pytest.mark.slow
def test_a_task_that_fails_is_set_aside_and_the_others_are_done(
    plan: Path, tmp_path: Path, run: Run, photos: Path, tiny_keras: Path
) -> None:
    values = json.loads(plan.read_text())
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 nothing")
    contract = tiny_keras.with_suffix(".toml").read_text()
    (tmp_path / "broken.toml").write_text(contract)
    values |= {"models": [*values["models"], "broken.keras"], "recipes": ["tflite-float32"]}
    plan.write_text(json.dumps({**values, "gates": {"max_bytes": 1}}))
    output = tmp_path / "out"
    found = run("sweep", plan, "--output", output, "--workers", "1", "--retries", "1", "--json")
    assert found.code == 1
    assert len(found.json["rows"]) == 1
    (failed,) = found.json["failed"]
    assert failed["attempts"] == 2
    assert "broken.keras" in failed["sentence"]
    assert "1 that were set aside, such as broken tflite-float32" in found.err
    assert found.json["rows"][0]["misses"] == ["max_bytes"]
    assert "broken.keras" in (output / "sweep.html").read_text()
    state = run("sweep", plan, "--output", output, "--status")
    assert "1 of 2 tasks done, 0 begun, 1 set aside, 0 not begun" in state.out


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on(
    plan: Path, tmp_path: Path, whole: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    process = start(plan, output, "--workers", "1")
    wait_for(output, 1, process)
    mine = workers(process.pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in mine):
        assert time.monotonic() < end, "a worker outlived its sweep"
        time.sleep(0.05)
    kept = done(output)
    process = start(plan, output, "--workers", "1")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert f"3 tasks, {kept} of them done before" in err
    assert table(output) == whole


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(
    plan: Path, tmp_path: Path, whole: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    process = start(plan, output, "--workers", "1")
    for count in (0, 1):
        wait_for(output, count, process)
        while not list((output / "store/running").glob("*.json")):
            time.sleep(0.01)
        for worker in workers(process.pid):
            os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert table(output) == whole


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Dask cluster of two workers with processes of their own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as local:
        yield local


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the cluster's own processes and sockets
def test_a_dask_cluster_writes_the_same_table(
    cluster: Any, plan: Path, tmp_path: Path, whole: list[dict[str, str]]
) -> None:
    output = tmp_path / "out"
    process = start(plan, output, "--cluster", cluster.scheduler_address)
    wait_for(output, 1, process)
    first = next(iter(cluster.workers.values()))
    os.kill(first.process.process.pid, signal.SIGKILL)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Dask worker(s)" in err
    assert "dashboard http" in err
    assert "written:" in out
    assert table(output) == whole


def dask(part: str, *words: str) -> subprocess.Popen[bytes]:
    """A scheduler or a worker in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{part}", *words, "--dashboard-address", ":0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the lost connection
def test_requests_outlive_a_scheduler(port: int) -> None:
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{port}"
    started: list[subprocess.Popen[bytes]] = []

    def start_both() -> None:
        started.append(dask("scheduler", "--host", "127.0.0.1", "--port", str(port)))
        started.append(dask("worker", address, "--nthreads", "1", "--no-nanny"))

    def told(ended: Ended) -> None:
        done.append(ended)
        if len(done) == 2:
            for process in started:
                process.kill()
                process.wait()
            start_both()

    done: list[Ended] = []
    start_both()
    try:
        with wait_for_cluster(address) as engine:
            requests = [Request(str(n), str(n), {"do": "state"}) for n in range(6)]
            run_all(requests, engine, 0, told)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert sorted(one.request.key for one in done) == list("012345")
    assert all(one.answer is not None for one in done)


@contextmanager
def wait_for_cluster(address: str) -> Iterator[Engine]:
    """Engine of a cluster that is being started."""
    end = time.monotonic() + 120
    with ExitStack() as stack:
        engine: Engine | None = None
        while engine is None:
            try:
                engine = stack.enter_context(open_engine(address, None))
            except InvalidInputError:
                assert time.monotonic() < end
                time.sleep(0.5)
        yield engine


@pytest.mark.slow
def test_an_address_that_does_not_answer_is_refused_within_seconds(
    plan: Path, tmp_path: Path, run: Run
) -> None:
    pytest.importorskip("distributed")
    start_time = time.monotonic()
    found = run("sweep", plan, "--output", tmp_path / "out", "--cluster", "tcp://127.0.0.1:1")
    assert found.code == 2
    assert "answers within 10 seconds" in found.err
    assert "dask scheduler" in found.err
    assert time.monotonic() - start_time < 20
