"""Operators of the families besides convolutions: groups, shuffles, splits, merged branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.session import runtimes
from export.target import ExportRequest, export_targets
from models.spec import ModelSpec, model_spec
from quantize.recipes import recipe
from quantize.settings import BatchAxis, Layout
from tests.export.tflite.tflite_cases import CONTRACT, calibration, images, randomized, sqnr_db


def _shuffled(spec: ModelSpec) -> ModelSpec:
    """A network of a unit that halves the image, and one with a shortcut."""
    return replace(spec, stages=(replace(spec.stages[0], repeats=2),))


def _branched(spec: ModelSpec) -> ModelSpec:
    stage = replace(spec.stages[0], channels=32)
    return replace(spec, stages=(stage, replace(stage, repeats=1, squeezed=1)))


NETWORKS: dict[str, Callable[[ModelSpec], ModelSpec]] = {
    "shufflenet_v1_g3": _shuffled,
    "shufflenet_v2": _shuffled,
    "mobileone_s4": _branched,
}
OPERATORS = {
    "shufflenet_v1_g3": {
        "CONV_2D": 5, "DEPTHWISE_CONV_2D": 2, "RESHAPE": 4, "TRANSPOSE": 2, "CONCATENATION": 1,
        "AVERAGE_POOL_2D": 1, "MAX_POOL_2D": 1, "ADD": 1, "MEAN": 1, "FULLY_CONNECTED": 1,
    },
    "shufflenet_v2": {
        "CONV_2D": 7, "DEPTHWISE_CONV_2D": 3, "RESHAPE": 4, "TRANSPOSE": 2, "CONCATENATION": 2,
        "SPLIT": 1, "MAX_POOL_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1,
    },
    "mobileone_s4": {
        "CONV_2D": 8, "DEPTHWISE_CONV_2D": 3, "MEAN": 3, "LOGISTIC": 2, "MUL": 2,
        "FULLY_CONNECTED": 1,
    },
}  # fmt: skip
"""Operators of the float .tflite: batch norms and rectifiers fused, branches merged."""


@cache
def _model(name: str) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    spec = model_spec(name).resized(32)
    contract = spec.preprocessing.with_labels(())
    spec = NETWORKS[name](replace(spec, alpha=1.0, classes=10, preprocessing=contract))
    model = randomized(spec.build(spec))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images(), training=True)  # so that values stay near 1
    return model if spec.deployed is None else spec.deployed(model)


def _written(name: str, recipe_name: str, folder: Path) -> Path:
    chosen = recipe(recipe_name)
    target = export_targets()[chosen.target]
    data = calibration if chosen.needs_calibration else None
    path = folder / f"{name}{target.suffix}"
    target.write(ExportRequest(_model(name), chosen, CONTRACT, data), path)
    return path


def _answers(path: Path, runtime: str) -> np.ndarray:
    return runtimes()[runtime].open(path, 1).predict(images())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("recipe_name", "runtime", "least_db"),
    [
        ("tflite-float32", "litert-xnnpack", 100),
        ("tflite-float32", "litert-reference", 100),
        ("tflite-float16", "litert-xnnpack", 45),
        ("onnx-float32", "onnxruntime", 100),
    ],
)
def test_every_family_is_exported(
    name: str, recipe_name: str, runtime: str, least_db: float, tmp_path: Path
) -> None:
    expected = np.asarray(_model(name)(images(), training=False))
    assert expected.std() > 1e-2
    path = _written(name, recipe_name, tmp_path)
    assert sqnr_db(expected, _answers(path, runtime)) > least_db
    if recipe_name == "tflite-float32":
        found = export_targets()["tflite"].inspect(path).operators
        assert {operator.name: operator.count for operator in found} == OPERATORS[name]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layout", Layout)
def test_an_onnx_file_transposes_nothing_but_its_image_and_its_shuffles(
    name: str, layout: Layout, tmp_path: Path
) -> None:
    chosen = replace(recipe("onnx-float32"), layout=layout, batch=BatchAxis.NAMED)
    path = tmp_path / "network.onnx"
    export_targets()["onnx"].write(ExportRequest(_model(name), chosen, CONTRACT), path)
    found = {o.name: o.count for o in export_targets()["onnx"].inspect(path).operators}
    image = 1 if layout is Layout.NHWC else 0
    assert found.get("Transpose", 0) - image == OPERATORS[name].get("TRANSPOSE", 0)
    expected = np.asarray(_model(name)(images(), training=False))
    assert sqnr_db(expected, _answers(path, "onnxruntime")) > 100


@pytest.mark.parametrize("name", NETWORKS)
def test_int8_kernels_agree_on_groups_shuffles_and_splits(name: str, tmp_path: Path) -> None:
    """Reference and XNNPACK kernels differ by a step; a kernel without groups would be far off."""
    expected = np.asarray(_model(name)(images(), training=False))
    path = _written(name, "tflite-int8", tmp_path)
    for runtime in ("litert-xnnpack", "litert-plain", "litert-reference"):
        assert sqnr_db(expected, _answers(path, runtime)) > 15, runtime
    assert sqnr_db(expected, _answers(_written(name, "onnx-int8", tmp_path), "onnxruntime")) > 15
