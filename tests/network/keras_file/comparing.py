"""Comparison of a graph that was read from a .keras file with the converter's."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from calibration_data.preprocessing import Preprocessing
from models.loading.stored_network import stored_network
from network.from_keras import as_converted
from network.graph import Graph
from network.keras_file.reader import read_graph
from quantize.plans.plan import digest


def with_random_weights(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with other biases and batch norms than the zeros and ones that it is built with."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype(np.float32))
        elif name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.3, weight.shape).astype(np.float32))
    return model


def read(model: keras.Model, folder: Path) -> Graph | None:
    """Graph that is read from the file of a model; None if Keras must read it."""
    path = folder / "network.keras"
    model.save(path)
    stored = stored_network(path)
    return None if stored is None else read_graph(stored.config, stored.weights)


def converted_again(model: keras.Model) -> Graph:
    """Graph that TensorFlow's converter makes of a model that was saved and loaded."""
    return as_converted(model, Preprocessing.of_arrays(tuple(model.inputs[0].shape[1:])))


def assert_same(found: Graph, wanted: Graph) -> None:
    """Fail at the first difference of two graphs: operators, names, options, numbers."""
    assert (found.input, found.outputs) == (wanted.input, wanted.outputs)
    for one, other in zip(found.ops, wanted.ops, strict=False):
        assert one == other
        assert dict(one.options) == dict(other.options)
    assert len(found.ops) == len(wanted.ops)
    assert set(found.tensors) == set(wanted.tensors)
    for name, tensor in wanted.tensors.items():
        mine = found.tensors[name]
        assert (mine.shape, mine.dtype) == (tensor.shape, tensor.dtype), name
        if tensor.value is None:
            assert mine.value is None, name
        else:
            assert mine.value is not None, name
            np.testing.assert_array_equal(mine.value, tensor.value, err_msg=name)
    assert digest(found) == digest(wanted)
