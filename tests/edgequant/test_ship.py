"""``edgequant ship`` and ``verify`` without any platform's runtime: files, gates, bad input."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgequant.ship.gates import size_in_bytes
from export.bundles.target import ship_targets
from foundation.errors import InvalidInputError
from tests.edgequant.conftest import Run


def test_each_platform_has_its_files(bundle: Path) -> None:
    names = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert {"SHIPPING.md", "MODEL_CARD.md", "SHA256SUMS", "bundle.json", "labels.txt"} <= names
    for name in (
        "android/mine-int8.tflite", "android/mine-float16.tflite", "android/labels.txt",
        "android/vectors/int8.inputs.bin", "microcontroller/mine-int8.tflite",
        "microcontroller/model_data.cc", "microcontroller/model_ops.h",
        "microcontroller/model_arena.h", "ethos-u/mine-int8.tflite",
        "onnx-mobile/mine-int8.onnx", "onnx-mobile/mine-int8.ort",
        "onnx-mobile/mine-int8.required_operators_and_types.config",
        "onnx-mobile/mobile_usability.json",
    ):  # fmt: skip
        assert name in names, name


def test_what_could_not_be_proven_is_said(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    verdicts = {
        proof["name"]: proof["verdict"]
        for target in manifest["targets"].values()
        for proof in target["proofs"]
    }
    assert verdicts["mediapipe"] == verdicts["tflite-micro"] == verdicts["vela"] == "not run"
    assert verdicts["litert"] == verdicts["cpp17"] == verdicts["onnxruntime"] == "proven"
    guide = (bundle / "SHIPPING.md").read_text()
    assert "not run: mediapipe is not installed: pip install 'edgequant[android]'" in guide
    for target in ship_targets().values():
        assert target.title in guide
    for language in ("kotlin", "cpp", "swift", "python"):
        assert f"```{language}" in guide
    arena = (bundle / "microcontroller/model_arena.h").read_text()
    assert "Not measured" in arena
    assert "#error" in arena


def test_the_card_has_files_contract_and_accuracy(bundle: Path) -> None:
    card = (bundle / "MODEL_CARD.md").read_text()
    manifest = json.loads((bundle / "bundle.json").read_text())
    rows = manifest["accuracy"]["rows"]
    assert [row["file"] for row in rows][:2] == ["float model", "android/int8"]
    assert len(rows) == 7
    assert all(row["as_float"] >= 75 for row in rows)
    assert f"n = {manifest['accuracy']['images']} images" in card
    assert "| mean | [127.5, 127.5, 127.5] |" in card
    digest = hashlib.sha256((bundle / "android/mine-int8.tflite").read_bytes()).hexdigest()
    assert digest in card


def test_the_zip_is_the_folder(bundle: Path) -> None:
    with zipfile.ZipFile(bundle.with_name("mine.zip")) as archive:
        packed = {info.filename: archive.read(info) for info in archive.infolist()}
    there = {
        f"mine/{p.relative_to(bundle).as_posix()}": p.read_bytes()
        for p in bundle.rglob("*")
        if p.is_file()
    }
    assert packed == there


def test_sums_cover_every_file_but_themselves(bundle: Path) -> None:
    lines = (bundle / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    assert len(lines) == sum(p.is_file() for p in bundle.rglob("*")) - 1


@pytest.mark.slow
def test_verify_takes_folder_and_zip(run: Run, bundle: Path) -> None:
    packed = bundle.with_name("mine.zip")
    for path, file in ((bundle, bundle / "SHA256SUMS"), (packed, packed)):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        outcome = run("verify", path, "--json", "--sha256", digest)
        assert outcome.code == 0, outcome.err
        assert outcome.json["sha256"] == "as given"
        assert set(outcome.json["proofs"]) == set(ship_targets())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: (f / "labels.txt").write_text("x\n"), "labels.txt has changed"),
        (lambda f: (f / "android/mine-int8.tflite").unlink(), "mine-int8.tflite is missing"),
        (lambda f: (f / "android/extra").write_text(""), "android/extra is not listed"),
        (lambda f: (f / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
    ],
)
def test_verify_finds_what_is_not_as_written(run: Run, copy: Path, change, word: str) -> None:
    change(copy)
    outcome = run("verify", copy)
    assert outcome.code == 1
    assert word in outcome.err


def test_verify_runs_the_files_and_not_just_the_hashes(run: Run, copy: Path) -> None:
    from edgequant.ship.bundle import write_sums

    path = copy / "microcontroller/vectors/int8.outputs.bin"
    outputs = np.frombuffer(path.read_bytes(), np.int8).copy()
    outputs[-1] += 1 if outputs[-1] < 127 else -1  # of an image that is not in the sources
    path.write_bytes(outputs.tobytes())
    write_sums(copy)
    outcome = run("verify", copy)
    assert outcome.code == 1
    assert "litert-reference" in outcome.err


def test_another_machines_litert_is_compared_in_steps(run: Run, bundle: Path) -> None:
    """With this interpreter in place of an aarch64 one: the same kernels give the same integers."""
    outcome = run("verify", bundle, "--runtime", f"litert-arm64={sys.executable}", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["sha256"] == "as written"
    proofs = {proof["name"]: proof for proof in outcome.json["proofs"]["android"]}
    proof = proofs["litert-arm64"]
    assert proof["verdict"] == "proven", proof["sentence"]
    assert proof["figures"]["int8, litert-xnnpack"]["differing"] == 0
    assert platform.machine() in proof["figures"]["int8, litert-xnnpack"]["runtime"]
    assert set(proof["figures"]) == {
        f"{role}, {kernels}"
        for role in ("int8", "float16")
        for kernels in ("litert-xnnpack", "litert-reference")
    }


def test_what_is_no_bundle_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")
    for path in (tmp_path, tmp_path / "x.zip", tmp_path / "absent"):
        assert run("verify", path).code == 2


def ship(run: Run, model: Path, photos: Path, output: Path, *more: object):
    return run(
        "ship", "--model", model, "--calibration", f"{photos}:train", "--vectors", 2,
        "--output", output, *more,
    )  # fmt: skip


def test_an_existing_folder_is_left_alone(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("mine")
    for more in ((), ("--force",)):
        outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--for", "android", *more)
        assert outcome.code == 2
        assert "which exists" in outcome.err
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
        assert (tmp_path / "out" / "notes.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["out.zip", "out.html", "out/bundle.json"])
def test_force_leaves_what_is_not_a_bundle(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"name": "mine"}')
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--for", "android", "--force")
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    assert str(tmp_path / name.split("/")[0]) in outcome.err
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [
        name
    ]
    assert path.read_text() == '{"name": "mine"}'


@pytest.mark.slow
def test_a_second_run_is_unchanged_and_force_repeats_byte_for_byte(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = (run, tiny_keras, photos, out, "--for", "android,microcontroller")
    assert ship(*command).code == 0
    first = out.with_name("out.zip").read_bytes()
    page = out.with_name("out.html")
    assert hashlib.sha256((out / "labels.txt").read_bytes()).hexdigest() in page.read_text()
    assert "unchanged since the last run" in ship(*command).out
    out.with_name("out.zip").unlink()  # as a kill before the last step leaves it
    assert "unchanged since the last run" in ship(*command).out
    assert out.with_name("out.zip").read_bytes() == first
    assert ship(*command, "--max-flash", "1K").code == 1
    assert "--max-flash 1,024" in page.read_text()
    page.write_text("mine")
    refused = ship(*command)
    assert (refused.code, page.read_text()) == (2, "mine")
    assert "out.html, which exists" in refused.err
    page.unlink()
    changed = ship(run, tiny_keras, photos, out, "--for", "android")
    assert changed.code == 2
    assert "--force" in changed.err
    assert ship(*command, "--force").code == 0
    assert out.with_name("out.zip").read_bytes() == first


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        (("--for", "toaster"), 2, "received toaster"),
        (("--for", "android", "--max-flash", "1M"), 2, "is a limit of microcontroller and ethos-u"),
        (("--for", "android", "--min-npu", "100"), 2, "is a limit of ethos-u"),
        (("--for", "microcontroller", "--max-flash", "1K"), 1, "at most 1,024 bytes of flash"),
        (("--for", "microcontroller", "--max-sram", "1M"), 1, "microcontroller not measured"),
        (("--for", "ethos-u", "--min-npu", "100"), 1, "ethos-u not measured"),
        (("--for", "microcontroller", "--max-sram", "lots"), 2, "received lots"),
        (("--for", "ethos-u", "--accelerators", "u55"), 2, "received u55"),
        (("--for", "android", "--runtime", "mediapipe=/no"), 2, "received mediapipe=/no"),
    ],
)
def test_gates_and_bad_options(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path, more, code: int, word: str
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", *more)
    assert outcome.code == code, outcome.err
    assert word in outcome.err
    assert not list(tmp_path.glob(".writing-*"))
    # A gate leaves the results; bad input leaves nothing.
    assert (tmp_path / "out" / "bundle.json").is_file() == (code == 1)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ('["a", "b"]', "received 2 labels"),
        ('["a", "b", "b"]', "labels must be unique"),
        ('["a", "b", "ä"]', "printable ASCII"),
    ],
)
def test_bad_labels_are_refused_and_nothing_is_written(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path, labels: str, word: str
) -> None:
    contract = tiny_keras.with_suffix(".toml").read_text().split("labels")[0]
    (tmp_path / "p.toml").write_text(f"{contract}labels = {labels}\n")
    outcome = ship(
        run, tiny_keras, photos, tmp_path / "out", "--for", "android",
        "--preprocessing", tmp_path / "p.toml",
    )  # fmt: skip
    assert outcome.code == 2
    assert word in outcome.err
    assert [p.name for p in tmp_path.iterdir()] == ["p.toml"]


@pytest.mark.slow
def test_a_contract_of_six_numbers_is_folded_and_said(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(
        run, tiny_keras, photos, tmp_path / "out", "--for", "android,microcontroller", "--json",
        "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375", "--channels", "bgr",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    android = outcome.json["targets"]["android"]["files"]
    micro = outcome.json["targets"]["microcontroller"]["files"]
    for role in ("int8", "float16"):
        assert android[role]["preprocessing"]["mean"] == [128.0] * 3
        assert android[role]["preprocessing"]["channels"] == "rgb"
        assert "folded" in android[role]["folded"]
    assert micro["int8"]["preprocessing"]["channels"] == "bgr"
    assert micro["int8"]["folded"] == ""


def test_a_contract_that_android_cannot_express_is_refused(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    import keras

    model = keras.models.load_model(tiny_keras)
    image = keras.Input((24, 24, 3))
    keras.Model(image, model(keras.layers.DepthwiseConv2D(1)(image))).save(tmp_path / "odd.keras")
    (tmp_path / "odd.toml").write_bytes(tiny_keras.with_suffix(".toml").read_bytes())
    outcome = ship(
        run, tmp_path / "odd.keras", photos, tmp_path / "out", "--for", "android",
        "--mean", "120,110,100",
    )  # fmt: skip
    assert outcome.code == 2
    assert "DepthwiseConv2D as the first layer" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "size"), [("256K", 262144), ("1M", 1048576), ("1.5k", 1536), ("300000", 300000)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes("--max-sram", text) == size


@pytest.mark.slow
def test_a_network_that_kills_the_reference_kernels_is_an_error_of_one_sentence(
    run: Run, tmp_path: Path
) -> None:
    outcome = run(
        "ship", "--model", "mobilenet_v2", "--weights", "random", "--size", 64,
        "--calibration", "fashion_mnist:calibration", "--samples", 4, "--vectors", 1,
        "--for", "microcontroller", "--output", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 2
    assert "a file that ships runs in litert-reference" in outcome.err
    assert "signal 6" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["0", "0.0001", "-1", "1G", "nan", "", "9" * 400, f"{'9' * 400}M"])
def test_sizes_that_no_chip_has_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--max-flash takes a size"):
        size_in_bytes("--max-flash", text)
