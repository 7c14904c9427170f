"""Small networks and written files that the tests of the ONNX target share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration_data.preprocessing import Crop, Preprocessing
from export.target import ExportRequest
from models.mobilenet_v2 import SMALL_IMAGE_STAGES
from models.spec import model_spec
from quantize.recipes import RECIPES
from quantize.settings import BatchAxis, Layout, Optimization

ONNX_RECIPES = tuple(
    recipe.with_effort(Optimization.FAST) for recipe in RECIPES if recipe.target == "onnx"
)
SHAPES = ((Layout.NHWC, BatchAxis.ONE), (Layout.NCHW, BatchAxis.NAMED))


def small_spec():
    """First stages of the registered small network, for speed."""
    return replace(model_spec("mobilenet_v2_small"), stages=SMALL_IMAGE_STAGES[:3])


def small_model():
    """Set random weights and batch norm statistics, the same ones in each call."""
    import keras

    spec = small_spec()
    model = spec.build(spec)
    rng = np.random.default_rng(7)
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (w.shape for w in weights)
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, gamma),
                    rng.normal(0, 0.3, beta),
                    rng.normal(0, 0.3, mean),
                    rng.uniform(0.5, 1.5, variance),
                ]
            )
        elif weights:
            layer.set_weights(
                [rng.normal(0, np.prod(w.shape[:-1]) ** -0.5, w.shape) for w in weights]
            )
    return model


def images(count, size=32, seed=3):
    """Random images, float32 ``[count, size, size, 3]``, between -1 and 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def request_for(model, recipe, size=32, batches=None):
    """A request with 24 calibration images in two batches."""
    data = [images(16, size), images(8, size, seed=4)] if batches is None else batches
    contract = (
        small_spec().preprocessing if size == 32 else Preprocessing((size, size), Crop.STRETCH)
    )
    return ExportRequest(model, recipe, contract, lambda: iter(data))


def precise_session(content):
    """Session that does not saturate without VNNI, for weights over the full range."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(path, pixels, layout=Layout.NHWC, optimized=None, full_range=False):
    """Scores of a file; the images are split into batches of the file's size."""
    from export.onnx.runtime import in_layout, open_session

    content = path.read_bytes()
    session = precise_session(content) if full_range else open_session(content, optimized)
    fixed = isinstance(session.get_inputs()[0].shape[0], int)
    parts = [pixels[i : i + 1] for i in range(len(pixels))] if fixed else [pixels]
    return np.concatenate([session.run(None, {"image": in_layout(p, layout)})[0] for p in parts])


def sqnr(reference, found):
    """Signal to quantization noise, in decibels."""
    noise = np.square(np.float64(reference) - found).sum()
    return 10 * np.log10(np.square(np.float64(reference)).sum() / max(noise, 1e-300))
