"""Legacy .h5 files of tf.keras 2.0 to 2.15: their configuration as one of Keras 3, and loading.

Keras 3 reads such files only where no layer, argument or activation has changed since; a MobileNet
saved before 2.16 is refused for its ``groups``. ``mended`` rewrites the configuration: layers by
``legacy_layers``, TensorFlow functions by ``legacy_operations``, connections here. It is a function
of JSON to JSON, so what a file may name is checked on its result, as for every other file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foundation.errors import UnsupportedError
from foundation.foreign import printable
from models.loading.legacy_layers import REBUILD, Step, mended_layer
from models.loading.legacy_operations import operation_of

_MODELS = frozenset({"Functional", "Model", "Sequential"})
_FUNCTIONS = frozenset({"SlicingOpLambda", "TFOpLambda", "TensorFlowOpLayer"})
_HOMES = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
}
"""Modules of Keras's own layers that ``keras.layers`` does not hold."""
_CONSTANT = "_CONSTANT_VALUE"
"""In the place of a layer's name: the value itself follows."""


@dataclass(frozen=True)
class Mended:
    """A model of Keras 2 as Keras 3 reads it.

    Attributes:
        config: of the model, with modules.
        names: each layer of the model itself by the name in the file; its name in Keras 3.
    """

    config: dict[str, Any]
    names: dict[str, str]


@dataclass(frozen=True)
class _Tensor:
    """A result of a layer: which one, of which call."""

    layer: str
    node: int
    index: int


def mended(config: dict[str, Any]) -> Mended:
    """The configuration of a Keras 2 model as one of Keras 3.

    Args:
        config: ``model_config`` of an .h5 file, parsed; left as it is.

    Raises:
        UnsupportedError: a layer or function that Keras 3 cannot express; names it.
        ValueError, TypeError, LookupError: no configuration of a Keras 2 model.
    """
    layers = layers_of(config)
    _refuse_two_hard_sigmoids(config)
    return Mended(_model(config), names_of(layers))


def _model(entry: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """A Functional or Sequential model, and the models in it."""
    stored, layers = entry["config"], layers_of(entry)
    if name is None:
        name = _plain(stored["name"] if isinstance(stored, dict) else "sequential")
    trainable = stored.get("trainable", True) if isinstance(stored, dict) else True
    if entry["class_name"] == "Sequential":
        inside = {"name": name, "trainable": trainable, "layers": _sequence(stored, layers)}
        return _entry("keras", "Sequential", inside)
    graph = _Connections(layers)
    config = {
        "name": name,
        "trainable": trainable,
        "layers": [layer for old in layers for layer in graph.rebuilt(old)],
        "input_layers": graph.ends(stored["input_layers"]),
        "output_layers": graph.ends(stored["output_layers"]),
    }
    return _entry("keras.src.models.functional", "Functional", config)


def _sequence(stored: Any, layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers of a Sequential, from an InputLayer where the shape is known."""
    names = names_of(layers)
    first = layers[0]["config"]
    known = first.get("batch_input_shape") if isinstance(first, dict) else None
    if known is None and isinstance(stored, dict):
        known = stored.get("build_input_shape")
    sequence = []
    if known is not None and layers[0]["class_name"] != "InputLayer":
        shape = {"batch_shape": known, "name": f"{names[name_of(layers[0])]}_input"}
        sequence.append(_entry("keras.layers", "InputLayer", shape))
    for layer in layers:
        if layer["class_name"] in _FUNCTIONS:
            raise ValueError(f"a {layer['class_name']} in a Sequential")
        sequence += _steps(layer, names[name_of(layer)])
    return sequence


def _steps(layer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A layer, or a model in a model, under its name in Keras 3."""
    if layer["class_name"] in _MODELS:
        return [_model(layer, name)]
    config = {**layer["config"], "name": name}
    return [_of_step(layer, step) for step in mended_layer(layer["class_name"], config)]


def _of_step(layer: dict[str, Any], step: Step) -> dict[str, Any]:
    if (home := _HOMES.get(step.class_name)) is not None:
        return _entry(home, step.class_name, step.config)
    entry = _entry("keras.layers", step.class_name, step.config)
    # Another's class keeps the place that the file names, for the check that refuses it.
    for key in ("module", "registered_name"):
        if layer.get(key) is not None and step.class_name == layer["class_name"]:
            entry[key] = layer[key]
    return entry


def _entry(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


class _Connections:
    """Who is connected to whom in a Functional model, by the names and counts of Keras 3."""

    def __init__(self, layers: list[dict[str, Any]]) -> None:
        self._names = names_of(layers)
        self._last: dict[str, str] = {}
        calls = {name_of(layer): len(layer["inbound_nodes"]) for layer in layers}
        models = {name_of(layer) for layer in layers if layer["class_name"] in _MODELS}
        self._functional = models - {name_of(x) for x in layers if x["class_name"] == "Sequential"}
        used = dict.fromkeys(models, 0)
        for layer in layers:
            for tensor in self._tensors(layer["inbound_nodes"]):
                if tensor.layer in used:
                    used[tensor.layer] = max(used[tensor.layer], tensor.node)
            self._last[name_of(layer)] = self._last_step(layer)
        # Keras 2 counts the creation of a model as its first call.
        self._shifted = {name for name in models if used[name] >= calls[name]}

    def rebuilt(self, layer: dict[str, Any]) -> list[dict[str, Any]]:
        """A layer of Keras 2, as layers of Keras 3 with their calls."""
        nodes = [self._arguments(node) for node in layer["inbound_nodes"]]
        name = self._names[name_of(layer)]
        if layer["class_name"] in _FUNCTIONS:
            return [self._operation(layer, name, nodes)]
        steps = _steps(layer, name)
        rebuilt = []
        for position, step in enumerate(steps):
            if position == 0:
                calls = [self._call(args, keywords) for args, keywords in nodes]
            else:
                before = steps[position - 1]["config"]["name"]
                calls = [
                    {"args": [_reference(before, node, 0)], "kwargs": {}}
                    for node in range(len(nodes))
                ]
            rebuilt.append({**step, "name": step["config"]["name"], "inbound_nodes": calls})
        return rebuilt

    def ends(self, stored: list[Any]) -> list[Any]:
        """Inputs or outputs of the model: ``[layer, call, result]``, or a list where several."""
        ends = [self._end(end) for end in ([stored] if isinstance(stored[0], str) else stored)]
        return ends[0] if len(ends) == 1 else ends

    def _end(self, end: Any) -> list[Any]:
        tensor = self._tensor(end)
        if tensor is None:
            raise ValueError(f"an end {str(end)[:80]}, which is no result of a layer")
        node = self._node(tensor) + (tensor.layer in self._functional)
        return [self._last[tensor.layer], node, tensor.index]

    def _operation(
        self, layer: dict[str, Any], name: str, nodes: list[tuple[list[Any], dict[str, Any]]]
    ) -> dict[str, Any]:
        if len(nodes) != 1:
            raise UnsupportedError(
                "a TensorFlow function in an .h5 model is called once",
                received=f"{printable(name)} with {len(nodes)} calls",
                remedy=REBUILD,
            )
        call = operation_of(layer, *nodes[0])
        if any(True for _ in _inside(call.config)):
            raise UnsupportedError(
                "a TensorFlow function in an .h5 model has shapes and axes that are numbers",
                received=f"{printable(name)} with one that is computed",
                remedy=REBUILD,
            )
        module, _, kind = call.operation.rpartition(".")
        entry = _entry(f"keras.src.ops.{module}", kind, {**call.config, "name": name})
        return {**entry, "name": name, "inbound_nodes": [self._call(list(call.args), {})]}

    def _call(self, args: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        return {"args": self._value(args), "kwargs": self._value(keywords)}

    def _value(self, value: Any) -> Any:
        """A value of a call as Keras 3 writes it."""
        if isinstance(value, _Tensor):
            return _reference(self._last[value.layer], self._node(value), value.index)
        if isinstance(value, dict):
            return {key: self._value(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            if value and all(isinstance(inner, float) for inner in value):
                array = {"value": list(value), "dtype": "float32"}
                return {"class_name": "__numpy__", "config": array}
            return [self._value(inner) for inner in value]
        if isinstance(value, slice):
            ends = {"start": value.start, "stop": value.stop, "step": value.step}
            return {"class_name": "__slice__", "config": ends}
        if value is Ellipsis:
            return {"class_name": "__ellipsis__", "config": {}}
        return value

    def _arguments(self, node: Any) -> tuple[list[Any], dict[str, Any]]:
        """What one call takes: by position (a list where it takes several), and by name."""
        if not isinstance(node, list) or not node:
            raise ValueError(f"a call that is {str(node)[:40]}")
        single = isinstance(node[0], str)
        keywords: dict[str, Any] = {}
        values = []
        for entry in [node] if single else node:
            while isinstance(entry, list) and len(entry) == 1 and isinstance(entry[0], list):
                entry = entry[0]
            if isinstance(entry[0], list):  # a list of tensors in a list of arguments
                values.append([self._first(inner) for inner in entry])
                keywords = keywords or self._keywords(entry[0])
                continue
            values.append(self._first(entry))
            keywords = keywords or self._keywords(entry)
        if len(values) > 1:
            return [values], keywords
        return values, keywords

    def _first(self, entry: Any) -> Any:
        """Tensor or constant of one entry ``[layer, call, result, keywords]``."""
        if entry[0] == _CONSTANT:
            return entry[2]
        tensor = self._tensor(entry)
        if tensor is None:
            raise ValueError(f"a connection to {str(entry[0])[:80]}, which is no layer")
        return tensor

    def _keywords(self, entry: list[Any]) -> dict[str, Any]:
        stored = entry[3] if len(entry) > 3 else {}
        return {
            key: self._resolved(value)
            for key, value in stored.items()
            if not (key == "mask" and value is None)
        }

    def _resolved(self, value: Any) -> Any:
        """A keyword, with the tensors in it."""
        if (tensor := self._tensor(value)) is not None:
            return tensor
        if isinstance(value, list):
            return [self._resolved(inner) for inner in value]
        return value

    def _tensor(self, value: Any) -> _Tensor | None:
        if (
            isinstance(value, list)
            and len(value) in (3, 4)
            and isinstance(value[0], str)
            and value[0] in self._names
            and all(isinstance(number, int) for number in value[1:3])
        ):
            return _Tensor(value[0], value[1], value[2])
        return None

    def _tensors(self, value: Any) -> Iterator[_Tensor]:
        if (tensor := self._tensor(value)) is not None:
            yield tensor
        for inner in value.values() if isinstance(value, dict) else value:
            if isinstance(inner, list | dict):
                yield from self._tensors(inner)

    def _node(self, tensor: _Tensor) -> int:
        return max(0, tensor.node - (tensor.layer in self._shifted))

    def _last_step(self, layer: dict[str, Any]) -> str:
        """Name of the layer that gives what this one gave."""
        name = self._names[name_of(layer)]
        if layer["class_name"] in _MODELS | _FUNCTIONS:
            return name
        return str(_steps(layer, name)[-1]["config"]["name"])


def _reference(layer: str, node: int, index: int) -> dict[str, Any]:
    config = {"shape": [], "dtype": "float32", "keras_history": [layer, node, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def _inside(value: Any) -> Iterator[_Tensor]:
    """Tensors in the arguments of a constructor."""
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _inside(inner)


def layers_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Layers of a model; Keras 2.0 to 2.2 wrote those of a Sequential without a name beside."""
    stored = entry["config"]
    layers = stored if isinstance(stored, list) else stored["layers"]
    if entry["class_name"] not in _MODELS or not layers:
        raise ValueError(f"a {str(entry['class_name'])[:80]} without layers")
    return list(layers)


def name_of(layer: dict[str, Any]) -> str:
    """Name of a layer in the file."""
    stored = layer.get("name") or (
        layer["config"].get("name") if isinstance(layer["config"], dict) else None
    )
    return str(stored or "sequential")


def names_of(layers: list[dict[str, Any]]) -> dict[str, str]:
    """Names in Keras 3, which has no slash in them; each once."""
    names: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for layer in layers:
        if (stored := name_of(layer)) in names:
            continue
        name = _plain(stored)
        taken[name] += 1
        if taken[name] > 1:
            name = f"{name}__{taken[name]}"
        names[stored] = name
    return names


def _plain(name: str) -> str:
    return name.replace("/", "_")


def _refuse_two_hard_sigmoids(config: dict[str, Any]) -> None:
    """Refuse a file whose ``hard_sigmoid`` may be Keras's own or another's."""
    names = set(_activations(config))
    if {"hard_sigmoid", "hard_swish"} <= names:
        raise UnsupportedError(
            "an .h5 model has Keras's own hard_sigmoid, or hard_swish, which is another's "
            "and stands on another hard_sigmoid",
            received="both names",
            remedy=REBUILD,
        )


def _activations(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            if isinstance(inner.get("activation"), str):
                yield inner["activation"]
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)
