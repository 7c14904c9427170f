"""Small networks, and a run in LiteRT's plain kernels, that the TFLite tests share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.preprocessing import Crop, Preprocessing
from export.target import ExportRequest
from models.spec import ModelSpec, model_spec
from network.from_keras import from_keras
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import RECIPES, Recipe
from quantize.settings import IoType, Optimization, Precision

RECIPES_HERE = tuple(r.with_effort(Optimization.FAST) for r in RECIPES if r.target == "tflite")
IO_RECIPES = tuple(
    recipe.with_io(io)
    for recipe in RECIPES_HERE
    for io in (IoType if recipe.precision is Precision.INT8 else (None,))
)
CONTRACT = Preprocessing(size=(32, 32), crop=Crop.PAD)


def label(recipe: Recipe) -> str:
    return f"{recipe.name}-{recipe.io.value}"


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, (count, 32, 32, 3)).astype(np.float32)


def calibration() -> Iterator[np.ndarray]:
    yield images()[:5]
    yield images()[5:]


def short_spec() -> ModelSpec:
    """MobileNetV2 up to its first residual sum: every kind of operator, a quarter of the time."""
    spec = model_spec("mobilenet_v2_small")
    return replace(spec, stages=spec.stages[:2])


def randomized(model: Any, seed: int = 3) -> Any:
    """Set batch norms and biases to values that show faults of folding."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            n = layer.gamma.shape[0]
            gamma, variance = rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, n)
            layer.set_weights([gamma, rng.normal(0, 0.2, n), rng.normal(0, 0.2, n), variance])
        elif kind == "Dense":
            kernel = layer.get_weights()[0]
            layer.set_weights([kernel, rng.normal(0, 0.1, kernel.shape[1])])
    return model


def build_short() -> Any:
    import keras

    keras.utils.set_random_seed(5)
    spec = short_spec()
    return randomized(spec.build(spec))


def request(model: Any, recipe: Recipe, contract: Preprocessing = CONTRACT) -> ExportRequest:
    data = calibration if recipe.needs_calibration else None
    planned = None
    settings = recipe.settings
    if settings.floating is not None or settings.bits == 4:  # TensorFlow's converter has none
        graph = from_keras(model, contract)
        plan = make_plan(graph, CalibrationImages(8, calibration), contract, recipe.settings)
        planned = PlannedNetwork(plan.network(graph), plan)
    return ExportRequest(model, recipe, contract, data, planned=planned)


def predict(path: Path, batch: np.ndarray) -> np.ndarray:
    """Run LiteRT's plain kernels, with float32 input and output."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    results = []
    for image in batch:
        value = image[None]
        if source["dtype"] is not np.float32:
            scale, zero = source["quantization"]
            limits = np.iinfo(source["dtype"])
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        interpreter.set_tensor(source["index"], value.astype(source["dtype"]))
        interpreter.invoke()
        result = interpreter.get_tensor(sink["index"]).astype(np.float32)
        if sink["dtype"] is not np.float32:
            scale, zero = sink["quantization"]
            result = (result - zero) * scale
        results.append(result)
    return np.concatenate(results)


def sqnr_db(reference: np.ndarray, found: np.ndarray) -> float:
    noise = float(((reference - found) ** 2).sum())
    return float(10 * np.log10((reference**2).sum() / max(noise, 1e-30)))
