"""Networks and weights to load: Keras, PyTorch and TensorFlow.js."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from tests.fuzz.parser import Parser


def _model(path: Path) -> None:
    from tests.models.networks import classifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras's advice on legacy files
        classifier().save(path)


def _legacy_model(path: Path) -> None:
    from tests.models.loading.legacy_configs import small, write

    write(path, *small())


def _read_model(path: Path) -> object:
    from models.loading.request import ModelRequest, load

    return load(ModelRequest(str(path)))


def _read_layers(path: Path) -> object:
    from models.loading.stored_network import stored_network
    from network.keras_file.reader import read_graph

    stored = stored_network(path)
    return None if stored is None else read_graph(stored.config, stored.weights)


def _weights(path: Path) -> None:
    from tests.models.networks import tiny_spec

    spec = tiny_spec()
    spec.build(spec).save_weights(path)


def _read_weights(path: Path) -> object:
    from models.weights.named import build_with_weights
    from tests.models.networks import tiny_spec

    return build_with_weights(tiny_spec(), str(path))


def _state(path: Path) -> None:
    from tests.models.weights.torch_files import View, archive

    archive(path, {"a": View(np.arange(12, dtype=np.float32).reshape(3, 4), "0")})


def _legacy_state(path: Path) -> None:
    from tests.models.weights.torch_files import View, legacy

    path.write_bytes(legacy({"a": View(np.arange(12, dtype=np.float32).reshape(3, 4), "0")}))


def _read_state(path: Path) -> object:
    from models.weights.torch_reader import read_torch_weights

    return read_torch_weights(path)


def _tfjs(path: Path) -> None:
    from tests.models.weights.tfjs_files import Tfjs, write

    made = Tfjs()
    kernel = made.constant("kernel", np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4))
    x = made.node("Conv2D", "conv", ["image", kernel])
    norm = [made.constant(name, np.ones(4, np.float32)) for name in ("g", "b", "m", "v")]
    x = made.node("FusedBatchNormV3", "norm", [x, *norm], epsilon={"f": 0.001})
    made.node("Relu6", "relu", [x])
    write(path.parent, made, shards=2, quantized={"kernel": "uint8"})


def _read_tfjs(path: Path) -> object:
    from models.weights.tfjs_layers import tfjs_layers

    return tfjs_layers(path.parent)


NETWORKS = (
    Parser("pth", "net.pth", _state, _read_state),
    Parser("legacy pth", "net.pt", _legacy_state, _read_state),
    Parser("tfjs model", "model.json", _tfjs, _read_tfjs),
    Parser("tfjs shard", "group1-shard1of2", _tfjs, _read_tfjs),
    Parser("keras", "net.keras", _model, _read_model, heavy=True),
    Parser("keras layers", "net.keras", _model, _read_layers, heavy=True),
    Parser("h5", "net.h5", _model, _read_model, heavy=True),
    Parser("legacy h5", "old.h5", _legacy_model, _read_model, heavy=True),
    Parser("weights", "net.weights.h5", _weights, _read_weights, heavy=True),
)
