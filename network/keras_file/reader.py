"""The layers of a .keras file as the canonical graph, without TensorFlow and Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from calibration_data.preprocessing import Preprocessing
from foundation.ends import output_names
from foundation.foreign import DAMAGE
from network.graph import INPUT_NAME, Graph, Op, Tensor
from network.input_scaling import graph_scaling, other_shape, refuse_two_scalings
from network.keras_file.config import network_config
from network.keras_file.constants import stored_values
from network.keras_file.fusing import fused
from network.keras_file.lowering import lowered
from network.keras_file.nodes import UnknownPartError
from network.keras_file.order import converters_order
from network.keras_file.steps import Step
from network.tflite.canonical import in_canonical_form
from network.tflite.naming import Names, short_name


def converters_graph(
    config: Mapping[str, Any], weights: Mapping[str, Sequence[np.ndarray]]
) -> Graph:
    """Float graph that TensorFlow's converter makes of a network, as it is, without any rewrite.

    Args:
        config: parsed config.json of a .keras file.
        weights: float32 weights by layer, in Keras's order.

    Returns:
        What ``network.from_keras.as_converted`` gives: the same operators, names and numbers.

    Raises:
        UnknownPartError: a layer, an argument or a form of network that is not read here.
        KeyError, TypeError, ValueError: a configuration that Keras did not write.
    """
    network = network_config(config)
    nodes, outputs = lowered(network, weights)
    ordered = converters_order(nodes)
    wanted = [value.node for value in outputs]
    steps, values, ends = fused(ordered, stored_values(ordered), wanted)
    names = output_names([name for name, _ in network.outputs])
    return _Assembly(steps, values, dict(zip(ends, names, strict=True))).graph(
        nodes[INPUT_NAME].shape
    )


def read_graph(
    config: Mapping[str, Any], weights: Mapping[str, Sequence[np.ndarray]]
) -> Graph | None:
    """``converters_graph``; None for a network that Keras must read, or refuse."""
    try:
        return converters_graph(config, weights)
    except UnknownPartError:
        return None
    except DAMAGE:  # Keras says what is wrong with the file
        return None


def canonical_of(graph: Graph, contract: Preprocessing) -> Graph:
    """Canonical float graph of a graph that was read.

    Args:
        graph: result of ``converters_graph``.
        contract: preprocessing contract of its input.

    Raises:
        InvalidInputError: a graph that the contract does not fit, in its size or because both
            normalize the pixels.
    """
    shape = graph.tensors[graph.input].shape[1:]
    if shape != contract.shape:
        raise other_shape(contract.shape, 1, shape)
    refuse_two_scalings(graph_scaling(graph), contract)
    return in_canonical_form(graph)


class _Assembly:
    """Graph of operators while its tensors get their names."""

    def __init__(
        self, steps: Sequence[Step], values: Mapping[str, np.ndarray], ends: Mapping[str, str]
    ) -> None:
        self._steps = steps
        self._values = values
        self._ends = ends
        self._equal: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def graph(self, shape: tuple[int, ...]) -> Graph:
        names = self._names()
        tensors = {INPUT_NAME: Tensor(INPUT_NAME, shape)}
        ops = [self._op(step, names, tensors) for step in self._steps]
        return Graph(tuple(ops), tensors, INPUT_NAME, tuple(self._ends.values()))

    def _names(self) -> Mapping[str, str]:
        names = Names({INPUT_NAME: INPUT_NAME, **self._ends})
        for step in self._steps:
            for number, result in enumerate(step.given):
                names.give(result, short_name(f"{step.label}{number or ''}"))
        for step in self._steps:
            for position, name in enumerate(step.data):
                key = self._constant(name)
                if key is not None:
                    names.give(key, f"{names[step.name]}.const{position}")
        return names

    def _constant(self, name: str) -> str | None:
        """Name of the first constant that is equal to this one; None for an activation.

        The converter stores equal constants once.
        """
        value = self._values.get(name)
        if value is None:
            return None
        return self._equal.setdefault((str(value.dtype), value.shape, value.tobytes()), name)

    def _op(self, step: Step, names: Mapping[str, str], tensors: dict[str, Tensor]) -> Op:
        inputs = []
        for name in step.data:
            key = self._constant(name)
            inputs.append(names[key or name])
            if key is not None:
                value = self._values[key]
                tensors[inputs[-1]] = Tensor(inputs[-1], value.shape, value, str(value.dtype))
        results = tuple(names[name] for name in step.given)
        if step.weight is not None:
            assert step.bias is not None
            for role, stored in (("weight", step.weight), ("bias", step.bias)):
                inputs.append(f"{results[0]}.{role}")
                tensors[inputs[-1]] = Tensor(inputs[-1], stored.shape, stored)
        tensors.update({name: Tensor(name, step.shape) for name in results})
        version = max(other.version for other in self._steps if other.kind == step.kind)
        # Plain text, as a file has it: a graph's digest is of representations.
        return Op(str(step.kind), tuple(inputs), results, step.options, step.options_type, version)
