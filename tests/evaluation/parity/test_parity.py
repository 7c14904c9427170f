from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from evaluation.parity import layers as parity_layers
from evaluation.parity.compare import compare_files
from evaluation.parity.runs import (
    StepDistance,
    compare_outputs,
    on_the_grid,
    random_images,
    walk_litert,
    walk_onnx,
)
from export.onnx.target import TARGET as ONNX
from export.tflite.target import TARGET as TFLITE
from foundation.errors import UnsupportedError
from network.oracle.reader import read_integers
from quantize.recipes import recipe
from tests.evaluation.parity.parity_cases import OnnxTwin
from tests.export.onnx.onnx_cases import precise_session
from tests.export.tflite.tflite_cases import build_short, images, request


@pytest.fixture(scope="module")
def model():
    return build_short()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module", params=["tflite-int8", "tflite-int8-per-tensor"])
def twins(request, model, folder):
    tflite = folder / f"{request.param}.tflite"
    TFLITE.write(asked(model, request.param), tflite)
    twin = tflite.with_suffix(".onnx")
    onnx.save(OnnxTwin(read_integers(tflite)).proto(), str(twin))
    return tflite, twin


def asked(model, name):
    return request(model, recipe(name))


def test_the_same_integers_are_found_equal(twins: tuple[Path, Path]) -> None:
    found = compare_files(*twins)
    assert found.differences == ()
    assert found.same
    weighted = [pair for pair in found.pairs if pair.tflite.weight is not None]
    assert len(weighted) == 11
    assert found.tensors == len(found.pairs) + 2 * len(weighted)
    assert found.integers > 1000


@pytest.mark.parametrize(
    ("suffix", "part", "detail"),
    [
        (".0.q", "weight", "1 of "),
        (".1.q", "bias", "integers, by up to 1"),
        (".s", "result", "1 of 1 scales"),
        (".z", "result", "zero point"),
        (".0.s", "weight", "scales, first"),
    ],
)
def test_one_changed_number_is_found(
    twins: tuple[Path, Path], folder: Path, suffix: str, part: str, detail: str
) -> None:
    changed = onnx.load(str(twins[1]))
    step = compare_files(*twins).pairs[2].tflite
    (tensor,) = [t for t in changed.graph.initializer if t.name == step.tensor + suffix]
    value = numpy_helper.to_array(tensor).copy()
    value.reshape(-1)[0] += 1 if value.dtype != np.float32 else value.reshape(-1)[0] / 1000
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    path = folder / "changed.onnx"
    onnx.save(changed, str(path))
    (found,) = compare_files(twins[0], path).differences
    assert (found.step, found.part) == (step.name, part)
    assert detail in found.detail


def test_files_of_two_converters_differ(model: Any, folder: Path) -> None:
    first, second = folder / "own.tflite", folder / "own.onnx"
    TFLITE.write(asked(model, "tflite-int8"), first)
    ONNX.write(asked(model, "onnx-int8"), second)
    found = compare_files(first, second)
    assert not found.same
    assert {difference.part for difference in found.differences} >= {"weight", "bias"}


def test_another_network_is_told_by_its_steps(twins: tuple[Path, Path], folder: Path) -> None:
    shorter = onnx.load(str(twins[1]))
    (total,) = [node for node in shorter.graph.node if node.op_type == "Add"]
    total.op_type = "Mul"
    path = folder / "shorter.onnx"
    onnx.save(shorter, str(path))
    found = compare_files(twins[0], path).differences
    details = [difference.detail for difference in found if difference.part == "graph"]
    assert details == [
        "1 against 0 steps of the kind sum",
        "0 against 1 steps of the kind multiplication",
    ]


def test_a_float_onnx_is_refused(model: Any, twins: tuple[Path, Path], folder: Path) -> None:
    path = folder / "float.onnx"
    ONNX.write(asked(model, "onnx-float32"), path)
    with pytest.raises(UnsupportedError, match="QuantizeLinear"):
        compare_files(twins[0], path)


def test_scales_that_are_not_stored_are_refused(twins: tuple[Path, Path], folder: Path) -> None:
    bare = onnx.load(str(twins[1]))
    (scale,) = [t for t in bare.graph.initializer if t.name == "scores.s"]
    bare.graph.initializer.remove(scale)
    path = folder / "bare.onnx"
    onnx.save(bare, str(path))
    with pytest.raises(UnsupportedError, match="scales that are not stored"):
        compare_files(twins[0], path)


def test_every_runtime_is_compared_on_the_same_integers(twins: tuple[Path, Path]) -> None:
    rows = {
        row.info.runtime: row for row in compare_outputs(*twins, on_the_grid(twins[0], images(4)))
    }
    assert set(rows) == {"oracle", "litert-xnnpack", "onnxruntime", "onnxruntime-precise"}
    assert rows["oracle"].distance == StepDistance(0, 0.0, 1.0)
    assert rows["litert-xnnpack"].as_xnnpack == 1.0
    assert rows["oracle"].as_xnnpack == rows["litert-xnnpack"].distance.equal
    assert (
        rows["onnxruntime-precise"].distance.largest <= 4
    )  # rounds in float, and so not as TFLite
    assert rows["litert-xnnpack"].distance.largest <= 4


@pytest.fixture
def as_with_vnni(monkeypatch):
    """ONNX Runtime without saturation, since the converter's weights have the full range."""
    monkeypatch.setattr(parity_layers, "open_session", precise_session)


def test_layers_are_walked_to_the_first_difference(
    twins: tuple[Path, Path], as_with_vnni: Any
) -> None:
    tflite, twin = twins
    pairs = compare_files(tflite, twin).pairs
    batch = random_images(tflite, 2, seed=1)
    own = walk_litert(tflite, batch)
    assert own.first is None
    assert len(own.rows) == len(read_integers(tflite).ops)
    other = walk_onnx(tflite, twin, pairs, batch)
    assert [row.name for row in other.rows] == [pair.tflite.name for pair in pairs]
    assert other.rows[0].distance.largest == 0  # the same integers go in
    assert other.rows[1].distance.largest <= 1  # one layer rounds otherwise by a step at most


def test_the_walk_names_the_layer_that_was_changed(
    twins: tuple[Path, Path], folder: Path, as_with_vnni: Any
) -> None:
    tflite, twin = twins
    pairs = compare_files(tflite, twin).pairs
    step = pairs[4].tflite
    changed = onnx.load(str(twin))
    (tensor,) = [t for t in changed.graph.initializer if t.name == f"{step.tensor}.1.q"]
    value = numpy_helper.to_array(tensor) + np.int32(3000)
    tensor.CopyFrom(numpy_helper.from_array(value.astype(np.int32), tensor.name))
    path = folder / "walked.onnx"
    onnx.save(changed, str(path))
    rows = walk_onnx(tflite, path, pairs, random_images(tflite, 1, seed=1)).rows
    far = [row.name for row in rows if row.distance.largest > 2]
    assert far[0] == step.name


def test_random_images_are_seeded_and_on_the_grid(twins: tuple[Path, Path]) -> None:
    first, second = (random_images(twins[0], 3, seed=5) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(on_the_grid(twins[0], first), first)
    assert not np.array_equal(first, random_images(twins[0], 3, seed=6))
