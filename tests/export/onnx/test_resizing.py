"""Resizes in int8 ONNX files beside LiteRT's, number by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.parity.layers import litert_layers
from export.onnx.graph import to_model
from export.onnx.render import render as render_onnx
from export.onnx.runtime import run_model
from export.tflite.render import render as render_tflite
from network.affine import QuantParams
from network.graph import Graph, Tensor
from network.operators import OpKind
from quantize.plans.plan import QuantizationPlan
from quantize.settings import IoType, Layout, PlanSettings
from tests.network.graphs import Builder

PARAMS = QuantParams((0.013,), (-3,))
SIZES = ((7, 14), (7, 21), (16, 33), (14, 10), (5, 1))
TABLES = {
    OpKind.RESIZE_NEAREST: "ResizeNearestNeighborOptions",
    OpKind.RESIZE_BILINEAR: "ResizeBilinearOptions",
}
grids = pytest.mark.parametrize("grid", ["alignCorners", "halfPixelCenters", "neither"])


def resized(kind: OpKind, grid: str, before: int, after: int) -> Graph:
    b = Builder(np.random.default_rng(0))
    b.tensors["image"] = Tensor("image", (1, before, before, 3))
    size = b.constant("size", np.array([after, after], np.int32))
    options = {"alignCorners": grid == "alignCorners", "halfPixelCenters": grid.startswith("half")}
    shape = (1, after, after, 3)
    b.op(kind, "scores", ("image", size), shape, TABLES[kind], **options)
    return b.graph()


def steps(kind: OpKind, grid: str, sizes: tuple[int, int], path: Path) -> np.ndarray:
    """Steps between ONNX Runtime and LiteRT on random integers."""
    graph = resized(kind, grid, *sizes)
    plan = QuantizationPlan("", {"image": PARAMS, "scores": PARAMS}, {}, PlanSettings())
    shape = graph.tensors["image"].shape
    image = PARAMS.dequantize(np.random.default_rng(1).integers(-128, 128, shape))
    path.write_bytes(render_tflite(graph, plan, IoType.FLOAT32))
    (expected,) = litert_layers(path, "image", ["scores"], image)
    found = run_model(to_model(render_onnx(graph, plan, Layout.NHWC)), image, Layout.NHWC)
    if found.shape[-1] != 3 or found.shape[1] == 3:  # channels first
        found = found.transpose(0, 2, 3, 1)
    difference = (found - expected.reshape(found.shape)) / PARAMS.scale[0]
    return np.abs(np.rint(difference))


@grids
@pytest.mark.parametrize("sizes", SIZES)
def test_the_nearest_pixel_is_the_same(grid: str, sizes: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    assert steps(OpKind.RESIZE_NEAREST, grid, sizes, path).max() == 0


@grids
@pytest.mark.parametrize("sizes", [(8, 16), (7, 14)])
def test_twice_the_size_differs_in_ties_alone(
    grid: str, sizes: tuple[int, int], tmp_path: Path
) -> None:
    if grid == "alignCorners":
        sizes = (sizes[0], 2 * sizes[0] - 1)
    found = steps(OpKind.RESIZE_BILINEAR, grid, sizes, tmp_path / "a.tflite")
    assert found.max() <= 1
    assert (found > 0).mean() < 0.2
