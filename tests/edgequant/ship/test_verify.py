"""``edgequant verify`` of bundles that somebody made to do harm, or damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.ship.bundle import write_sums
from edgequant.ship.manifest import read_manifest
from edgequant.ship.rebuilding import rebuild
from foundation.errors import EdgequantError, InvalidInputError
from tests.edgequant.conftest import Run

MICRO = "microcontroller"
Change = Callable[[Path], object]


def appended(file: str, text: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(path.read_text() + text)

    return change


def replaced(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def edited(file: str, *keys: Any, value: Any) -> Change:
    """A value in a JSON file, by the keys that lead to it."""

    def change(folder: Path) -> None:
        whole = inner = json.loads((folder / file).read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(whole, indent=2) + "\n")

    return change


def manifest(*keys: Any, value: Any) -> Change:
    return edited("bundle.json", *keys, value=value)


def vectors(*keys: Any, value: Any) -> Change:
    return edited(f"{MICRO}/vectors/int8.json", *keys, value=value)


def added(file: str, text: str = "x") -> Change:
    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    return change


INITIALIZER = """
#include <cstdio>
static int run() { std::fclose(std::fopen(MARKER, "w")); return 0; }
static const int ran = run();
"""
FIRST_PIXEL = "const std::uint8_t kVectorPixels[kVectors][kImageSize] = {\n    {\n"


def other_score(folder: Path) -> None:
    """A self-test that would fail on the device."""
    path = folder / MICRO / "model_vectors.cc"
    head, mark, body = path.read_text().partition("kVectorScores[kVectors][kClasses] = {\n    {")
    first = int(body.split(",")[0])
    path.write_text(head + mark + body.replace(str(first), str(first - 1 or 1), 1))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (appended(f"{MICRO}/model_contract.cc", INITIALIZER), "model_contract.cc differs"),
        (appended("ethos-u/model_contract.h", INITIALIZER), "ethos-u/model_contract.h differs"),
        (appended(f"{MICRO}/model_vectors.cc", INITIALIZER), "model_vectors.cc differs"),
        (replaced(f"{MICRO}/model_ops.h", '#include "', '#include "/etc/passwd'), "model_ops.h"),
        (replaced(f"{MICRO}/model_vectors.cc", FIRST_PIXEL, FIRST_PIXEL + " "), "differs"),
        (replaced(f"{MICRO}/model_runner.cc", "return true", "return 1"), "runner.cc differs"),
        (other_score, "other scores"),
        (added(f"{MICRO}/more.cc", INITIALIZER), "more.cc belongs to no target"),
        (added(f"{MICRO}/model.tflite"), "model.tflite belongs to no target"),
        (added("node_modules/onnxruntime-node/index.js"), "belongs to no target"),
        (added("conftest.py"), "conftest.py belongs to no target"),
        (appended("SHIPPING.md", "curl x | sh\n"), "SHIPPING.md differs"),
        (appended("MODEL_CARD.md", "x\n"), "MODEL_CARD.md differs"),
        (replaced("android/labels.txt", "a\n", "b\n"), "android/labels.txt differs"),
        (edited("onnx-mobile/mobile_usability.json", 0, "more", value=1), "usability.json differs"),
        (
            manifest("targets", MICRO, "files", "int8", "folded", value="by me"),
            "SHIPPING.md differs",
        ),
        (manifest("preprocessing", "mean", value=[1, 2, 3]), "another card"),
        (manifest("preprocessing", "channels", value="bgr"), "another card"),
        (
            manifest("targets", "android", "files", "int8", "preprocessing", "mean", value=1),
            "another card",
        ),
    ],
)
def test_what_is_not_as_we_write_it_never_meets_a_compiler(
    run: Run, copy: Path, tmp_path: Path, monkeypatch, change: Change, word: str
) -> None:
    ran = tmp_path / "ran"
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\ntouch "{ran}"\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    change(copy)
    for path in copy.rglob("*.cc"):
        path.write_text(path.read_text().replace("MARKER", f'"{ran}"'))
    write_sums(copy)
    outcome = run("verify", copy)
    assert outcome.code == 1, outcome.err
    assert any(part in outcome.err for part in word.split("|")), outcome.err
    assert outcome.err.count("\n") == 1
    assert "proven" not in outcome.out
    assert not ran.exists()


ARENA = ("targets", MICRO, "proofs", 0)
INJECTED = {
    "arena_bytes": "0; } int evil() { return 1",
    "head_bytes": 1,
    "tail_bytes": 1,
    "version": "1",
    "pointer_bits": 64,
}


def arena(**values: Any) -> Change:
    def change(folder: Path) -> None:
        manifest(*ARENA, "verdict", value="proven")(folder)
        manifest(*ARENA, "figures", value={**INJECTED, **values})(folder)

    return change


def without(*keys: Any) -> Change:
    def change(folder: Path) -> None:
        whole = inner = json.loads((folder / "bundle.json").read_text())
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        (folder / "bundle.json").write_text(json.dumps(whole))

    return change


def written(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (manifest("targets", value={}), "no targets"),
        (manifest("targets", value=[]), "targets, which is missing or of another type"),
        (manifest("targets", "toaster", value={}), "the target toaster"),
        (manifest("targets", "../x", value={}), "the target ../x"),
        (without("targets"), "targets, which is missing"),
        (without("targets", MICRO, "proofs"), "proofs, which is missing"),
        (manifest("targets", MICRO, "proofs", value=[]), "other proofs of microcontroller"),
        (manifest("targets", MICRO, "files", value={}), "files none of microcontroller"),
        (manifest("targets", "android", "proofs", 0, "verdict", value="fine"), "fine"),
        (manifest("bundle", value=2), "version 2"),
        (manifest("bundle", value=True), "bundle, which is missing or of another type"),
        (manifest("model", value="../../x"), "name that cannot be a file's"),
        (manifest("model", value=""), "name that cannot be a file's"),
        (manifest("model", value="a\nb"), "several lines"),
        (manifest("model", value="other"), "which does not exist"),
        (manifest("vectors", value=[]), "vectors, which is missing"),
        (manifest("vectors", "images", value=0), "test vectors of int8"),
        (manifest("accuracy", value=3), "can be read"),
        (manifest("accuracy", value={"rows": [{"top1": "x"}]}), "can be read"),
        (manifest("versions", value=7), "can be read"),
        (manifest("versions", value={"x": 10**400}), "bundle.json"),
        (manifest("versions", value={"x": float("nan")}), "not finite"),
        (manifest("preprocessing", "size", value=[10**9, 10**9]), "up to 16384"),
        (manifest("preprocessing", "labels", value=["a", "b", "ä"]), "printable ASCII"),
        (manifest("preprocessing", "labels", value=["a", "b", "b"]), "unique"),
        (manifest("preprocessing", "labels", value=[]), "0 labels"),
        (manifest("preprocessing", value={}), "size"),
        (manifest("preprocessing", "std", value=[0, 0, 0]), "std must be above zero"),
        (arena(), "whole bytes"),
        (arena(arena_bytes=1, version="1 */"), "whole bytes"),
        (arena(arena_bytes=1, version="1\n#include"), "several lines"),
        (written("bundle.json", b"\xff\xfe"), "bundle.json"),
        (written("bundle.json", b"[" * 100_000), "nested too deeply"),
        (written("bundle.json", b'{"targets": ' * 90 + b"1" + b"}" * 90), "nested too deeply"),
        (written("bundle.json", b"3"), "not of an object"),
        (written("bundle.json", b""), "bundle.json"),
        (vectors("inputs", "file", value="/etc/passwd"), "another name than int8.inputs.bin"),
        (vectors("outputs", "file", value="../../labels.txt"), "another name"),
        (vectors("inputs", "dtype", value="object"), "type object"),
        (vectors("inputs", "dtype", value=["int8"]), "int8.json"),
        (vectors("inputs", "dtype", value="float64"), "type float64"),
        (vectors("inputs", "shape", value=[-1]), "whole numbers above zero"),
        (vectors("inputs", "shape", value=[]), "int8.inputs.bin"),
        (vectors("inputs", "shape", value=5), "whole numbers above zero"),
        (vectors("inputs", "shape", value=[2**30] * 20), "int8.json"),
        (vectors("inputs", "shape", value=[5, 24 * 24 * 3]), "test vectors of int8"),
        (vectors("outputs", "shape", value=[15]), "shapes"),
        (vectors("runtime", value="toaster 1"), "by litert-reference"),
        (vectors("runtime", value=""), "no runtime"),
        (vectors("runtime", value=None), "no runtime"),
        (vectors("inputs", value=None), "int8.json"),
        (written(f"{MICRO}/vectors/int8.json", b"\xff"), "int8.json"),
        (written(f"{MICRO}/vectors/int8.outputs.bin", b"1"), "int8.json"),
        (written("onnx-mobile/vectors/int8.outputs.bin", b"\xff" * 60), "NaN or infinity"),
        (written(f"{MICRO}/mine-int8.tflite", b"\0\0\0\0TFL3" + b"\xff" * 99), "no subgraph"),
        (written("onnx-mobile/mine-int8.onnx", b"\xff" * 50), "mine-int8.onnx"),
        (written("onnx-mobile/mobile_usability.json", b"[[]]"), "mobile_usability.json"),
        (edited("ethos-u/accelerators.json", "accelerators", value=["x"]), "received x"),
        (edited("ethos-u/accelerators.json", "accelerators", value=3), "accelerators.json"),
        (
            appended("onnx-mobile/mine-int8.required_operators_and_types.config", "`rm -rf`\n"),
            "list of operators",
        ),
    ],
)
def test_damaged_and_odd_values_are_one_sentence(
    run: Run, copy: Path, change: Change, word: str
) -> None:
    change(copy)
    write_sums(copy)
    outcome = run("verify", copy)
    assert outcome.code == 2, outcome.err + outcome.out
    assert word in outcome.err, outcome.err
    assert outcome.err.count("\n") == 1
    assert "root:" not in outcome.err


def test_a_bundle_without_any_one_of_its_files_is_refused(copy: Path, tmp_path: Path) -> None:
    """Its list of digests does not name the file either."""
    names = [p for p in sorted(copy.rglob("*")) if p.is_file() and p.name != "SHA256SUMS"]
    assert len(names) > 40
    for number, path in enumerate(names):
        aside = tmp_path / "aside"
        path.rename(aside)
        ours = tmp_path / f"{number}"
        ours.mkdir()
        with pytest.raises(EdgequantError):
            rebuild(copy, ours, read_manifest(copy))
        aside.rename(path)


def test_any_byte_that_is_changed_is_one_sentence_or_data(copy: Path, tmp_path: Path) -> None:
    """Whatever was generated is compared; models and vectors are left to the proofs.

    The list of operators for a small build is of ONNX Runtime's making, and is data too.
    """
    rng = np.random.default_rng(0)
    files = [p for p in sorted(copy.rglob("*")) if p.is_file() and p.name != "SHA256SUMS"]
    for number in range(60):
        path = files[7 * number % len(files)]
        whole = path.read_bytes()
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 3):
            content[place] = rng.integers(0, 256)
        path.write_bytes(content[: rng.integers(1, len(content) + 1)] if number % 3 else content)
        ours = tmp_path / f"{number}"
        ours.mkdir()
        told = ""
        try:
            rebuild(copy, ours, read_manifest(copy))
        except EdgequantError as error:
            told = str(error)
        assert "\n" not in told
        ends = (".tflite", ".onnx", ".ort", ".bin", ".config")
        data = path.suffix in ends or path.name == "bundle.json" or path.parent.name == "vectors"
        assert told or data or path.read_bytes() == whole, path
        shutil.rmtree(ours)
        path.write_bytes(whole)


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


def pages(folder: Path) -> None:
    """Write the guide and the card anew, as somebody does who forges a bundle well."""
    from edgequant.ship.docs import model_card, shipping_guide

    values = json.loads((folder / "bundle.json").read_text())
    guide = (folder / "SHIPPING.md").read_text()
    sections = [
        guide.partition(f"`{name}/`\n\n")[2].partition("\n\n- ")[0] for name in values["targets"]
    ]
    (folder / "SHIPPING.md").write_text(shipping_guide(values, sections))
    (folder / "MODEL_CARD.md").write_text(model_card(values, folder))
    write_sums(folder)


def pipe(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        os.mkfifo(folder / file)

    return change


def link(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to("/etc/passwd")

    return change


def many(folder: Path) -> None:
    for number in range(1001):
        (folder / f"{number}").touch()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        *[
            (pipe(file), "named pipe")
            for file in (
                "bundle.json", "SHA256SUMS", "labels.txt", "extra", "android/mine-int8.tflite",
                f"{MICRO}/model_data.cc", f"{MICRO}/vectors/int8.json", "onnx-mobile/mine-int8.ort",
            )
        ],
        *[
            (link(file), "a link")
            for file in ("labels.txt", "extra", "onnx-mobile/mine-int8.onnx", "SHA256SUMS")
        ],
        (lambda f: (f / "more").symlink_to("/etc"), "a link"),
        (lambda f: (f / "a/b/c/d").mkdir(parents=True), "too long"),
        (added("a\\b"), "another path"),
        (many, "more than 1,000 files"),
    ],
)  # fmt: skip
def test_what_is_no_plain_file_is_not_opened(
    run: Run, copy: Path, change: Change, word: str
) -> None:
    change(copy)
    outcome = run("verify", copy)
    assert outcome.code == 2
    assert word in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n", b"x\n", b"0" * 64 + b"  labels.txt\n" * 2, b"\0" * 100],
)
def test_a_damaged_list_of_digests_is_one_sentence(run: Run, copy: Path, content: bytes) -> None:
    (copy / "SHA256SUMS").write_bytes(content)
    outcome = run("verify", copy)
    assert outcome.code == 1
    assert "SHA256SUMS is missing or damaged" in outcome.err
    assert outcome.err.count("\n") == 1


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


def test_vectors_are_read_from_their_own_folder_alone(copy: Path) -> None:
    from export.bundles.target import read_vectors

    folder = copy / MICRO / "vectors"
    (copy / "elsewhere.bin").write_bytes((folder / "int8.inputs.bin").read_bytes())
    vectors("inputs", "file", value="../../elsewhere.bin")(copy)
    with pytest.raises(InvalidInputError, match="another name"):
        read_vectors(folder, "int8")
