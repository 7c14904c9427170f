"""Detectors and segmenters in float and int8: every output, with equal integers in both files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.task import Task
from evaluation.parity.compare import compare_files
from evaluation.parity.runs import compare_outputs, on_the_grid, walk_litert
from evaluation.session import runtimes
from export.target import ExportRequest, export_targets
from models.blocks import Stage
from models.spec import ModelSpec, model_spec, specs_of
from network.from_keras import from_keras
from network.run_tensorflow import run_outputs
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import Recipe, recipe
from quantize.settings import Optimization
from tests.models.networks import randomize, settle
from tests.network.graphs import sqnr_db

STAGES = (
    # t, c, n, s          resolution at 48 x 32
    Stage(2, 8, 1, 2),  # 12 x 8
    Stage(2, 8, 1, 2),  # 6 x 4
    Stage(2, 16, 1, 2),  # 3 x 2
)
"""A network with every output stride from 2 to 16; a detector has one more."""
DENSE = specs_of(Task.DETECTION) | specs_of(Task.SEGMENTATION)
SIZE = (64, 64)
OPERATORS = {
    "ssdlite": {"CONV_2D": 14, "DEPTHWISE_CONV_2D": 8},
    "deeplab_v3": {
        "CONV_2D": 14, "DEPTHWISE_CONV_2D": 3, "MEAN": 1, "CONCATENATION": 1,
        "RESIZE_BILINEAR": 1,
    },
    "lraspp": {
        "CONV_2D": 11, "DEPTHWISE_CONV_2D": 3, "MEAN": 1, "LOGISTIC": 1, "MUL": 1, "ADD": 1,
        "RESIZE_BILINEAR": 1,
    },
}  # fmt: skip
"""Operators of the int8 .tflite of each small network: dilations are in the convolutions."""


def _tiny(name: str, size: tuple[int, int] = (48, 32), **details: Any) -> ModelSpec:
    spec = model_spec(name).resized(size)
    stages = STAGES if spec.task is Task.SEGMENTATION else (*STAGES, STAGES[-1])
    return replace(
        spec,
        alpha=1.0,
        stages=stages,
        classes=3,
        preprocessing=spec.preprocessing.with_labels(()),
        details=replace(spec.details, **details),
    )


TINY = {
    "ssdlite": _tiny("ssdlite_mobilenet_v2", extras=()),
    "deeplab_v3": _tiny("deeplab_v3_mobilenet_v2_aspp", output_stride=8, filters=8),
    "lraspp": _tiny("lraspp_mobilenet_v2", (49, 33), filters=8),
}

QUICK = ("ssdlite", "deeplab_v3")


def _small(name: str) -> ModelSpec:
    spec = DENSE[name].resized(SIZE)
    contract = spec.preprocessing.with_labels(())
    return replace(spec, alpha=0.35, classes=3, preprocessing=contract)


def _pictures(spec: ModelSpec, count: int = 8) -> np.ndarray:
    """Smooth random images between -1 and 1, float32 ``[count, h, w, 3]``."""
    height, width = spec.input_shape[:2]
    coarse = np.random.default_rng(7).uniform(-1, 1, (count, height // 4 + 1, width // 4 + 1, 3))
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    return fine.astype(np.float32)


def _built(spec: ModelSpec) -> Any:
    """Random weights whose batch norms have seen the pictures."""
    model = spec.build(spec)
    randomize(model, seed=len(spec.name))
    settle(model, _pictures(spec))
    return model


def _answers(model: Any, images: np.ndarray) -> list[np.ndarray]:
    found = model(images, training=False)
    return [np.asarray(output) for output in (found if isinstance(found, list) else [found])]


class Exported:
    """A network, its plan, and the files that are written of it."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.model, self.images = spec, _built(spec), _pictures(spec)
        self.graph = from_keras(self.model, spec.preprocessing)
        self.answers = _answers(self.model, self.images)

    def write(self, of: Recipe, folder: Path) -> Path:
        target = export_targets()[of.target]
        path = folder / f"network{target.suffix}"
        contract = self.spec.preprocessing
        plan = self._planned(of) if of.planned else None
        request = ExportRequest(self.model, of, contract, self._batches, planned=plan)
        target.write(request, path)
        return path

    def _batches(self) -> Iterator[np.ndarray]:
        yield self.images

    @cache  # noqa: B019 - lives as long as the one test that makes it
    def _planned(self, of: Recipe) -> PlannedNetwork:
        calibration = CalibrationImages(len(self.images), self._batches)
        settings = replace(of.settings, optimization=Optimization.FAST)
        plan = make_plan(self.graph, calibration, self.spec.preprocessing, settings)
        return PlannedNetwork(plan.network(self.graph), plan)


def _assert_float(net: Exported, least_db: float) -> None:
    """The graph that is quantized computes what Keras does, in every output."""
    assert len(net.graph.outputs) == len(net.answers)
    for found, wanted in zip(run_outputs(net.graph, net.images), net.answers, strict=True):
        assert wanted.std() > 1e-3
        assert sqnr_db(wanted, found) > least_db


def _assert_equal_integers(net: Exported, folder: Path) -> tuple[Path, Path]:
    """Both files hold the same integers, and LiteRT computes those of the specification."""
    tflite = net.write(recipe("tflite-int8"), folder)
    onnx = net.write(recipe("onnx-int8"), folder)
    integers = compare_files(tflite, onnx)
    assert integers.differences == ()
    assert integers.integers > 1000
    images = on_the_grid(tflite, net.images[:2])
    rows = compare_outputs(tflite, onnx, images)
    exact = [row for row in rows if row.info.runtime == "oracle"]
    assert len(exact) == len(net.answers)
    assert all(row.distance.largest == 0 for row in exact)
    assert walk_litert(tflite, images).first is None
    return tflite, onnx


def _assert_near(net: Exported, files: tuple[Path, Path]) -> None:
    """Each file computes about what the float network does."""
    for path, runtime in zip(files, ("litert-reference", "onnxruntime"), strict=True):
        outputs = runtimes()[runtime].open(path, 1).run(net.images)
        for found, wanted in zip(outputs, net.answers, strict=True):
            assert sqnr_db(wanted, found) > 10


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TINY]
)
def test_a_small_network_is_exported_with_equal_integers(name: str, tmp_path: Path) -> None:
    net = Exported(TINY[name])
    _assert_float(net, 80)
    files = _assert_equal_integers(net, tmp_path)
    _assert_near(net, files)
    found = export_targets()["tflite"].inspect(files[0]).operators
    counts = {operator.name: operator.count for operator in found}
    assert {k: n for k, n in counts.items() if "QUANTIZE" not in k} == OPERATORS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", DENSE)
def test_every_registered_network_is_exported_with_equal_integers(
    name: str, tmp_path: Path
) -> None:
    net = Exported(_small(name))
    # Rounding errors of float32 grow with the depth, and a network of random weights keeps them.
    _assert_float(net, 60)
    _assert_equal_integers(net, tmp_path)
