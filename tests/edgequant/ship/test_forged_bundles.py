"""``edgequant verify`` of bundles that somebody made to do harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgequant.ship.bundle import write_sums
from foundation.errors import InvalidInputError
from tests.edgequant.conftest import Run
from tests.edgequant.ship.changes import (
    MICRO,
    Change,
    added,
    appended,
    edited,
    link,
    manifest,
    pipe,
    replaced,
    vectors,
)

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


def test_vectors_are_read_from_their_own_folder_alone(copy: Path) -> None:
    from export.bundles.target import read_vectors

    folder = copy / MICRO / "vectors"
    (copy / "elsewhere.bin").write_bytes((folder / "int8.inputs.bin").read_bytes())
    vectors("inputs", "file", value="../../elsewhere.bin")(copy)
    with pytest.raises(InvalidInputError, match="another name"):
        read_vectors(folder, "int8")
