"""``edgequant verify`` of bundles with odd values, changed bytes and missing files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.ship.bundle import write_sums
from edgequant.ship.manifest import read_manifest
from edgequant.ship.rebuilding import rebuild
from foundation.errors import EdgequantError
from tests.edgequant.conftest import Run
from tests.edgequant.ship.changes import (
    MICRO,
    Change,
    appended,
    edited,
    manifest,
    vectors,
    without,
    written,
)

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
