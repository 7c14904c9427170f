"""Files of the onnx target: outputs, content, and equal bytes in every run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.onnx.target import SATURATION_KEY, SATURATION_NOTE, SATURATION_SAFE, TARGET
from export.target import CARD_KEY, ArtifactCard, target_of
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import Recipe, recipe
from quantize.settings import BatchAxis, Granularity, IoType, Layout, Precision, WeightRange
from tests.export.onnx.onnx_cases import (
    ONNX_RECIPES,
    SHAPES,
    images,
    request_for,
    run,
    small_model,
    sqnr,
)

LEAST_SQNR = {
    Precision.FLOAT32: 100.0,
    Precision.FLOAT16: 50.0,
    Precision.DYNAMIC: 30.0,
    Precision.INT8: 25.0,
}


@pytest.fixture(scope="module", name="model")
def _model(small_model):
    return small_model


@pytest.fixture(scope="module")
def expected(model):
    return np.asarray(model(images(7, seed=9), training=False))


@pytest.fixture(scope="module", params=ONNX_RECIPES, ids=lambda r: r.name)
def base(request):
    return request.param


@pytest.fixture(scope="module", params=SHAPES, ids=lambda s: f"{s[0].value}-{s[1].value}")
def written(request, base, model, onnx_files, tmp_path_factory):
    """Recipe and file, for each recipe and both shapes of the input."""
    asked = replace(base, layout=request.param[0], batch=request.param[1])
    if asked == base:
        return asked, onnx_files[base.name]
    path = tmp_path_factory.mktemp("onnx") / f"{asked.name}.onnx"
    TARGET.write(request_for(model, asked), path)
    return asked, path


def nodes_of(path):
    return onnx.load(path).graph.node


def constants_of(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_scores_are_those_of_keras(written: tuple[Recipe, Path], expected: np.ndarray) -> None:
    asked, path = written
    full_range = (
        asked.precision is Precision.INT8 and asked.settings.weight_range is WeightRange.FULL
    )
    found = run(path, images(7, seed=9), asked.layout, full_range=full_range)
    assert sqnr(expected, found) > LEAST_SQNR[asked.precision]
    if asked.precision is Precision.FLOAT32:
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_input_output_and_batch(written: tuple[Recipe, Path], expected: np.ndarray) -> None:
    asked, path = written
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    first, last = model.graph.input[0], model.graph.output[0]
    assert (first.name, last.name, model.producer_name) == ("image", "scores", "edgequant")
    dims = [d.dim_param or d.dim_value for d in first.type.tensor_type.shape.dim]
    batch = 1 if asked.batch is BatchAxis.ONE else "batch"
    assert dims == [batch, *([32, 32, 3] if asked.layout is Layout.NHWC else [3, 32, 32])]
    assert [d.dim_param or d.dim_value for d in last.type.tensor_type.shape.dim] == [batch, 10]
    assert run(path, images(1, seed=9), asked.layout).shape == (1, 10)


def test_no_stray_transposes_and_no_batch_norms(written: tuple[Recipe, Path]) -> None:
    asked, path = written
    counts = Counter(node.op_type for node in nodes_of(path))
    assert counts["Transpose"] == (1 if asked.layout is Layout.NHWC else 0)
    assert not counts["BatchNormalization"] + counts["Pad"] + counts["ReduceMean"]
    if asked.precision in (Precision.FLOAT32, Precision.FLOAT16):
        # 6 blocks: the first without expansion; all 3 shortcuts; nothing else left of batch norms
        assert (counts["Conv"], counts["Add"], counts["Mul"]) == (19, 3, 0)


def test_card_labels_and_saturation_are_inside(written: tuple[Recipe, Path]) -> None:
    asked, path = written
    contract = request_for(None, asked).preprocessing
    entries = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert TARGET.read_card(path) == ArtifactCard(contract, asked)
    assert " " not in entries[CARD_KEY].split('"labels"')[0]
    assert entries["labels"].splitlines() == list(contract.labels)
    expected_note = {
        Precision.DYNAMIC: SATURATION_SAFE,
        Precision.INT8: SATURATION_NOTE
        if asked.settings.weight_range is WeightRange.FULL
        else SATURATION_SAFE,
    }.get(asked.precision)
    assert entries.get(SATURATION_KEY) == expected_note
    assert target_of(path) is TARGET


def test_no_path_and_no_converter_in_the_file(written: tuple[Recipe, Path]) -> None:
    model = onnx.load(written[1])
    names = [n for node in model.graph.node for n in (node.name, *node.input, *node.output)]
    content = written[1].read_bytes()
    for trace in ("tf2onnx", "StatefulPartitionedCall", "__", "_Output", str(written[1].parent)):
        assert not [name for name in names if trace in name]
        assert len(trace) < 5 or trace.encode() not in content


STATIC = [recipe for recipe in ONNX_RECIPES if recipe.precision is Precision.INT8]


@pytest.mark.parametrize("base", STATIC, indirect=True, ids=lambda r: r.name)
def test_int8_convolutions_are_fused_by_the_runtime(
    written: tuple[Recipe, Path], tmp_path: Path
) -> None:
    asked, path = written
    assert asked.precision is Precision.INT8
    run(path, images(1), asked.layout, optimized=tmp_path / "optimized.onnx")
    counts = Counter(node.op_type for node in nodes_of(tmp_path / "optimized.onnx"))
    # The runtime computes channels last, and transposes an NCHW input for it.
    assert counts.pop("Transpose") == (1 if asked.layout is Layout.NHWC else 2)
    assert counts == {
        "QuantizeLinear": 1,
        "QLinearConv": 19,
        "QLinearAdd": 3,
        "QLinearGlobalAveragePool": 1,
        "Flatten": 1,
        "QGemm": 1,
        "DequantizeLinear": 1,
    }


@pytest.mark.parametrize("base", STATIC, indirect=True, ids=lambda r: r.name)
def test_weight_ranges_and_scales(written: tuple[Recipe, Path]) -> None:
    asked, path = written
    assert asked.precision is Precision.INT8
    constants = constants_of(path)
    dequantizers = {n.output[0]: n for n in nodes_of(path) if n.op_type == "DequantizeLinear"}
    seen = Counter()
    for node in nodes_of(path):
        if node.op_type not in ("Conv", "Gemm"):
            continue
        dequantizer = dequantizers[node.input[1]]
        weight = constants[dequantizer.input[0]].astype(np.int32)
        scale = constants[dequantizer.input[1]]
        depthwise = node.op_type == "Conv" and weight.shape[1] == 1
        safe = asked.settings.weight_range is WeightRange.SATURATION_SAFE and not depthwise
        if safe:  # the products of two neighbours with uint8 activations fit in 16 bits
            rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
            positive, negative = np.maximum(rows, 0), np.maximum(-rows, 0)
            step = 2 if weight.shape[1] % 2 == 0 or node.op_type == "Gemm" else 1
            for part in (positive, negative):
                sums = (part[:, :-1] + part[:, 1:])[:, ::step]
                assert 255 * sums.max() <= np.iinfo(np.int16).max
            assert np.abs(weight).max() > 64, "half the range would be lost without need"
        else:
            assert np.abs(weight).max() == 127
        one = asked.settings.granularity is Granularity.PER_TENSOR
        assert scale.size == (1 if one else len(weight))
        seen["depthwise" if depthwise else "ordinary"] += 1
    assert seen == {"depthwise": 6, "ordinary": 14}


def test_per_channel_is_finer_than_per_tensor_and_full_than_safe(
    model: Any, expected: np.ndarray, tmp_path: Path
) -> None:
    quality = {}
    for name in ("onnx-int8", "onnx-int8-per-tensor", "onnx-int8-full-range"):
        path = tmp_path / f"{name}.onnx"
        wanted = replace(recipe(name), layout=Layout.NCHW)
        TARGET.write(request_for(model, wanted), path)
        full_range = wanted.settings.weight_range is WeightRange.FULL
        found = run(path, images(7, seed=9), Layout.NCHW, full_range=full_range)
        quality[name] = sqnr(expected, found)
    assert quality["onnx-int8"] > quality["onnx-int8-per-tensor"] + 1
    assert quality["onnx-int8-full-range"] > quality["onnx-int8-per-tensor"] + 1


def test_dynamic_weights_are_unsigned(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    TARGET.write(request_for(model, recipe("onnx-dynamic")), path)
    constants = constants_of(path)
    integer = [n for n in nodes_of(path) if n.op_type in ("ConvInteger", "MatMulInteger")]
    assert len(integer) == 20
    for node in integer:
        assert constants[node.input[1]].dtype == np.uint8
        assert constants[node.input[3]] == 128
        assert constants[node.input[1]].min() >= 1


@pytest.mark.parametrize("name", ["onnx-float32", "onnx-dynamic", "onnx-int8"])
def test_same_bytes_for_the_same_request(name: str, model: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "1.onnx", tmp_path / "2.onnx"
    TARGET.write(request_for(model, recipe(name)), first)
    # A network built anew has other automatic names.
    TARGET.write(request_for(small_model(), recipe(name)), second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_same_bytes_in_another_process(model: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "1.onnx", tmp_path / "2.onnx"
    TARGET.write(request_for(model, recipe("onnx-int8")), first)
    script = (
        "import sys, pathlib\n"
        "from tests.export.onnx.onnx_cases import *\n"
        "from export.onnx.target import TARGET\n"
        "from quantize.recipes import recipe\n"
        "TARGET.write(request_for(small_model(), recipe('onnx-int8')), pathlib.Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(second)], check=True, timeout=300)
    assert first.read_bytes() == second.read_bytes()


def test_nothing_on_stdout_and_no_temporary_files(
    model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    TARGET.write(request_for(model, recipe("onnx-int8")), tmp_path / "net.onnx")
    assert capfd.readouterr().out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("io", [IoType.INT8, IoType.UINT8])
def test_integer_input_is_refused(io: IoType, model: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="takes and gives float32"):
        TARGET.write(request_for(model, recipe("onnx-int8").with_io(io)), tmp_path / "net.onnx")


def test_int16_activations_are_refused(model: Any, tmp_path: Path) -> None:
    asked = replace(recipe("onnx-int8"), precision=Precision.INT16X8)
    with pytest.raises(UnsupportedError, match="int16"):
        TARGET.write(request_for(model, asked), tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one image"),
        ([images(2, size=16)], "size of the network's input"),
        ([images(2), np.full((1, 32, 32, 3), np.nan, np.float32)], "finite numbers"),
        ([images(2)[0]], "size of the network's input"),
    ],
)
def test_calibration_that_breaks_a_rule(
    batches: list[Any], message: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        TARGET.write(
            request_for(model, recipe("onnx-int8"), batches=batches), tmp_path / "net.onnx"
        )


def test_int8_needs_calibration(model: Any, tmp_path: Path) -> None:
    request = replace(request_for(model, recipe("onnx-int8")), calibration=None)
    with pytest.raises(InvalidInputError, match="calibration"):
        TARGET.write(request, tmp_path / "net.onnx")


def test_files_without_calibration_are_tried_on_random_pixels(model: Any, tmp_path: Path) -> None:
    request = replace(request_for(model, recipe("onnx-float16")), calibration=None)
    TARGET.write(request, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").exists()


def test_a_path_that_cannot_be_written(model: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TARGET.write(request_for(model, recipe("onnx-float32")), tmp_path / "no" / "net.onnx")
