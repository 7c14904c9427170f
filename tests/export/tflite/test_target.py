from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.target import CARD_KEY, ArtifactCard, export_targets
from export.tflite.check import check_file
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import Recipe, recipe
from quantize.settings import BatchAxis, Granularity, Layout, PlanSettings, Precision
from tests.export.tflite.tflite_cases import (
    IO_RECIPES,
    RECIPES_HERE,
    calibration,
    images,
    label,
    predict,
    request,
    short_spec,
    sqnr_db,
)

REPEATED = ("tflite-float16", "tflite-int8")
"""Recipes that the fast tests write twice."""
# Measured on these networks: float32 above 110, float16 67, dynamic 39, int8 33 to 39, int16x8 39.
SQNR_FLOOR_DB = {
    Precision.FLOAT32: 90.0,
    Precision.FLOAT16: 50.0,
    Precision.DYNAMIC: 25.0,
    Precision.WEIGHT_INT8: 25.0,
    Precision.INT8: 20.0,
    Precision.INT4: 10.0,
    Precision.INT16X8: 28.0,
}


@pytest.fixture
def model(short_model):
    return short_model


@pytest.fixture
def written(tflite_files):
    return tflite_files


def test_the_target_is_found_by_name() -> None:
    assert export_targets()["tflite"] is TARGET


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_a_file_computes_what_the_model_does(
    model: Any, written: dict[str, Path], each: Recipe
) -> None:
    reference = np.asarray(model(images(), training=False))
    found = predict(written[label(each)], images())
    assert sqnr_db(reference, found) > SQNR_FLOOR_DB[each.precision]


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_a_file_has_the_types_that_were_asked_for(written: dict[str, Path], each: Recipe) -> None:
    found = TARGET.inspect(written[label(each)])
    (source,), (sink,) = found.inputs, found.outputs
    assert (source.dtype, sink.dtype) == (each.io.value, each.io.value)
    assert source.shape == (1, 32, 32, 3)
    assert sink.shape == (1, 10)
    computes = {o.compute for o in found.operators if o.name not in ("QUANTIZE", "DEQUANTIZE")}
    assert (
        computes
        == {
            Precision.FLOAT32: {"float32"},
            Precision.FLOAT16: {"float32"},
            Precision.DYNAMIC: {"float32", "hybrid"},
            Precision.WEIGHT_INT8: {"float32"},
            Precision.INT8: {"int8"},
            Precision.INT4: {"int8"},
            Precision.INT16X8: {"int16"},
        }[each.precision]
    )


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_every_file_fails_the_check_of_every_other_recipe(
    written: dict[str, Path], each: Recipe
) -> None:
    check_file(written[label(each)], each)
    for other in IO_RECIPES:
        if other != each:
            with pytest.raises(UnsupportedError):
                check_file(written[label(each)], other)


def test_scales_per_channel_are_those_of_convolutions_only(written: dict[str, Path]) -> None:
    tensors = TARGET.inspect(written["tflite-int8-int8"]).tensors
    kernels = [t for t in tensors if t.constant and t.dtype == "int8" and len(t.shape) == 4]
    assert len(kernels) == 10  # 7 convolutions and 3 depthwise ones
    for kernel in kernels:
        assert kernel.axis in (0, 3)
        assert len(kernel.scale) == kernel.shape[kernel.axis]
        assert set(kernel.zero_point) == {0}
    (dense,) = [t for t in tensors if t.constant and t.dtype == "int8" and len(t.shape) == 2]
    assert len(dense.scale) == 1


def test_per_tensor_has_one_scale_everywhere(written: dict[str, Path]) -> None:
    tensors = TARGET.inspect(written["tflite-int8-per-tensor-int8"]).tensors
    assert max(len(t.scale) for t in tensors) == 1
    assert sum(t.constant and len(t.scale) == 1 for t in tensors) > 10


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_the_card_comes_back(written: dict[str, Path], each: Recipe) -> None:
    expected = ArtifactCard(short_spec().preprocessing, each)
    assert TARGET.read_card(written[label(each)]) == expected
    assert expected.preprocessing.labels


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_every_buffer_is_aligned_to_16_bytes(written: dict[str, Path], each: Recipe) -> None:
    from ai_edge_litert.schema_py_generated import Model

    content = np.frombuffer(written[label(each)].read_bytes(), np.uint8)
    model = Model.GetRootAs(content.tobytes(), 0)
    aligned = []
    for i in range(model.BuffersLength()):
        data = model.Buffers(i).DataAsNumpy()
        if not isinstance(data, int):
            start = data.__array_interface__["data"][0]
            base = np.frombuffer(model._tab.Bytes, np.uint8).__array_interface__["data"][0]
            aligned.append((start - base) % 16 == 0)
    assert all(aligned)
    assert len(aligned) > 20


@pytest.mark.parametrize("each", IO_RECIPES, ids=label)
def test_no_path_or_version_of_this_machine_is_in_a_file(
    written: dict[str, Path], each: Recipe
) -> None:
    content = written[label(each)].read_bytes()
    for leak in (b"/tmp", b"/home", b"/usr", b".py", b"CONVERSION_METADATA", bytes(Path.cwd())):
        assert leak not in content


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(each, marks=() if each.name in REPEATED else pytest.mark.slow)
        for each in RECIPES_HERE
    ],
    ids=label,
)
def test_the_same_request_gives_the_same_bytes(
    model: Any, written: dict[str, Path], each: Recipe, tmp_path: Path
) -> None:
    again = tmp_path / "again.tflite"
    TARGET.write(request(model, each, short_spec().preprocessing), again)
    assert again.read_bytes() == written[label(each)].read_bytes()


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from export.tflite.target import TARGET;"
        "from quantize.recipes import recipe;"
        "from tests.export.tflite.tflite_cases import build_short, request;"
        "TARGET.write(request(build_short(), recipe('tflite-int8')), Path(sys.argv[1]))"
    )
    digests = set()
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.tflite"
        env = {**os.environ, "PYTHONHASHSEED": seed, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout == b""
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_writing_prints_nothing_to_stdout(
    model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    TARGET.write(request(model, recipe("tflite-int8")), tmp_path / "a.tflite")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [({"batch": BatchAxis.NAMED}, "batch"), ({"layout": Layout.NCHW}, "layout")],
)
def test_what_tflite_has_not_is_refused(
    model: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    wanted = replace(recipe("tflite-float32"), **change)
    with pytest.raises(UnsupportedError, match=words):
        TARGET.write(request(model, wanted), tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())


def test_a_recipe_of_another_target_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="onnx-float32"):
        TARGET.write(request(model, recipe("onnx-float32")), tmp_path / "a.tflite")


def _with_nan():
    batch = images()
    batch[2, 0, 0, 0] = np.nan
    yield batch


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "none"),
        (lambda: iter(()), "empty"),
        (_with_nan, "finite"),
        (lambda: iter([images().astype(np.float64)]), "float64"),
        (lambda: iter([images()[:, :16]]), r"\[8, 16, 32, 3\]"),
    ],
    ids=["missing", "empty", "nan", "dtype", "shape"],
)
def test_calibration_that_breaks_a_rule_is_refused(
    model: Any, tmp_path: Path, data: Any, words: str
) -> None:
    broken = replace(request(model, recipe("tflite-int8")), calibration=data)
    with pytest.raises(InvalidInputError, match=words):
        TARGET.write(broken, tmp_path / "a.tflite")


def test_calibration_sets_the_input_scale(model: Any, tmp_path: Path) -> None:
    def half():
        for batch in calibration():
            yield batch / 2

    for name, data in (("full", calibration), ("half", half)):
        asked = replace(request(model, recipe("tflite-int8")), calibration=data)
        TARGET.write(asked, tmp_path / f"{name}.tflite")
    full, halved = (
        TARGET.inspect(tmp_path / f"{name}.tflite").inputs[0] for name in ("full", "half")
    )
    assert full.scale[0] == pytest.approx(2 / 255, rel=0.01)
    assert halved.scale[0] == pytest.approx(1 / 255, rel=0.01)


def test_the_check_names_what_is_wrong(written: dict[str, Path]) -> None:
    wrong = replace(
        recipe("tflite-int8"), settings=PlanSettings(granularity=Granularity.PER_TENSOR)
    )
    with pytest.raises(UnsupportedError, match="48 scales for"):
        check_file(written["tflite-int8-int8"], wrong)
    with pytest.raises(UnsupportedError, match="CONV_2D in float32"):
        check_file(written["tflite-float32-float32"], recipe("tflite-int16x8"))


def test_the_card_is_sorted_compact_json(written: dict[str, Path]) -> None:
    from network.tflite.reader import read_flat_model

    text = read_flat_model(written["tflite-int8-int8"]).metadata[CARD_KEY].decode()
    assert text.startswith('{"preprocessing":{"channels":"rgb",')
