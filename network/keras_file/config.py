"""Configuration of a .keras file: layers in the order in which Keras runs them.

Source: keras/src/ops/function.py (``map_graph``) of Keras 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from network.keras_file.nodes import UnknownPartError

_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.-]*")
"""Names that TensorFlow takes for a scope as they are."""

Reference = tuple[str, int]
"""Name of a layer, and number of its result."""


@dataclass(frozen=True)
class LayerEntry:
    """One layer of a configuration, which is called once.

    Attributes:
        name: name of the layer.
        kind: class with the module, such as ``keras.layers.Conv2D``.
        config: arguments of the layer.
        inputs: results that it reads, in the order of its call.
        numbers: arguments of its call that are no results, by position.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[Reference, ...]
    numbers: Mapping[int, float]


@dataclass(frozen=True)
class NetworkConfig:
    """A functional model of one input.

    Attributes:
        name: name of the model.
        input: its input layer.
        layers: the other layers, in the order in which Keras runs them.
        outputs: results that the model gives.
    """

    name: str
    input: LayerEntry
    layers: tuple[LayerEntry, ...]
    outputs: tuple[Reference, ...]


def network_config(config: Mapping[str, Any]) -> NetworkConfig:
    """Layers of a parsed config.json.

    Raises:
        UnknownPartError: no plain functional model of one input whose layers are called once each.
        KeyError, TypeError, ValueError: a configuration that Keras did not write.
    """
    if config["class_name"] != "Functional" or config["module"] != "keras.src.models.functional":
        raise UnknownPartError(str(config["class_name"]))
    inner = config["config"]
    if set(inner) != {"name", "trainable", "layers", "input_layers", "output_layers"}:
        raise UnknownPartError("arguments of a model")
    entries = {entry.name: entry for entry in map(_entry, inner["layers"])}
    if len(entries) != len(inner["layers"]):
        raise UnknownPartError("two layers of one name")
    (source,) = _references(inner["input_layers"])
    sources = [entry.name for entry in entries.values() if not entry.inputs]
    if sources != [source[0]] or entries[source[0]].kind != "keras.layers.InputLayer":
        raise UnknownPartError("inputs")
    outputs = tuple(_references(inner["output_layers"]))
    if len(set(outputs)) < len(outputs) or any(name == source[0] for name, _ in outputs):
        raise UnknownPartError("an output that is another one, or the input")
    layers = tuple(entries[name] for name in _run_order(entries, outputs) if name != source[0])
    return NetworkConfig(_checked_name(inner["name"]), entries[source[0]], layers, outputs)


def _entry(layer: Mapping[str, Any]) -> LayerEntry:
    name = _checked_name(layer["name"])
    if layer["config"].get("name", name) != name or len(layer["inbound_nodes"]) > 1:
        raise UnknownPartError(f"{name}, which is shared")
    inputs: list[Reference] = []
    numbers: dict[int, float] = {}
    for node in layer["inbound_nodes"]:
        settings = node["kwargs"]
        if any(settings.get(key) for key in settings) or not set(settings) <= {"mask", "training"}:
            raise UnknownPartError(f"arguments in the call of {name}")
        for position, value in enumerate(node["args"]):
            if isinstance(value, int | float) and not isinstance(value, bool):
                numbers[position] = float(value)
            else:
                inputs += _tensors(value)
    kind = f"{layer['module']}.{layer['class_name']}"
    return LayerEntry(name, kind, layer["config"], tuple(inputs), numbers)


def _tensors(value: Any) -> Iterator[Reference]:
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict) or item.get("class_name") != "__keras_tensor__":
            raise UnknownPartError("an argument that is no result of a layer")
        name, call, number = item["config"]["keras_history"]
        if call != 0:
            raise UnknownPartError(f"{name}, which is called twice")
        yield str(name), int(number)


def _references(value: Any) -> list[Reference]:
    """Inputs or outputs of a model: one, or a list of several."""
    listed = [value] if value and isinstance(value[0], str) else value
    if not isinstance(listed, list) or any(call for _, call, _ in listed):
        raise UnknownPartError("the outputs of a model")
    return [(str(name), int(number)) for name, _, number in listed]


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnknownPartError("a name that TensorFlow changes")
    return name


def _run_order(entries: Mapping[str, LayerEntry], outputs: tuple[Reference, ...]) -> list[str]:
    """Names of the layers by their distance from the outputs, the farthest first."""
    depths: dict[str, int] = {}
    for name in reversed(_inputs_first(entries, outputs)):
        depth = depths.setdefault(name, 0)
        for source, _ in entries[name].inputs:
            depths[source] = max(depth + 1, depths.get(source, 0))
    return sorted(depths, key=lambda name: -depths[name])


def _inputs_first(entries: Mapping[str, LayerEntry], outputs: tuple[Reference, ...]) -> list[str]:
    """Names of the layers, each behind those that it reads."""
    done: dict[str, None] = {}
    begun: set[str] = set()
    waiting = [(name, False) for name, _ in reversed(outputs)]
    while waiting:
        name, finished = waiting.pop()
        if finished:
            done[name] = None
        elif name not in begun:
            begun.add(name)
            waiting.append((name, True))
            waiting += [(source, False) for source, _ in reversed(entries[name].inputs)]
    return list(done)
