"""``edgequant plan`` and ``edgequant sensitivity``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.edgequant.conftest import Run


@pytest.fixture(scope="module")
def plan(tiny_int8: Path) -> Path:
    return tiny_int8.with_suffix(".plan")


def test_a_plan_lies_beside_the_file_and_in_its_sums(plan: Path) -> None:
    assert plan.is_file()
    assert plan.name in (plan.parent / "SHA256SUMS").read_text()


def test_show_prints_every_tensor(run: Run, plan: Path) -> None:
    shown = run("plan", "show", plan)
    assert shown.code == 0, shown.err
    values = run("plan", "show", plan, "--json").json
    names = {row["tensor"] for row in values["tensors"]}
    assert {"image", "scores", "re_lu", "re_lu.weight"} <= names
    assert all(name in shown.out for name in names)
    assert values["granularity"] == "per-channel"
    assert values["settings"]["calibration_images"] == 12
    (weight,) = (row for row in values["tensors"] if row["tensor"] == "re_lu.weight")
    assert weight["scales"] == "40, axis 0"


def test_diff_tells_equal_plans_from_others(
    run: Run, plan: Path, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    same = run("plan", "diff", plan, plan)
    assert same.code == 0
    assert "the same parameters and integers" in same.out
    made = run(
        "quantize", "--model", tiny_keras, "--recipe", "onnx-int8", "--calibration",
        f"{photos}:train", "--output", tmp_path, "--ranges", "percentile", "--keep-float", "re_lu",
        "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    other = Path(made.json["artifact"]).with_suffix(".plan")
    found = run("plan", "diff", plan, other, "--json")
    assert found.code == 1
    assert not found.json["same"]
    parts = {(row["name"], row["part"]) for row in found.json["differences"]}
    assert ("", "float ops") in parts
    assert ("re_lu.weight", "tensor") in parts
    assert "differences" in run("plan", "diff", plan, other).err


def test_apply_writes_the_same_integers_without_calibration(
    run: Run, plan: Path, tiny_int8: Path, tiny_keras: Path, tmp_path: Path
) -> None:
    applied = run(
        "plan", "apply", plan, "--model", tiny_keras, "--recipe", "tflite-int8,onnx-int8",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    assert applied.code == 0, applied.err
    tflite, onnx = (Path(row["artifact"]) for row in applied.json["artifacts"])
    assert tflite.read_bytes() == tiny_int8.read_bytes()
    assert tflite.with_suffix(".plan").read_bytes() == plan.read_bytes()
    assert run("parity", tflite, onnx, "--strict", "--limit", "2").code == 0


def test_apply_refuses_another_network_another_recipe_and_a_damaged_plan(
    run: Run, plan: Path, tiny_keras: Path, tmp_path: Path
) -> None:
    output = tmp_path / "o"
    base = ("--recipe", "tflite-int8", "--output", output)
    other = run("plan", "apply", plan, "--model", "mobilenet_v2_small", *base)
    assert other.code == 2
    assert "the network that it was made for" in other.err
    for recipe in ("tflite-int8-per-tensor", "tflite-float32", "onnx-int8-full-range"):
        refused = run(
            "plan", "apply", plan, "--model", tiny_keras, "--recipe", recipe, "--output", output
        )
        assert refused.code == 2
        assert recipe in refused.err
    (tmp_path / "cut.plan").write_bytes(plan.read_bytes()[:100])
    cut = tmp_path / "cut.plan"
    applied = ("apply", cut, "--model", tiny_keras, *base)
    for command in (applied, ("show", cut), ("diff", plan, cut)):
        damaged = run("plan", *command)
        assert damaged.code == 2
        assert "edgequant plan 1" in damaged.err
    assert not output.exists()


def edited(plan: Path, path: Path, name: str, factor: float, table: str = "activations") -> Path:
    """The plan with the scales of one tensor times a factor."""
    with np.load(plan) as archive:
        arrays = {key: archive[key] for key in archive.files}
    header = json.loads(arrays["header"].tobytes())
    params = header[table][name]
    params["scale"] = [factor * scale for scale in params["scale"]]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with path.open("wb") as handle:
        np.savez(handle, **arrays)
    return path


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("image", "activations"),
        ("scores", "activations"),
        ("re_lu.weight", "constants"),
        ("scores.bias", "constants"),
    ],
)
@pytest.mark.parametrize("factor", [1000.0, 1e25])
def test_edited_scales_are_not_applied(
    run: Run, plan: Path, tiny_keras: Path, tmp_path: Path, name: str, table: str, factor: float
) -> None:
    other = edited(plan, tmp_path / "edited.plan", name, factor, table)
    applied = run(
        "plan", "apply", other, "--model", tiny_keras, "--recipe", "tflite-int8", "--output",
        tmp_path / "o",
    )  # fmt: skip
    assert applied.code == 2, applied
    assert applied.err.count("\n") == 1
    assert not (tmp_path / "o").exists()
    assert run("plan", "show", other).code == (2 if factor > 1e20 else 0)


def test_names_in_a_plan_are_no_markup_and_move_no_cursor(
    run: Run, plan: Path, tmp_path: Path
) -> None:
    with np.load(plan) as archive:
        arrays = {key: archive[key] for key in archive.files}
    header = json.loads(arrays["header"].tobytes())
    header["activations"]["[/x] \x1b[31m"] = header["activations"]["image"]
    header["notes"] = ["\x1b[2J", "\ud800"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with (tmp_path / "odd.plan").open("wb") as handle:
        np.savez(handle, **arrays)
    shown = run("plan", "show", tmp_path / "odd.plan")
    assert shown.code == 0, shown.err
    assert "\x1b" not in shown.out
    assert "[/x]" in shown.out
    assert run("plan", "show", tmp_path / "odd.plan", "--json").json["notes"][0] == "\x1b[2J"


def test_sensitivity_ranks_layers_in_files_and_on_a_page(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    base = (
        "sensitivity", "--model", tiny_keras, "--calibration", f"{photos}:train",
        "--output", tmp_path,
    )  # fmt: skip
    report = run(*base, "--json").json
    assert report["n"] == 6  # half of the calibration images
    assert {row["name"] for row in report["rows"]} >= {"image", "re_lu", "scores"}
    with (tmp_path / "mine-sensitivity.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["name"] for row in rows] == [row["name"] for row in report["rows"]]
    assert (tmp_path / "mine-sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert "re_lu" in (tmp_path / "mine-sensitivity.html").read_text(encoding="utf-8")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shown = run(*base)
    assert "re_lu" in shown.out
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = run(*base, "--recipe", "onnx-dynamic")
    assert refused.code == 2
    assert "onnx-dynamic" in refused.err
