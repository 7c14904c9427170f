"""Jobs of the peers as child processes, whose results are cached by a hash of their inputs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.accuracy.environments import PEERS, Environment
from benchmarks.accuracy.peer import HOME, Job, Peer, requirements

CACHE = PEERS / "cache"
_RESULT = "result.json"
_TICK = 0.5


class Effort(StrEnum):
    """Which jobs run; a job with cached files never runs again."""

    KEPT = "kept"
    """None; cached files are measured."""
    USUAL = "usual"
    """Jobs without a cached result, except slow ones."""
    SLOW = "slow"
    """Jobs without a cached result."""
    RETRY = "retry"
    """Also jobs that failed before."""


@dataclass(frozen=True)
class Limits:
    """Limits of a job.

    Attributes:
        seconds: wall time, imports included.
        peak_bytes: resident memory, checked twice a second on systems with /proc.
    """

    seconds: float = 600
    peak_bytes: int = 5 * 1024**3


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        files: written models, sorted by name; empty if it failed.
        seconds: time of the quantization; None if it failed.
        versions: versions of the peer's distributions.
        reason: reason why there are no files; empty if there are.
        kept: whether the result was cached.
    """

    files: tuple[Path, ...] = ()
    seconds: float | None = None
    versions: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    kept: bool = False


def run_job(
    module: str,
    peer: Peer,
    job: Job,
    where: Environment,
    *,
    limits: Limits,
    inputs: str,
    effort: Effort = Effort.USUAL,
    cache: Path = CACHE,
) -> Outcome:
    """Run a job, or return its cached result.

    Args:
        module: name of a module in benchmarks/peers.
        peer: peer of that module.
        job: job, whose output is set here.
        where: environment of the peer.
        limits: limits of the child process.
        inputs: digest of model and calibration tensors.
        effort: which jobs run.
        cache: folder of the results.
    """
    if where.reason:
        return Outcome(reason=where.reason)
    setting = next(s for s in peer.settings if s.name == job.setting)
    if job.granularity not in setting.granularities:
        return Outcome(reason=f"has no {job.granularity} weights in this setting")
    folder = cache / f"{module}-{_key(module, peer, job, where, inputs)}"
    before = _stored(folder)
    if before is not None and not (effort is Effort.RETRY and before.reason):
        return replace(before, kept=True)
    if effort is Effort.KEPT:
        return Outcome(reason="not run yet")
    if setting.slow and effort is Effort.USUAL:
        return Outcome(reason="left out: takes many minutes; SLOW=1 does it")
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".running-", dir=cache))
    try:
        values = _child(module, replace(job, output=str(scratch / "files")), where, limits, scratch)
        (scratch / _RESULT).write_text(json.dumps(values), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    stored = _stored(folder)
    assert stored is not None
    return stored


def _child(
    module: str, job: Job, where: Environment, limits: Limits, scratch: Path
) -> dict[str, Any]:
    """Run the child in a scratch folder; returns the values to store."""
    Path(job.output).mkdir()
    job_file, result_file = scratch / "job.json", scratch / "child.json"
    job_file.write_text(job.to_json(), encoding="utf-8")
    child = ["-m", "benchmarks.accuracy.child", module, str(job_file), str(result_file)]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environ["PYTHONPATH"] = str(HOME)
    with (scratch / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [str(where.python), *child],
            cwd=scratch,
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        reason = _watch(process, limits)
    if not reason and process.returncode:
        reason = f"failed: {_last_line(scratch / 'log.txt')}"
    if reason:
        return {"reason": reason}
    files = [f for f in Path(job.output).iterdir() if f.suffix in (".tflite", ".onnx")]
    if not files:
        return {"reason": "failed: it wrote no file"}
    values: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    return values


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> str:
    """Wait for the child; if it exceeds a limit, kill it and return the reason."""
    deadline = time.monotonic() + limits.seconds
    reason = ""
    try:
        while process.poll() is None and not reason:
            if time.monotonic() > deadline:
                reason = f"skipped: took more than {limits.seconds / 60:g} minutes"
            elif _resident(process.pid) > limits.peak_bytes:
                reason = f"skipped: took more than {limits.peak_bytes / 1024**3:g} GiB of memory"
            else:
                time.sleep(_TICK)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return reason


def _resident(process: int) -> int:
    """Bytes of resident memory; 0 if the system does not report it."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return 1024 * int(sizes[0]) if sizes else 0


def _last_line(log: Path) -> str:
    """Last line of a log, without the names of temporary folders, which every run has others of."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = " ".join((lines or ["it said nothing"])[-1].split())
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/\S*/", "", last)[:200]


def _key(module: str, peer: Peer, job: Job, where: Environment, inputs: str) -> str:
    """Hash of everything that the result of a job depends on."""
    whole = hashlib.sha256()
    source = HOME / "benchmarks" / "peers" / f"{module}.py"
    for path in (source, requirements(module)):
        whole.update(b"" if path is None else path.read_bytes())
    if peer.of_product:
        import edgequant.process  # noqa: F401 - pins our top-level packages
        from edgequant.artifacts import code_digest

        whole.update(code_digest().encode())
    if where.python == Path(sys.executable):
        whole.update(str(peer.versions()).encode())
    whole.update(f"{inputs} {job.granularity} {job.setting}".encode())
    return whole.hexdigest()[:24]


def _stored(folder: Path) -> Outcome | None:
    result = folder / _RESULT
    if not result.is_file():
        return None
    values = json.loads(result.read_text(encoding="utf-8"))
    if values.get("reason"):
        return Outcome(reason=values["reason"])
    files = sorted(f for f in (folder / "files").iterdir() if f.suffix in (".tflite", ".onnx"))
    return Outcome(tuple(files), values["seconds"], tuple(values["versions"].items()))
