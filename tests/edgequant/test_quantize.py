"""``edgequant quantize`` on anybody's model."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgequant.candidates import int8_remarks
from evaluation.machine import this_machine
from quantize.recipes import RECIPES
from tests.edgequant.conftest import Run


def test_int8_file_comes_with_record_labels_and_hashes(tiny_int8: Path) -> None:
    folder = tiny_int8.parent
    record = json.loads((folder / "mine-tflite-int8.recipe.json").read_text())
    digest = hashlib.sha256(tiny_int8.read_bytes()).hexdigest()
    assert record["sha256"] == digest
    assert record["recipe"]["name"] == "tflite-int8"
    assert record["calibration"]["images"] == 12
    assert (folder / "mine-tflite-int8.labels.txt").read_text() == "a\nb\nc\n"
    assert f"{digest}  {tiny_int8.name}" in (folder / "SHA256SUMS").read_text()


def test_second_run_says_unchanged_and_force_repeats_byte_for_byte(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    command = ("quantize", "--model", tiny_keras, "--recipe", "tflite-int8")
    rest = ("--calibration", f"{photos}:train", "--output", tmp_path, "--json")
    first = run(*command, *rest).json
    again = run(*command, *rest).json
    forced = run(*command, *rest, "--force").json
    assert (first["unchanged"], again["unchanged"], forced["unchanged"]) == (False, True, False)
    assert first["sha256"] == again["sha256"] == forced["sha256"]


def test_a_changed_request_or_a_damaged_file_is_written_again(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    command = ("quantize", "--model", tiny_keras, "--recipe", "tflite-int8")
    rest = ("--calibration", f"{photos}:train", "--output", tmp_path, "--json")
    first = run(*command, *rest).json
    assert not run(*command, *rest, "--io", "uint8").json["unchanged"]
    assert not run(*command, *rest).json["unchanged"]
    Path(first["artifact"]).write_bytes(b"damaged")
    mended = run(*command, *rest).json
    assert not mended["unchanged"]
    assert mended["sha256"] == first["sha256"]


@pytest.mark.parametrize("recipe", [r.name for r in RECIPES])
def test_every_recipe_of_a_foreign_model_is_measured(
    run: Run, recipe: str, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", recipe, "--calibration", f"{photos}:train",
        "--data", f"{photos}:test", "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (row,) = (row for row in outcome.json["report"]["rows"] if row["name"] == recipe)
    assert row["n"] == 18
    assert row["sqnr_db"] > 10
    assert row["size_bytes"] == Path(outcome.json["artifact"]).stat().st_size


@pytest.mark.parametrize("kind", ["h5", "savedmodel"])
def test_legacy_files_work_the_same(
    run: Run, kind: str, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    import keras

    model = keras.models.load_model(tiny_keras)
    path = tmp_path / ("mine.h5" if kind == "h5" else "mine")
    if kind == "h5":
        model.save(path)
    else:
        model.export(path, verbose=False)
    digests = set()
    for source in (tiny_keras, path):
        outcome = run(
            "quantize", "--model", source, "--preprocessing", tiny_keras.with_suffix(".toml"),
            "--recipe", "tflite-float32", "--data", f"{photos}:test",
            "--output", tmp_path / source.suffix.strip("."), "--json",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        rows = outcome.json["report"]["rows"]
        assert rows[1]["sqnr_db"] is None or rows[1]["sqnr_db"] > 100
        digests.add(round(rows[1]["metrics"]["top1"], 6))
    assert len(digests) == 1


def test_two_recipes_can_share_a_folder(run: Run, tiny_keras: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("the user's own")
    for recipe in ("tflite-float16", "tflite-float32"):
        arguments = ("quantize", "--model", tiny_keras, "--recipe", recipe, "--output", tmp_path)
        outcome = run(*arguments, "--json")
        assert outcome.code == 0, outcome.err
        assert all(recipe in path or "SHA256SUMS" in path for path in outcome.json["files"])
    listed = [line.split("  ")[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert listed == sorted(listed)
    assert "mine-tflite-float16.tflite" in listed
    assert "mine-tflite-float32.tflite" in listed
    assert "notes.md" not in listed


def test_contract_from_flags_alone(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    model = tmp_path / "bare.keras"
    model.write_bytes(tiny_keras.read_bytes())
    command = ("quantize", "--model", model, "--recipe", "tflite-int8", "--output", tmp_path / "o")
    refused = run(*command, "--calibration", f"{photos}:train")
    assert refused.code == 2
    assert "--preprocessing FILE.toml" in refused.err
    flags = ("--mean", "127.5,127.5,127.5", "--std", "127.5", "--json")
    assert run(*command, "--calibration", f"{photos}:train", *flags).code == 0


def test_several_recipes_go_into_a_folder_each(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-float16,onnx-float32",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert {p.name for p in tmp_path.iterdir()} == {"tflite-float16", "onnx-float32"}
    assert [row["recipe"] for row in outcome.json["artifacts"]] == [
        "tflite-float16",
        "onnx-float32",
    ]


def test_calibration_split_beside_the_data_is_found(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--data", f"{photos}:test",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "mine-tflite-int8.recipe.json").read_text())
    assert record["calibration"]["data"] == f"{photos}:train"


def test_screen_shows_table_and_paths(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--data", f"{photos}:test",
        "--output", tmp_path,
    )  # fmt: skip
    for text in ("keras-float32", "tflite-int8", "top-1 %", "drop, points [95 %]", "Newcombe"):
        assert text in outcome.out
    for path in tmp_path.iterdir():
        assert str(path) in outcome.out
    assert outcome.err == ""


def test_labels_that_change_in_a_file_change_the_artifact(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    (tmp_path / "l.txt").write_text("a\nb\nc\n")
    contract = tiny_keras.with_suffix(".toml").read_text().split("labels")[0]
    (tmp_path / "p.toml").write_text(f'{contract}labels = "l.txt"\n')
    command = (
        "quantize", "--model", tiny_keras, "--preprocessing", tmp_path / "p.toml",
        "--recipe", "tflite-float32", "--output", tmp_path / "o", "--json",
    )  # fmt: skip
    assert not run(*command).json["unchanged"]
    assert run(*command).json["unchanged"]
    (tmp_path / "l.txt").write_text("x\ny\nz\n")
    assert not run(*command).json["unchanged"]


def test_flags_alone_make_a_second_run_unchanged(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    model = tmp_path / "bare.keras"
    model.write_bytes(tiny_keras.read_bytes())
    command = (
        "quantize", "--model", model, "--mean", "0", "--std", "255", "--recipe", "tflite-float32",
        "--output", tmp_path / "o", "--json",
    )  # fmt: skip
    assert not run(*command).json["unchanged"]
    assert run(*command).json["unchanged"]


def test_a_folder_that_lost_a_file_is_made_whole(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    command = (
        "quantize", "--model", tiny_keras, "--recipe", "tflite-float32", "--output", tmp_path,
        "--json",
    )  # fmt: skip
    names = {path.name for path in map(Path, run(*command).json["files"])}
    for name in names:
        (tmp_path / name).unlink()
        assert not run(*command).json["unchanged"], name
        assert {path.name for path in tmp_path.iterdir()} == names
    (tmp_path / "mine-tflite-float32.recipe.json").write_text("{damaged")
    assert not run(*command).json["unchanged"]


def test_a_report_never_outlives_its_file(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    command = (
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--output", tmp_path,
        "--calibration", f"{photos}:train",
    )  # fmt: skip
    assert run(*command, "--data", f"{photos}:test").code == 0
    assert list(tmp_path.glob("*.report.json"))
    assert run(*command, "--io", "uint8").code == 0
    assert not list(tmp_path.glob("*.report.*"))


def test_an_operator_left_in_float_is_named(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    import keras

    model = keras.models.load_model(tiny_keras)
    model = keras.Model(model.input, keras.layers.Softmax()(model.output))
    model.save(tmp_path / "mine.keras")
    (tmp_path / "mine.toml").write_bytes(tiny_keras.with_suffix(".toml").read_bytes())
    outcome = run(
        "quantize", "--model", tmp_path / "mine.keras", "--recipe", "onnx-int8",
        "--data", f"{photos}:test", "--output", tmp_path / "o", "--json",
    )  # fmt: skip
    assert outcome.json["report"]["rows"][1]["remarks"] == ["computes in float: 1 Softmax"]


@pytest.mark.parametrize(
    ("recipe", "runtime", "flags", "word"),
    [
        ("onnx-int8-full-range", "onnxruntime", ("avx2",), "saturate 16-bit sums on this CPU"),
        ("onnx-int8-full-range", "onnxruntime", ("avx2", "avx_vnni"), "fine on this CPU"),
        ("onnx-int8-full-range", "onnxruntime-precise", ("avx2",), None),
        ("onnx-int8", "onnxruntime", ("avx2",), None),
    ],
)
def test_the_user_of_a_file_that_saturates_is_told(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path,
    recipe: str, runtime: str, flags: tuple[str, ...], word: str | None,
) -> None:  # fmt: skip
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", recipe, "--calibration", f"{photos}:train",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    machine = replace(this_machine(), architecture="x86_64", flags=flags)
    remarks = int8_remarks(Path(outcome.json["artifact"]), runtime, machine)
    assert [word in remark for remark in remarks] == ([] if word is None else [True])


@pytest.mark.slow
def test_a_size_chooses_the_bits_of_each_weight(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    command = (
        "quantize", "--model", tiny_keras, "--calibration", f"{photos}:train",
        "--optimize", "fast", "--output", tmp_path, "--recipe",
    )  # fmt: skip
    least = run(*command, "tflite-int4", "--max-size", "100")
    assert least.code == 2
    smallest = int(re.findall(r"--max-size (\d+) or more", least.err)[0])
    made = run(*command, "tflite-int4", "--max-size", smallest + 60, "--json")
    assert made.code == 0, made.err
    assert Path(made.json["artifact"]).stat().st_size <= smallest + 60
    assert any("chosen for --max-size" in remark for remark in made.json["remarks"])
    again = run(*command, "tflite-int4", "--max-size", smallest + 60, "--json")
    assert again.json["unchanged"]
    assert "use tflite-int8" in run(*command, "tflite-int4", "--max-size", "9000000").err
    assert "for tflite-int4" in run(*command, "tflite-int8", "--max-size", "9000000").err


@pytest.mark.slow
def test_a_limit_on_the_loss_gives_weights_8_bits(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--calibration", f"{photos}:train",
        "--data", f"{photos}:test", "--optimize", "best", "--output", tmp_path,
        "--recipe", "tflite-int4", "--max-drop", "-99", "--max-float-share", "0.9", "--json",
    )  # fmt: skip
    assert outcome.code == 1  # no file gains that much
    record = json.loads(next(tmp_path.glob("*.recipe.json")).read_text())
    steps = record["repair"]["steps"]
    narrow = [len(step.get("narrow_ops", ())) for step in steps]
    assert narrow[0] == max(narrow)
    assert 1 <= min(narrow) < narrow[0], steps
