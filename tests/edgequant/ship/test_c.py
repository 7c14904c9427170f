"""Bundles of C: written, verified, limited, and named by a prefix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgequant.artifacts import read_json
from edgequant.ship.bundle import MANIFEST
from tests.edgequant.conftest import Run


def ship(run: Run, model: Path, photos: Path, output: Path, *more: object):
    return run(
        "ship", "--model", model, "--calibration", f"{photos}:train", "--vectors", 2,
        "--for", "c", "--output", output, *more,
    )  # fmt: skip


@pytest.mark.slow
def test_a_bundle_of_c_is_proved_and_verified(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-sram", "1M")
    assert outcome.code == 0, outcome.err
    assert {"car.h", "car.c", "car_kernels.c", "car_weights.c"} <= {
        path.name for path in (out / "c").iterdir()
    }
    target = read_json(out / MANIFEST)["targets"]["c"]
    verdicts = {proof["name"]: proof["verdict"] for proof in target["proofs"]}
    assert verdicts["litert"] == "proven"
    assert verdicts["c99"] == ("proven" if shutil.which("cc") else "not run")
    assert target["budgets"][0]["sram"] > 0
    assert run("verify", out).code == 0
    limited = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-sram", "1K")
    assert limited.code == 1
    assert "c takes at most 1,024 bytes of sram" in limited.err
    counted = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-instructions", 1)
    assert counted.code == 1
    assert "--max-instructions" in counted.err


def test_a_limit_of_instructions_is_of_c_alone(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "ship", "--model", tiny_keras, "--calibration", f"{photos}:train", "--for", "onnx-mobile",
        "--output", tmp_path / "out", "--max-instructions", 5,
    )  # fmt: skip
    assert outcome.code == 2
    assert "--max-instructions is a limit of c" in outcome.err


def test_a_prefix_is_refused_before_anything_is_made(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--prefix", "int")
    assert outcome.code == 2
    assert "--prefix takes a C identifier" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_folder_without_cmsis_nn_is_refused_before_anything_is_made(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--cmsis-nn", photos)
    assert outcome.code == 2
    assert "--cmsis-nn takes a folder with CMSIS-NN's sources" in outcome.err
    assert not list(tmp_path.iterdir())
