"""Proofs: a missing runtime, one that ends its process, and compilers that refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.proofs.proof import (
    ProofRequest,
    Verdict,
    proofs,
    run_worker,
    runtime_paths,
)
from export.bundles import c_sources as c
from export.bundles.c_inputs import CInput
from export.bundles.microcontroller import pixel_table
from export.bundles.target import VECTORS, Vectors
from foundation.errors import InvalidInputError

CONTRACT = Preprocessing(size=(4, 4), crop=Crop.STRETCH, labels=("a", "b"))
ENDS = c.Ends(1 / 127.5, -1, 0.1, 0, 2)


def interpreter(folder: Path, text: str) -> Path:
    """A script in place of a Python interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def request_here(tmp_path: Path) -> ProofRequest:
    (tmp_path / "folder").mkdir()
    (tmp_path / "scratch").mkdir()
    return ProofRequest(tmp_path / "folder", tmp_path / "scratch")


def test_a_runtime_that_is_missing_is_named(request_here: ProofRequest) -> None:
    values = {"task": "arena", "model": "none"}
    assert run_worker("tflite_micro_run", request_here, values).missing == "tflite_micro"
    assert run_worker("vela_compile", request_here, values).missing == "ethos-u-vela"


@pytest.mark.parametrize(
    ("text", "word"),
    [("kill -ABRT $$", "stopped by signal 6"), ("echo oops; exit 3", "exit code 3: oops")],
)
def test_a_runtime_that_dies_is_a_failure_and_no_crash(
    tmp_path: Path, request_here: ProofRequest, text: str, word: str
) -> None:
    request = ProofRequest(request_here.folder, request_here.scratch, interpreter(tmp_path, text))
    reply = run_worker("tflite_micro_run", request, {"task": "arena"})
    assert reply.missing is None
    assert reply.error is not None
    assert word in reply.error


def test_runtime_paths_are_checked(tmp_path: Path) -> None:
    assert runtime_paths((f"vela={tmp_path}",)) == {"vela": tmp_path}
    for text in ("vela", "vela=/no/such/place", f"ethos={tmp_path}", "vela="):
        with pytest.raises(InvalidInputError, match="--runtime takes NAME=PATH"):
            runtime_paths((text,))


def sources(folder: Path, name: str = "net") -> None:
    """The C++ sources of a network of two classes, without a model that runs."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    table = pixel_table(CONTRACT, ENDS)
    inputs = np.stack([table[i][pixels[..., i]] for i in range(3)], axis=-1)
    outputs = rng.integers(-128, 128, (2, 2)).astype(np.int8)
    texts = {
        "model_data.h": c.model_header(name),
        "model_data.cc": c.model_source(name, b"\x1c\0\0\0TFL3" + bytes(20)),
        "model_contract.h": c.contract_header(name, CONTRACT, ENDS),
        "model_contract.cc": c.contract_source(name, CONTRACT, table),
        "model_ops.h": c.operators_header(name, ("ADD", "CONV_2D")),
        "model_arena.h": c.arena_header(name, None),
        "model_vectors.h": c.vectors_header(name, CInput(CONTRACT), 2),
        "model_vectors.cc": c.vectors_source(name, CInput(CONTRACT), pixels, outputs),
        "model_runner.h": c.runner_header(name, CInput(CONTRACT)),
        "model_runner.cc": c.runner_source(name, CInput(CONTRACT)),
    }
    for file, text in texts.items():
        (folder / file).write_text(text)
    Vectors(inputs, outputs, "test").write(folder / VECTORS, "int8")


def test_sources_compile_link_and_fill_the_input(request_here: ProofRequest) -> None:
    sources(request_here.folder)
    result = proofs()["cpp17"].run(request_here)
    assert result.verdict is Verdict.PROVEN, result.sentence


@pytest.mark.parametrize(
    ("file", "old", "new", "word"),
    [
        ("model_runner.cc", "int v = 0", "int unused; int v = 0", "refuses the sources"),
        ("model_contract.cc", "kPixelToInput[3][256]", "kPixels[3][256]", "refuses the sources"),
        ("model_data.cc", "0x54, 0x46, 0x4c, 0x33", "0x54, 0x46, 0x4c, 0x32", "the program fails"),
        ("model_ops.h", "Resolver<2>", "Resolver<3>", "the program fails"),
        ("model_contract.h", "rgb[i + c]", "rgb[i + 2 - c]", "FillInput gives other inputs"),
    ],
)
def test_broken_sources_are_found(
    request_here: ProofRequest, file: str, old: str, new: str, word: str
) -> None:
    sources(request_here.folder)
    path = request_here.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = proofs()["cpp17"].run(request_here)
    assert result.verdict is Verdict.FAILED
    assert word in result.sentence


def test_vela_lines_become_figures() -> None:
    """Fallbacks in the log of Vela 5.2."""
    from evaluation.proofs.workers.vela_compile import figures

    log = (
        "Warning (supported operators) operator: CONV_2D, ofm: 'x/y'\n"
        "Reason: Stride values must be small\nmore\n\n"
        "Warning (supported operators) operator: MEAN, ofm: 'z'\nReason: Too large\n\n"
        "CPU operators = 2 (20.0%)\nNPU operators = 8 (80.0%)\n"
    )
    summary = {
        "system_config": "S", "memory_mode": "M", "core_clock": "500000000.0",
        "cycles_total": "702380", "inferences_per_second": "711.86",
        "sram_memory_used": "66.078125",
        "off_chip_flash_memory_used": "509.328125", "on_chip_flash_memory_used": "0",
        "dram_memory_used": "0.0",
    }  # fmt: skip
    row = figures(summary, log)
    assert (row["npu_percent"], row["npu_operators"], row["cpu_operators"]) == (80.0, 8, 2)
    assert (row["sram_bytes"], row["flash_bytes"], row["clock_mhz"]) == (67664, 521552, 500)
    assert row["fallbacks"] == [
        {"operator": "CONV_2D", "tensor": "x/y", "reason": "Stride values must be small; more"},
        {"operator": "MEAN", "tensor": "z", "reason": "Too large"},
    ]


def test_node_without_the_package_is_not_run(
    request_here: ProofRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node_modules in the working folder may be anybody's, so it is not used."""
    package = request_here.scratch / "node_modules/onnxruntime-node/package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"version": "1"}')
    monkeypatch.chdir(request_here.scratch)
    result = proofs()["onnxruntime-node"].run(request_here)
    assert result.verdict is Verdict.NOT_RUN
    assert "npm install onnxruntime-node" in result.sentence


def test_workers_import_nothing_of_ours() -> None:
    from edgequant.docs import HOME
    from edgequant.rooms import ROOMS

    for script in (HOME / "evaluation/proofs/workers").glob("*.py"):
        text = script.read_text()
        for room in ("edgequant", *ROOMS):
            assert f"from {room}" not in text
            assert f"import {room}" not in text


def test_a_childs_environment_has_no_pythonpath(
    tmp_path: Path, request_here: ProofRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    script = 'echo "{\\"path\\": \\"$PYTHONPATH\\"}" > "$4"'
    request = ProofRequest(request_here.folder, request_here.scratch, interpreter(tmp_path, script))
    reply = run_worker("tflite_micro_run", request, {})
    assert json.loads(json.dumps(reply.values["path"])) == ""
    assert os.environ["PYTHONPATH"] == "/somewhere"
