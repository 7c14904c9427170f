"""Legacy .h5 files written by hand, as Keras 2.0 and its contemporaries wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def layer(kind: str, name: str, before: str | None, **config: Any) -> dict[str, Any]:
    """An entry of a model's configuration."""
    inbound = [] if before is None else [[[before, 0, 0, {}]]]
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "inbound_nodes": inbound,
    }


def functional(*layers: dict[str, Any], kind: str = "Model") -> dict[str, Any]:
    """A model of an input and these layers, the last of which is its output."""
    image = layer("InputLayer", "image", None, batch_input_shape=[None, 8, 8, 3], sparse=False)
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}
    return {"class_name": kind, "config": {"name": "net", "layers": [image, *layers], **ends}}


def write(path: Path, config: Any, weights: dict[str, dict[str, np.ndarray]]) -> Path:
    """An .h5 of Keras 2.0: weights of each layer, by name."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("2.0.8-tf")
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([name.encode() for name in weights])
        for name, values in weights.items():
            inner = group.create_group(name)
            inner.attrs["weight_names"] = np.array([key.encode() for key in values], "S")
            for key, value in values.items():
                inner[key] = value
    return path


_RNG = np.random.default_rng(3)
KERNEL = _RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
DEPTHWISE = _RNG.normal(size=(3, 3, 4, 1)).astype(np.float32)
NORM = {
    name: _RNG.uniform(0.5, 1.5, 4).astype(np.float32)
    for name in ("gamma", "beta", "moving_mean", "moving_variance")
}
OLD_CONV = {
    "filters": 4,
    "kernel_size": [3, 3],
    "activation": "linear",
    "use_bias": False,
    "kernel_initializer": {
        "class_name": "VarianceScaling",
        "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
    },
    "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.00004}},
}


def small(conv: str = "conv") -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """Configuration and weights of an old MobileNet's first layers."""
    config = functional(
        layer("Conv2D", "conv", "image", **OLD_CONV),
        layer("BatchNormalization", "norm", "conv", axis=[3], fused=True, epsilon=0.001),
        layer("Activation", "relu", "norm", activation="relu6"),
        layer(
            "DepthwiseConv2D", "deep", "relu", kernel_size=[3, 3], groups=1, use_bias=False,
            depthwise_initializer={"class_name": "GlorotUniform", "config": {"dtype": "float32"}},
        ),
        layer("GlobalAveragePooling2D", "pool", "deep", data_format="channels_last"),
    )  # fmt: skip
    weights = {
        "image": {},
        "conv": {f"{conv}/kernel:0": KERNEL},
        "norm": {f"norm/{name}:0": value for name, value in NORM.items()},
        "relu": {},
        "deep": {"deep/depthwise_kernel:0": DEPTHWISE},
        "pool": {},
    }
    return config, weights
