"""``edgequant parity`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from network.oracle.reader import read_integers
from tests.edgequant.conftest import Run
from tests.evaluation.parity.parity_cases import OnnxTwin


@pytest.fixture
def twin(tiny_int8: Path, tmp_path: Path) -> Path:
    path = tmp_path / "twin.onnx"
    onnx.save(OnnxTwin(read_integers(tiny_int8)).proto(), str(path))
    return path


@pytest.mark.slow
def test_the_same_integers_are_said_to_be_the_same(
    run: Run, tiny_int8: Path, twin: Path, photos: Path
) -> None:
    arguments = ("parity", tiny_int8, twin, "--data", f"{photos}:test", "--limit", 4, "--strict")
    outcome = run(*arguments)
    assert outcome.code == 0
    assert "the same scales, zero points and integers" in outcome.out
    assert "litert-reference and oracle: equal in all" in outcome.out
    found = run(*arguments, "--json").json
    assert found["same_integers"] is True
    assert found["n"] == 4
    rows = {row["runtime"]: row for row in found["outputs"]}
    assert rows["oracle"]["max_steps"] == 0
    assert found["layers"][0]["first_difference"] is None


@pytest.mark.slow
def test_differences_are_listed_and_strict_fails(run: Run, tiny_int8: Path, twin: Path) -> None:
    from onnx import numpy_helper

    model = onnx.load(str(twin))
    bias = next(t for t in model.graph.initializer if list(t.dims) == [40] and t.data_type == 6)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 1, bias.name))
    onnx.save(model, str(twin))
    outcome = run("parity", tiny_int8, twin)
    assert outcome.code == 0
    assert "40 of 40 integers, by up to 1" in outcome.out
    strict = run("parity", tiny_int8, twin, "--strict", "--json")
    assert strict.code == 1
    (difference,) = strict.json["differences"]
    assert (difference["part"], difference["detail"]) == ("bias", "40 of 40 integers, by up to 1")
    assert "--strict" in strict.err


def test_the_files_have_an_order(run: Run, tiny_int8: Path, twin: Path) -> None:
    assert run("parity", twin, tiny_int8).code == 2
    assert "a .tflite with an .onnx" in run("parity", twin, tiny_int8).err
    assert run("parity", "absent.tflite", twin).code == 2
