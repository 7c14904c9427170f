"""Bundles under the platforms' own runtimes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgequant.ship.bundle import write_sums
from edgequant.ship.docs import model_card
from export.bundles.target import read_vectors
from tests.edgequant.conftest import Run

pytestmark = pytest.mark.ship


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def proofs_of(bundle: Path) -> dict[str, dict]:
    targets = json.loads((bundle / "bundle.json").read_text())["targets"]
    return {p["name"]: p for target in targets.values() for p in target["proofs"]}


def test_every_runtime_agrees(bundle: Path, runtimes: dict[str, Path]) -> None:
    verdicts = {name: proof["verdict"] for name, proof in proofs_of(bundle).items()}
    for optional in ("arm-none-eabi", "cortex-m", "cmsis-nn", "litert-arm64"):  # of some machines
        assert verdicts.pop(optional) in ("proven", "not run"), optional
    if all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))):
        sentences = [proofs_of(bundle)[name]["sentence"] for name in ("cortex-m", "cmsis-nn")]
        assert all("mps3-an547" in sentence for sentence in sentences), sentences
    if "onnxruntime-node" not in runtimes:  # no npm here: said, and not proven
        assert verdicts.pop("onnxruntime-node") == "not run"
    # TFLite Micro rounds 15 of 20,000 outputs of 2,000 test images one step off LiteRT.
    assert verdicts.pop("tflite-micro") in ("proven", "within a step")
    assert set(verdicts.values()) == {"proven"}, verdicts
    assert proofs_of(bundle)["tflite-micro"]["figures"]["images"] == 64
    assert proofs_of(bundle)["mediapipe"]["figures"]["int8"]["images"] == 64


def test_verify_proves_it_again_anywhere(
    run: Run, bundle: Path, runtime_options: list[str], tmp_path: Path, monkeypatch
) -> None:
    moved = Path(shutil.copy(bundle.with_name("small.zip"), tmp_path / "elsewhere.zip"))
    monkeypatch.chdir(tmp_path)
    outcome = run("verify", moved, *runtime_options, "--json")
    assert outcome.code == 0, outcome.err
    proofs = [p for target in outcome.json["proofs"].values() for p in target]
    good = ("proven", "within a step")
    optional = {"arm-none-eabi", "cortex-m", "cmsis-nn", "litert-arm64", "onnxruntime-node"}
    optional -= {text.partition("=")[0] for text in runtime_options}
    assert all(p["verdict"] in good for p in proofs if p["name"] not in optional)


def test_the_arena_is_the_least_that_runs(bundle: Path, runtimes: dict[str, Path]) -> None:
    figures = proofs_of(bundle)["tflite-micro-arena"]["figures"]
    size = figures["arena_bytes"]
    used = figures["head_bytes"] + figures["tail_bytes"]
    assert used <= size < used + 1024
    header = (bundle / "microcontroller/model_arena.h").read_text()
    assert f"kTensorArenaSize = {size};" in header
    script = (
        "import sys; from tflite_micro.python.tflite_micro import runtime\n"
        "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))"
    )
    model = str(bundle / "microcontroller/mobilenet_v2_small-int8.tflite")
    python = str(runtimes["tflite-micro"])
    codes = [
        subprocess.run(
            [python, "-c", script, model, str(bytes_)], capture_output=True, check=False
        ).returncode
        for bytes_ in (size, size - 1024)
    ]
    assert codes[0] == 0
    assert codes[1] != 0


def test_metadata_as_mediapipes_own_reader_sees_it(bundle: Path, runtimes: dict[str, Path]) -> None:
    script = """
import json, sys
from mediapipe.tasks.metadata import metadata_schema_py_generated as m
from mediapipe.tasks.metadata import schema_py_generated as s
data = open(sys.argv[1], "rb").read()
model = s.ModelT.InitFromObj(s.Model.GetRootAsModel(data, 0))
(buffer,) = [e.buffer for e in model.metadata if e.name == b"TFLITE_METADATA"]
meta = m.ModelMetadataT.InitFromObj(
    m.ModelMetadata.GetRootAsModelMetadata(bytes(model.buffers[buffer].data), 0))
image = meta.subgraphMetadata[0].inputTensorMetadata[0]
scores = meta.subgraphMetadata[0].outputTensorMetadata[0]
print(json.dumps({
    "mean": list(map(float, image.processUnits[0].options.mean)),
    "std": list(map(float, image.processUnits[0].options.std)),
    "size": [image.content.contentProperties.defaultSize.height,
             image.content.contentProperties.defaultSize.width],
    "space": image.content.contentProperties.colorSpace,
    "file": scores.associatedFiles[0].name.decode(),
    "type": scores.associatedFiles[0].type,
    "labels_type": m.AssociatedFileType.TENSOR_AXIS_LABELS,
}))
"""
    path = bundle / "android/mobilenet_v2_small-float16.tflite"
    done = subprocess.run(
        [str(runtimes["mediapipe"]), "-c", script, str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = json.loads(done.stdout)
    assert seen["type"] == seen.pop("labels_type")
    assert seen == {
        "mean": [127.5], "std": [127.5], "size": [32, 32], "space": 1, "file": "labels.txt",
        "type": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            lambda f: shutil.copy(
                f / "microcontroller/mobilenet_v2_small-int8.tflite",
                f / "android/mobilenet_v2_small-int8.tflite",
            ),
            "mobilenet_v2_small-int8.tflite with another card",
        ),
        (
            lambda f: (f / "android/labels.txt").write_text(
                "".join(f"{i}\n" for i in range(10)), encoding="ascii"
            ),
            "android/labels.txt differs",
        ),
        (
            lambda f: _flip(f / "microcontroller/vectors/int8.outputs.bin"),
            "gives other outputs",
        ),
        (
            lambda f: _flip(next((f / "ethos-u").glob("*u55-32_vela.tflite"))),
            "gives other bytes for ethos-u55-32",
        ),
        (
            lambda f: _flip(f / "onnx-mobile/vectors/int8.outputs.bin", 127),
            "other labels|scores that differ",
        ),
    ],
    ids=["int8 input", "labels", "micro vectors", "vela bytes", "onnx vectors"],
)
def test_a_bundle_that_was_broken_on_purpose_is_found(
    run: Run, copy: Path, runtime_options: list[str], change, word: str
) -> None:
    import re

    change(copy)
    values = json.loads((copy / "bundle.json").read_text())
    (copy / "MODEL_CARD.md").write_text(model_card(values, copy))  # which has the models' digests
    write_sums(copy)
    outcome = run("verify", copy, *runtime_options)
    assert outcome.code == 1
    assert re.search(word, outcome.out + outcome.err), outcome.out + outcome.err


def _flip(path: Path, value: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    if value is None:
        content[-1] ^= 1
    else:
        content[:] = bytes([value]) * len(content)
    path.write_bytes(content)


def test_a_model_that_kills_tflite_micro_is_a_failed_proof(
    bundle: Path, runtimes: dict[str, Path], tmp_path: Path
) -> None:
    from evaluation.proofs.proof import ProofRequest, Verdict, proofs

    folder = Path(shutil.copytree(bundle / "microcontroller", tmp_path / "micro"))
    model = folder / "mobilenet_v2_small-int8.tflite"
    model.write_bytes(model.read_bytes()[:4000])
    (tmp_path / "scratch").mkdir()
    request = ProofRequest(folder, tmp_path / "scratch", runtimes["tflite-micro"])
    for name in ("tflite-micro", "tflite-micro-arena"):
        assert proofs()[name].run(request).verdict is Verdict.FAILED


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_folded_contract_gives_the_float_networks_labels_in_mediapipe(
    run: Run, runtime_options: list[str], tmp_path: Path, padding: str
) -> None:
    """Six numbers and BGR: the task is told none of it, and must still be right."""
    import keras

    from calibration_data.contract_file import read_contract
    from calibration_data.datasets.base import open_dataset

    keras.utils.set_random_seed(4)
    image = keras.Input((28, 28, 3))
    x = keras.layers.Conv2D(24, 3, strides=2, padding=padding, activation="relu")(image)
    x = keras.layers.Conv2D(24, 3, strides=2, activation="relu")(x)
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    model.save(tmp_path / "odd.keras")
    (tmp_path / "odd.toml").write_text(
        'size = [28, 28]\ncrop = "stretch"\nchannels = "bgr"\nmean = [123.675, 116.28, 60.0]\n'
        'std = [58.395, 57.12, 20.0]\nlabels = ["a", "b", "c", "d"]\n'
    )
    outcome = run(
        "ship", "--model", tmp_path / "odd.keras", "--for", "android", "--vectors", 40,
        "--calibration", "fashion_mnist:calibration", "--samples", 50,
        "--output", tmp_path / "out", *runtime_options, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    pixels = read_vectors(tmp_path / "out/android/vectors", "int8").inputs
    scores = np.asarray(model(read_contract(tmp_path / "odd.toml").normalize(pixels)))
    shipped = read_vectors(tmp_path / "out/android/vectors", "float16").outputs
    assert open_dataset("fashion_mnist:calibration")
    np.testing.assert_allclose(shipped, scores, atol=0.02 * np.abs(scores).max())
    assert (shipped.argmax(1) == scores.argmax(1)).mean() >= 0.95
    int8 = read_vectors(tmp_path / "out/android/vectors", "int8").outputs
    assert (int8.argmax(1) == scores.argmax(1)).mean() >= 0.85


def test_gates_on_measured_figures(
    run: Run, tiny_keras: Path, photos: Path, runtime_options: list[str], tmp_path: Path
) -> None:
    command = (
        "ship", "--model", tiny_keras, "--calibration", f"{photos}:train", "--for",
        "microcontroller,ethos-u", "--accelerators", "ethos-u55-64,ethos-u85-256",
        "--output", tmp_path / "out", *runtime_options,
    )  # fmt: skip
    kept = run(*command, "--max-flash", "1M", "--max-sram", "256K", "--min-npu", "100", "--json")
    assert kept.code == 0, kept.err
    budgets = [b for target in kept.json["targets"].values() for b in target["budgets"]]
    assert [b["what"] for b in budgets] == ["microcontroller", "ethos-u55-64", "ethos-u85-256"]
    most = max(b["sram"] for b in budgets)
    assert run(*command, "--max-sram", most).code == 0  # unchanged, and the gate holds
    over = run(*command, "--max-sram", most - 1)
    assert over.code == 1
    assert f"received {most:,}" in over.err


def test_what_falls_back_to_the_cpu_is_named_with_the_reason(
    run: Run, photos: Path, runtime_options: list[str], tmp_path: Path
) -> None:
    import keras

    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(8, 3, strides=1)(image)
    x = keras.layers.DepthwiseConv2D(3, strides=4)(x)  # U55 takes 1 to 3
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(image, keras.layers.Dense(3)(x)).save(tmp_path / "odd.keras")
    outcome = run(
        "ship", "--model", tmp_path / "odd.keras", "--calibration", f"{photos}:train",
        "--mean", 127.5, "--std", 127.5, "--for", "ethos-u", "--accelerators", "ethos-u55-128",
        "--min-npu", 100, "--output", tmp_path / "out", *runtime_options,
    )  # fmt: skip
    assert outcome.code == 1
    assert "on the CPU DEPTHWISE_CONV_2D: Unsupported kernel stride: 4, 4" in outcome.err
    assert "on the CPU: " in (tmp_path / "out/SHIPPING.md").read_text()
