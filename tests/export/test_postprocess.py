"""Detections inside a file are those of the definition in NumPy, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.detection import DETECTIONS, Detector, ScoreEnd
from evaluation.decoding import decoded
from evaluation.session import runtime_for
from export.onnx.detections import with_detections as onnx_detections
from export.onnx.graph import from_model, to_model
from export.onnx.inspect import load
from export.postprocess import require_postprocess
from export.target import target_of
from export.tflite.detections import with_detections
from foundation.errors import UnsupportedError
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import BatchAxis, IoType, Layout, Postprocess
from tests.export.detectors import (
    CONTRACT,
    DETECTOR,
    assert_same,
    clear,
    final,
    images,
    network,
    with_detector,
    written,
)

EXAMPLES = 20


@cache
def model() -> Any:
    return network()


def behind(of: Recipe) -> Recipe:
    """Recipe with the detections of its format."""
    return replace(of, postprocess=Postprocess(of.target))


def outputs(path: Path, count: int = EXAMPLES) -> Mapping[str, np.ndarray]:
    session = runtime_for(path).open(path, 1)
    return dict(zip(session.outputs, session.run(images(count)), strict=True))


def compare(
    net: Any, of: Recipe, folder: Path, detector: Detector = DETECTOR, count: int = EXAMPLES
) -> None:
    """Write a file with and without post-processing, and compare their detections."""
    contract = with_detector(detector)
    raw = outputs(written(net, of, folder / "raw", contract), count)
    path = written(net, behind(of), folder / "final", contract)
    compare_detections(raw, path, detector, count)


def compare_added(net: Any, name: str, folder: Path, detector: Detector) -> None:
    """Add post-processing to a file, and compare with the detections of before."""
    path = written(net, recipe(name), folder / "net", with_detector(detector))
    raw = outputs(path)
    add(path, detector)
    compare_detections(raw, path, detector, EXAMPLES)


def add(path: Path, detector: Detector) -> None:
    """Add post-processing to a float32 file, in place."""
    if path.suffix == ".tflite":
        content = with_detections(
            path.read_bytes(), detector, runtime_for(path).open(path, 1).outputs
        )
    else:
        graph = onnx_detections(from_model(load(path)), detector)
        content = to_model(graph).SerializeToString()
    path.write_bytes(content)


def compare_detections(
    raw: Mapping[str, np.ndarray], path: Path, detector: Detector, count: int
) -> None:
    """Compare the detections of a file with those that its raw outputs give in NumPy."""
    found = final(outputs(path, count))
    wanted = decoded(detector, raw)
    assert wanted.counts.sum() >= 5 * count  # the heads find many boxes
    sure = clear(detector, raw)
    assert sure.mean() > 0.8
    names = ("boxes", "scores", "classes", "counts")
    assert_same(
        replace(found, **{name: getattr(found, name)[sure] for name in names}),
        replace(wanted, **{name: getattr(wanted, name)[sure] for name in names}),
        detector.most,
    )


@pytest.mark.parametrize("name", ["tflite-int8", "onnx-int8"])
def test_detections_of_an_int8_file_are_those_of_the_definition(name: str, tmp_path: Path) -> None:
    compare(model(), recipe(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("of", RECIPES, ids=lambda of: of.name)
def test_detections_of_every_recipe_are_those_of_the_definition(of: Recipe, tmp_path: Path) -> None:
    compare(model(), of, tmp_path, count=200)


@pytest.mark.parametrize("name", ["tflite-float32", "onnx-float32"])
@pytest.mark.parametrize(
    "detector",
    [
        replace(DETECTOR, end=ScoreEnd.SOFTMAX, score_threshold=0.25),
        replace(DETECTOR, ground=False, score_threshold=0.7, most=1000),
    ],
    ids=["softmax", "without ground, more than there are"],
)
def test_other_detectors(detector: Detector, name: str, tmp_path: Path) -> None:
    compare_added(network(detector), name, tmp_path, detector)


@pytest.mark.parametrize("io", [IoType.FLOAT32, IoType.UINT8])
def test_any_type_of_the_ends(io: IoType, tmp_path: Path) -> None:
    compare(model(), recipe("tflite-int8").with_io(io), tmp_path)


def test_a_free_batch_and_channels_first(tmp_path: Path) -> None:
    of = replace(recipe("onnx-float32"), layout=Layout.NCHW, batch=BatchAxis.NAMED)
    path = written(model(), behind(of), tmp_path / "final")
    many = outputs(path, 7)
    one = outputs(written(model(), behind(recipe("onnx-float32")), tmp_path / "one"), 7)
    for name in DETECTIONS:
        assert np.allclose(many[name], one[name], atol=1e-6)


def test_a_tflite_file_joins_no_integers_of_several_scales(tmp_path: Path) -> None:
    path = written(model(), behind(recipe("tflite-int8")), tmp_path / "final")
    found = target_of(path).inspect(path)
    assert {(o.name, o.compute) for o in found.operators if o.name == "CONCATENATION"} == {
        ("CONCATENATION", "float32")
    }
    ends = [(t.name, t.dtype, t.shape) for t in found.outputs]
    shapes = ((1, 40, 4), (1, 40), (1, 40), (1,))
    assert ends == [(n, "float32", s) for n, s in zip(DETECTIONS, shapes, strict=True)]
    scales = {t.scale for t in found.tensors if t.name in DETECTOR.names}
    assert len(scales) == 4
    card = target_of(path).read_card(path)
    assert card is not None
    assert card.recipe.postprocess is Postprocess.TFLITE
    assert card.preprocessing.detector == DETECTOR


def test_outputs_with_the_names_of_detections(tmp_path: Path) -> None:
    """tensorflow/models calls what comes before suppression by such names too."""
    names = ("detection_boxes", "detection_scores")
    detector = replace(DETECTOR, boxes=(names[0], "boxes_1"), scores=(names[1], "scores_1"), most=5)
    net = network(detector)
    for name in ("tflite-float32", "onnx-float32"):
        compare_added(net, name, tmp_path, detector)


@pytest.mark.parametrize("name", ["tflite-float32", "onnx-float32"])
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    path = written(model(), recipe(name), tmp_path / "net")
    fewer = replace(DETECTOR, levels=(DETECTOR.levels[0], DETECTOR.levels[0]))
    with pytest.raises(UnsupportedError, match="4 numbers for the box of each anchor"):
        add(path, fewer)
    other = replace(DETECTOR, boxes=("boxes_0", "boxes_2"))
    with pytest.raises(UnsupportedError, match="without boxes_2"):
        add(path, other)


def test_a_network_that_is_no_detector_is_refused() -> None:
    contract = replace(CONTRACT, detector=None)
    with pytest.raises(UnsupportedError, match=r"has a table \[detection\]"):
        require_postprocess([Postprocess.TFLITE], contract)
    require_postprocess([Postprocess.NONE], contract)
    require_postprocess([Postprocess.ONNX], CONTRACT)


def test_post_processing_of_another_format_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="begin with onnx; received --postprocess onnx"):
        replace(recipe("tflite-int8"), postprocess=Postprocess.ONNX)


def test_recipes_without_post_processing_are_written_as_before() -> None:
    assert "postprocess" not in recipe("tflite-int8").to_dict()
    of = behind(recipe("tflite-int8"))
    assert Recipe.from_dict(of.to_dict()) == of
