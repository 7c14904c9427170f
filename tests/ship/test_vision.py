"""Bundles of the shipped detector and segmenter under the platforms' own runtimes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.bundles.target import read_vectors, ship_targets
from tests.ship.test_snippets import compiled_kotlin, cpp, parsed, snippets, split

pytestmark = pytest.mark.ship
MODELS = ("ssdlite_fashion", "lraspp_fashion")
IMAGES = 16


@pytest.fixture(scope="session", params=MODELS)
def vision(
    request: pytest.FixtureRequest,
    runtime_options: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """One network for every platform; not to be changed."""
    from edgequant.cli.main import main

    output = tmp_path_factory.mktemp("vision") / request.param
    arguments = ["ship", "--model", request.param, "--for", ",".join(ship_targets())]
    rest = ["--vectors", str(IMAGES), "--samples", "100", "--output", str(output)]
    rest += ["--calibration", "fashion_scenes:calibration"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--accelerators", "ethos-u55-128", *rest, *runtime_options])
    assert not stop.value.code
    return output


def test_every_runtime_gives_the_same_answers(vision: Path, runtimes: dict[str, Path]) -> None:
    targets = json.loads((vision / "bundle.json").read_text())["targets"]
    proofs = {p["name"]: p for target in targets.values() for p in target["proofs"]}
    for optional in ("arm-none-eabi", "cortex-m", "cmsis-nn", "litert-arm64"):  # of some machines
        assert proofs.pop(optional)["verdict"] in ("proven", "not run"), optional
    if "onnxruntime-node" not in runtimes:
        assert proofs.pop("onnxruntime-node")["verdict"] == "not run"
    assert proofs.pop("tflite-micro")["verdict"] in ("proven", "within a step")
    assert {proof["verdict"] for proof in proofs.values()} == {"proven"}, proofs
    for role in ("int8", "float16"):
        figures = proofs["mediapipe"]["figures"][role]
        assert figures["images"] == IMAGES
        assert figures["largest_difference"] <= 1e-4  # of scores, or percent of pixels
    assert proofs["vela"]["figures"]["rows"][0]["npu_percent"] > 90


def test_another_answer_than_mediapipes_is_found(
    vision: Path, runtimes: dict[str, Path], tmp_path: Path
) -> None:
    from evaluation.proofs.proof import ProofRequest, Verdict, proofs

    folder = Path(shutil.copytree(vision / "android", tmp_path / "android"))
    path = folder / "vectors/int8.outputs.bin"
    vectors = read_vectors(folder / "vectors", "int8")
    other = np.roll(vectors.outputs, 1, axis=0)  # those of the image before
    path.write_bytes(other.tobytes())
    (tmp_path / "scratch").mkdir()
    result = proofs()["mediapipe"].run(
        ProofRequest(folder, tmp_path / "scratch", runtimes["mediapipe"])
    )
    assert result.verdict is Verdict.FAILED
    assert "gives" in result.sentence
    assert "other detections" in result.sentence or "other masks" in result.sentence


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_the_grammar_takes_the_lines(vision: Path, tmp_path: Path, language: str) -> None:
    (code,) = snippets(vision, language)
    assert parsed(language, code, tmp_path).stderr == ""
    assert len(code.splitlines()) <= 18


def test_kotlins_compiler_takes_the_lines(vision: Path, tmp_path: Path) -> None:
    if not (shutil.which("java") and shutil.which("npm")):
        pytest.skip("no java or no npm: Kotlin's compiler cannot be had here")
    (code,) = snippets(vision, "kotlin")
    done = compiled_kotlin(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert compiled_kotlin(code.replace("(context, ", "("), tmp_path).returncode != 0


def test_the_python_lines_answer(vision: Path, tmp_path: Path) -> None:
    (code,) = snippets(vision, "python")
    np.save(tmp_path / "pixels.npy", read_vectors(vision / "android/vectors", "int8").inputs[0])
    lines = f"import sys, numpy; sys.path.insert(0, '.'); pixels = numpy.load(sys.argv[1])\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", lines, str(tmp_path / "pixels.npy")],
        cwd=vision / "onnx-mobile", capture_output=True, text=True, check=True,
    )  # fmt: skip
    labels = (vision / "labels.txt").read_text().splitlines()
    assert {line.split()[0] for line in done.stdout.splitlines()} <= set(labels)
    assert done.stdout


def test_the_microcontrollers_lines_compile_and_link(vision: Path, tmp_path: Path) -> None:
    code = next(c for c in snippets(vision, "cpp") if "int main()" in c)
    includes, rest = split(code, "#include")
    names = set(re.findall(r"(\w+)\([^;]*\); *// yours", rest)) | set(
        re.findall(r"while \((Read\w+)\(", rest)
    )
    yours = "".join(
        f"template <class... T> bool {name}(T&&...) {{ return false; }}\n" for name in sorted(names)
    )
    done = cpp(vision / "microcontroller", f"{includes}{yours}{rest}", tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_ethos_us_lines_compile_and_link(vision: Path, tmp_path: Path) -> None:
    code = next(c for c in snippets(vision, "cpp") if "AddEthosU" in c)
    includes, rest = split(code, "#include")
    headers = (
        '#include "tensorflow/lite/micro/micro_interpreter.h"\n'
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n'
        '#include "tensorflow/lite/schema/schema_generated.h"\n'
    )
    data = (
        "alignas(16) static const unsigned char model_data[16] = {};\n"
        "alignas(16) static std::uint8_t arena[1024];\n"
        "static std::uint8_t rgb[1 << 17];\n"
        "template <class... T> void Use(T&&...) {}\n"
        "template <class... T> void Draw(T&&...) {}\n"
    )
    program = f"{includes}{headers}{data}int main() {{\n{rest}  return 0;\n}}\n"
    done = cpp(vision / "ethos-u", program, tmp_path)
    assert done.returncode == 0, done.stderr
