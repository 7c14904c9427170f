"""``edgequant verify``: proofs that fail, and the digest that names the bundle."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from edgequant.ship.bundle import write_sums
from tests.edgequant.conftest import Run
from tests.edgequant.ship.changes import (
    MICRO,
    manifest,
    pages,
    without,
)


def test_a_damaged_ort_is_a_failed_proof(run: Run, copy: Path) -> None:
    path = copy / "onnx-mobile/mine-int8.ort"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_sums(copy)
    for target in ("android", "ethos-u", MICRO):  # for the time that their proofs take
        shutil.rmtree(copy / target)
        without("targets", target)(copy)
    pages(copy)
    outcome = run("verify", copy)
    assert outcome.code == 1, outcome.err
    assert "does not run mine-int8.ort" in outcome.err
    assert "FAILED" in outcome.out


def test_another_digest_than_the_given_one_is_refused_before_a_look_inside(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    packed = bundle.with_name("mine.zip")
    for path in (packed, bundle):
        outcome = run("verify", path, "--sha256", "0" * 64)
        assert outcome.code == 1
        assert "--sha256" in outcome.err
        for text in ("", "12", "g" * 64):
            assert run("verify", path, "--sha256", text).code == 2
    (tmp_path / "garbage.zip").write_bytes(b"no zip at all")
    assert run("verify", tmp_path / "garbage.zip", "--sha256", "0" * 64).code == 1
    (tmp_path / "empty").mkdir()
    assert run("verify", tmp_path / "empty", "--sha256", "0" * 64).code == 2


@pytest.mark.slow
def test_the_digest_that_ship_prints_is_taken(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = (
        "ship", "--model", tiny_keras, "--calibration", f"{photos}:train", "--vectors", 1,
        "--for", "microcontroller", "--output", output,
    )  # fmt: skip
    made = run(*command)
    assert made.code == 0, made.err
    for path, file in ((tmp_path / "out.zip",) * 2, (output, output / "SHA256SUMS")):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert digest in made.out
        assert not any(digest in p.read_text("latin-1") for p in output.rglob("*") if p.is_file())
        outcome = run("verify", path, "--sha256", digest.upper())
        assert outcome.code == 0, outcome.err
        assert "by the digest in --sha256" in outcome.out
    assert "who made the list is not known" in run("verify", output).out
    assert set(run(*command, "--json").json["sha256"]) == {"zip", "sums"}


def test_a_proof_that_failed_when_the_bundle_was_made_is_not_forgotten(
    run: Run, copy: Path
) -> None:
    told = json.loads((copy / "bundle.json").read_text())["targets"]["ethos-u"]["proofs"]
    at = ("targets", "ethos-u", "proofs", [proof["name"] for proof in told].index("vela"))
    manifest(*at, "verdict", value="failed")(copy)
    manifest(*at, "sentence", value="Vela gives other bytes")(copy)
    for target in ("android", "onnx-mobile", MICRO):
        shutil.rmtree(copy / target)
        without("targets", target)(copy)
    pages(copy)
    outcome = run("verify", copy)
    assert outcome.code == 1, outcome.out
    assert "Vela gives other bytes" in outcome.err
