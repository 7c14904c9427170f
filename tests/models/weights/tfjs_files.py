"""TensorFlow.js graph models of small Keras networks, as converters of several ages write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import keras
import numpy as np

from models.cost.keras_graph import nodes_of


class Norms(StrEnum):
    """What becomes of a batch norm."""

    OPERATOR = "operator"
    """FusedBatchNorm on four tensors."""
    PRODUCT = "product"
    """A product and a sum with constants."""
    MERGED = "merged"
    """The product in the kernel, and a sum."""
    BEHIND_SHORTCUTS = "behind shortcuts"
    """The same, and where a shortcut follows the sum comes behind it."""
    FUSED = "fused"
    """One operator with a bias and the activation."""


@dataclass
class Tfjs:
    """A graph model before it is written."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append({"name": name, "op": op, "input": inputs, "attr": attributes})
        return name

    def constant(self, name: str, values: Any) -> str:
        self.weights[name] = np.asarray(values)
        return self.node("Const", name, [])


def tfjs_of(model: keras.Model, norms: Norms) -> Tfjs:
    """Graph of a model of convolutions, batch norms that follow them, ReLU6 and sums."""
    made = Tfjs()
    names = {id(model.inputs[0]): made.node("Placeholder", "image", [])}
    pending: dict[int, np.ndarray] = {}
    for node in nodes_of(model):
        layer, inputs = node.operation, node.input_tensors
        result = id(node.output_tensors[0])
        sources = [names[id(tensor)] for tensor in inputs]
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D"):
            names[result] = _convolution(made, layer, sources[0], _norm_of(node), norms)
        elif kind == "BatchNormalization":
            names[result] = sources[0]
            if norms is Norms.BEHIND_SHORTCUTS:
                shift = _scale_and_shift(layer)[1]
                if _readers(layer) == ["Add"]:
                    pending[result] = shift
                else:
                    names[result] = _shifted(made, layer.name, sources[0], shift)
        elif kind == "ReLU":
            names[result] = made.node("Relu6", layer.name, sources)
        else:
            joined = made.node("AddN", layer.name, sources)
            names[result] = _shifted(made, layer.name, joined, pending.get(id(inputs[1])))
    for number, output in enumerate(model.outputs):
        made.node("Identity", f"output_{number}", [names[id(output)]])
    return made


def _shifted(made: Tfjs, name: str, source: str, shift: np.ndarray | None) -> str:
    if shift is None:
        return source
    constant = made.constant(f"{name}/shift", shift)
    return made.node("Add", f"{name}/add", [constant, source])


def _readers(layer: Any) -> list[str]:
    """Kinds of the layers that read a layer's result."""
    return [type(node.operation).__name__ for node in layer._outbound_nodes]


def _norm_of(node: Any) -> Any:
    """Batch norm that reads a call's result, if one does."""
    readers = node.operation._outbound_nodes
    kinds = [r.operation for r in readers if type(r.operation).__name__ == "BatchNormalization"]
    return kinds[0] if kinds else None


def _scale_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _convolution(made: Tfjs, layer: Any, source: str, norm: Any, norms: Norms) -> str:
    kernel = layer.get_weights()[0]
    deep, name = type(layer).__name__ == "DepthwiseConv2D", layer.name
    op = "DepthwiseConv2dNative" if deep else "Conv2D"
    dilations = {"list": {"i": ["1", *map(str, layer.dilation_rate), "1"]}}
    if norm is None:
        kernel = made.constant(f"{name}/weights", kernel)
        x = made.node(op, name, [source, f"{kernel}:0"], dilations=dilations)
        bias = made.constant(f"{name}/biases", layer.get_weights()[1])
        return made.node("BiasAdd", f"{name}/BiasAdd", [x, bias, "^image"])
    scale, shift = _scale_and_shift(norm)
    merged = norms not in (Norms.OPERATOR, Norms.PRODUCT)
    wide = scale[:, None] if deep else scale
    constant = made.constant(f"{name}/weights", kernel * wide if merged else kernel)
    if norms is Norms.FUSED:
        text = [base64.b64encode(b"BiasAdd").decode(), list(b"Relu6")]
        bias = made.constant(f"{name}/bias", shift)
        op = "FusedDepthwiseConv2dNative" if deep else "_FusedConv2D"
        return made.node(op, name, [source, constant, bias], fused_ops={"list": {"s": text}})
    x = made.node(op, name, [source, constant], dilations=dilations)
    if norms is Norms.OPERATOR:
        weights = zip(("gamma", "beta", "mean", "variance"), norm.get_weights(), strict=True)
        four = [made.constant(f"{name}/{part}", values) for part, values in weights]
        return made.node("FusedBatchNormV3", norm.name, [x, *four], epsilon={"f": norm.epsilon})
    if norms is Norms.PRODUCT:
        factor = made.constant(f"{name}/mul", scale)
        x = made.node("Mul", f"{name}/product", [x, factor])
    return x if norms is Norms.BEHIND_SHORTCUTS else _shifted(made, name, x, shift)


def entry(name: str, values: np.ndarray, quantized: str = "") -> tuple[dict[str, Any], bytes]:
    """Entry of a manifest, and the bytes of a weight."""
    made = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
    if not quantized:
        return made, values.tobytes()
    if quantized == "float16":
        made["quantization"] = {"dtype": quantized, "original_dtype": "float32"}
        return made, values.astype("<f2").tobytes()
    least, levels = float(values.min(initial=0)), np.iinfo(quantized).max
    scale = (float(values.max(initial=0)) - least) / levels or 1.0
    made["quantization"] = {"dtype": quantized, "scale": scale, "min": least}
    return made, np.round((values - least) / scale).astype(quantized).tobytes()


def write(
    folder: Path, tfjs: Tfjs, *, shards: int = 3, quantized: Mapping[str, str] | str = ""
) -> Path:
    """Write model.json and its shards, which end anywhere in a weight; returns the folder."""
    kinds = (
        dict.fromkeys(tfjs.weights, quantized) if isinstance(quantized, str) else dict(quantized)
    )
    entries = [entry(name, values, kinds.get(name, "")) for name, values in tfjs.weights.items()]
    content = b"".join(values for _, values in entries)
    names = [f"group1-shard{number + 1}of{shards}" for number in range(shards)]
    step = -(-len(content) // shards)
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(content[number * step : (number + 1) * step])
    manifest = [{"paths": names, "weights": [made for made, _ in entries]}]
    text = {"modelTopology": {"node": tfjs.nodes}, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(text), encoding="utf-8")
    return folder
