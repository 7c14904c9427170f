"""Real .tflite files of the study's networks, run in LiteRT beside the simulation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.preprocessing import Preprocessing
from evaluation.session import RuntimeInfo, runtime_for
from export.target import ExportRequest, export_targets
from export.tflite.render import render
from network.affine import (
    IntType,
    QuantParams,
    bias_params,
    quantize_bias,
    weight_params,
    widened_for_bias,
)
from network.graph import Graph
from quantize.engine import make_plan
from quantize.plans.plan import IntegerConstant, PlannedNetwork, QuantizationPlan, digest
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import recipe
from quantize.settings import Granularity, IoType, Optimization, PlanSettings, WeightRange
from studies.relu6.grid import INT8_BITS, Grid
from studies.relu6.simulated import batches, weight_axis

if TYPE_CHECKING:
    import keras


def params_of(grid: Grid) -> QuantParams:
    """Scale and zero point of an int8 tensor for an 8-bit grid.

    Raises:
        ValueError: a grid with another number of bits.
    """
    if grid.last - grid.first != 2**INT8_BITS - 1:
        raise ValueError(f"{grid} does not have 8 bits")
    return QuantParams((grid.scale,), (IntType.INT8.limits[0] - grid.first,))


def plain_plan(
    graph: Graph, grids: Mapping[str, Grid], granularity: Granularity
) -> QuantizationPlan:
    """Plan with rounded weights as in ``simulated.with_rounded_weights``, without any repair.

    Args:
        graph: canonical.
        grids: 8-bit grid of every activation, by name.
        granularity: number of scales of a convolution weight.
    """
    params = {name: params_of(grid) for name, grid in grids.items()}
    constants: dict[str, IntegerConstant] = {}
    for op in graph.weighted:
        source = params[op.inputs[0]]
        weight, bias = graph.weight(op), graph.bias(op)
        scales = weight_params(weight, axis=weight_axis(op, granularity))
        scales = widened_for_bias(scales, bias, source)
        constants[op.inputs[1]] = IntegerConstant(scales, scales.quantize(weight))
        of_bias = bias_params(source, scales)
        constants[op.inputs[2]] = IntegerConstant(of_bias, quantize_bias(bias, of_bias, op.name))
    return QuantizationPlan(
        graph=digest(graph),
        activations=params,
        constants=constants,
        settings=PlanSettings(granularity, WeightRange.FULL, Optimization.CONVERTER),
    )


def engine_plan(
    graph: Graph, images: np.ndarray, contract: Preprocessing, granularity: Granularity
) -> PlannedNetwork:
    """Network with the plan of ``edgequant quantize --optimize default``.

    Args:
        graph: canonical.
        images: float32 calibration images ``[n, h, w, 3]``.
        contract: preprocessing contract of the image.
        granularity: number of scales of a convolution weight.
    """
    calibration = CalibrationImages(len(images), lambda: batches(images, 32))
    request = PlanSettings(granularity, WeightRange.FULL)
    plan = make_plan(graph, calibration, contract, request)
    return PlannedNetwork(plan.network(graph), plan)


def planned_scores(
    graph: Graph, plan: QuantizationPlan, images: np.ndarray
) -> tuple[np.ndarray, RuntimeInfo]:
    """Scores of a plan's .tflite file in LiteRT, and the runtime's description.

    Args:
        graph: graph that the plan is rendered with.
        plan: plan of the file.
        images: float32 ``[n, h, w, 3]``.
    """
    return _scores(render(graph, plan, IoType.INT8), images)


def half_scores(
    model: keras.Model, contract: Preprocessing, images: np.ndarray
) -> tuple[np.ndarray, RuntimeInfo]:
    """Scores of the recipe ``tflite-float16`` in LiteRT, and the runtime's description."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.tflite"
        request = ExportRequest(model, recipe("tflite-float16"), contract)
        export_targets()["tflite"].write(request, path)
        return _run(path, images)


def _scores(content: bytes, images: np.ndarray) -> tuple[np.ndarray, RuntimeInfo]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        return _run(path, images)


def _run(path: Path, images: np.ndarray) -> tuple[np.ndarray, RuntimeInfo]:
    session = runtime_for(path).open(path, 1)
    return session.predict(images), session.info
