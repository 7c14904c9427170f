"""Layers of Keras whose operators have no integer form, from the model to both files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.parity.compare import compare_files
from network.from_keras import from_keras
from network.run_tensorflow import run
from quantize.islands import islands
from quantize.plans.simulate import simulated
from tests.export.tflite.tflite_cases import predict
from tests.network.graphs import images, sqnr_db
from tests.quantize.test_islands import planned, written

CONTRACT = Preprocessing(size=(8, 8), crop=Crop.PAD)

ON_MAPS: dict[str, Callable[[Any], Any]] = {
    "sin": ops.sin,
    "erf by its series": lambda x: ops.tanh(1.128 * x + 0.1009 * x * x * x),
    "softplus": layers.Activation("softplus"),
    "mish": layers.Activation("mish"),
    "floor": lambda x: ops.floor(8.0 * x) + x,
    "running sum": lambda x: ops.cumsum(x, axis=1),
    "log1p": lambda x: ops.log1p(ops.abs(x)),
    "layer norm": layers.LayerNormalization(name="norm"),
    "layer norm without scale": layers.LayerNormalization(center=False, scale=False, name="norm"),
    "group norm": layers.GroupNormalization(4, name="norm"),
    "a choice": lambda x: ops.where(ops.greater(x, 0.0), x, 0.1 * x),
    "flip": lambda x: ops.flip(x, axis=2),
}
ON_VECTORS: dict[str, Callable[[Any], Any]] = {
    "sort": lambda x: ops.sort(x, axis=-1),
    "top k": lambda x: ops.top_k(x, 4)[0],
    "gather at computed places": lambda x: ops.take_along_axis(x, ops.argsort(x, -1), axis=-1),
    "a vector without a batch": lambda x: ops.reshape(ops.sin(ops.reshape(x, (-1,))), (-1, 16)),
}


def network(function: Callable[[Any], Any], *, on_vectors: bool) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    if on_vectors:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = function(layers.Dense(16, name="middle")(x))
    else:
        x = layers.Conv2D(8, 3, padding="same", name="next")(function(x))
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(4, name="head")(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ON_MAPS, *ON_VECTORS])
def test_a_layer_without_integers_stays_in_float_in_both_files(name: str, tmp_path: Path) -> None:
    function = {**ON_MAPS, **ON_VECTORS}[name]
    model = network(function, on_vectors=name in ON_VECTORS)
    graph, pictures = from_keras(model, CONTRACT), images(6, seed=8)
    exact = run(graph, pictures)
    assert sqnr_db(np.asarray(model(pictures, training=False)), exact) > 80
    assert all(0 <= op.share < 0.1 for op in islands(graph))
    network_in_integers = planned(graph)
    expected = simulated(network_in_integers, pictures)
    assert sqnr_db(exact, expected) > 15
    tflite, onnx = written(network_in_integers, tmp_path)
    assert sqnr_db(expected, predict(tflite, pictures)) > 20
    parity = compare_files(tflite, onnx)
    assert parity.same, parity.differences
