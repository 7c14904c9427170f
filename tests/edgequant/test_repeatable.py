"""What the command sets, so that sums of floats have one order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgequant import repeatable
from foundation.threads import OPERATOR_CORES

LOOK = """
import json, os
from edgequant.repeatable import one_order_of_sums
one_order_of_sums()
import numpy, scipy.linalg, threadpoolctl
kernels = [x["architecture"] for x in threadpoolctl.threadpool_info() if x["user_api"] == "blas"]
print(json.dumps({"kernels": kernels, "cores": os.environ["TF_NUM_INTRAOP_THREADS"]}))
"""


def looked(**environment: str) -> dict[str, Any]:
    plain = {k: v for k, v in os.environ.items() if k not in (OPERATOR_CORES, "OPENBLAS_CORETYPE")}
    answer = subprocess.run(
        [sys.executable, "-c", LOOK], env=plain | environment, check=True, capture_output=True
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.skipif(not repeatable._has("avx2", "fma"), reason="OpenBLAS chooses by itself there")
def test_numpy_and_scipy_multiply_with_the_same_kernels_everywhere() -> None:
    assert looked() == {"kernels": ["Haswell", "Haswell"], "cores": "1"}


def test_what_the_user_has_set_stays() -> None:
    found = looked(TF_NUM_INTRAOP_THREADS="2", OPENBLAS_CORETYPE="Nehalem")
    assert found["cores"] == "2"
    assert set(found["kernels"]) != {"Haswell"}


def test_other_cpus_and_systems_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeatable, "_CPU", tmp_path / "absent")
    assert not repeatable._has("avx2")
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu sse2 avx fma\n")
    monkeypatch.setattr(repeatable, "_CPU", tmp_path / "cpuinfo")
    assert repeatable._has("avx", "fma")
    assert not repeatable._has("avx2", "fma")


def described(tmp_path: Path, **fields: str) -> Path:
    lines = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "63", "flags": "avx2 fma"}
    path = tmp_path / "cpuinfo"
    path.write_text("".join(f"{k}\t: {v}\n" for k, v in (lines | fields).items()))
    return path


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, None),
        ({"flags": "avx2 fma avx512f"}, None),
        ({"flags": "avx fma"}, "AVX2"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "23", "model": "1"}, "Zen"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "23", "model": "49"}, None),
        ({"vendor_id": "AuthenticAMD", "cpu family": "26", "model": "2"}, None),
        ({"vendor_id": "HygonGenuine", "cpu family": "24", "model": "0"}, "Zen"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "23", "model": "unknown"}, None),
    ],
)
def test_cpus_with_other_sums_are_known(
    tmp_path: Path, fields: dict[str, str], word: str | None
) -> None:
    reason = repeatable.other_sums("x86_64", described(tmp_path, **fields))
    assert reason is None if word is None else word in str(reason)


def test_other_architectures_have_other_sums_and_a_hidden_cpu_is_taken_as_usual(
    tmp_path: Path,
) -> None:
    assert "aarch64" in str(repeatable.other_sums("aarch64", described(tmp_path)))
    assert repeatable.other_sums("x86_64", tmp_path / "absent") is None
