"""Last function of a Keras network before each output, which tells what the output means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calibration_data.task import End

if TYPE_CHECKING:
    import keras

_PASSED = frozenset(
    {"Dropout", "Flatten", "Identity", "Reshape", "Cast", "Squeeze", "ExpandDims", "InputLayer"}
)
"""Operations that move or convert values: what is before them counts."""
_ENDS = {
    "softmax": End.SOFTMAX,
    "sigmoid": End.SIGMOID,
    "unitnormalization": End.UNIT_NORM,
    "normalize": End.UNIT_NORM,
    "linear": End.LINEAR,
}
_DEPTH = 16
"""Largest number of operations and nested models that are looked through."""


def keras_output_names(model: keras.Model) -> tuple[str, ...]:
    """Names that Keras gives to the outputs, in their order.

    A Sequential model states none: its only output is that of its last layer.
    """
    names = getattr(model, "output_names", None) or [model.layers[-1].name]
    return tuple(str(name) for name in names)


def output_ends(model: keras.Model) -> tuple[End, ...]:
    """Last function before each output, in the order of the outputs."""
    return tuple(_end_of(tensor, _DEPTH) for tensor in model.outputs)


def _end_of(tensor: Any, depth: int) -> End:
    history = getattr(tensor, "_keras_history", None)
    if history is None or depth == 0:
        return End.UNKNOWN
    operation = history.operation
    kind = type(operation).__name__
    if kind in ("Functional", "Sequential") or hasattr(operation, "_functional"):
        inner = list(getattr(operation, "outputs", None) or ())
        if history.tensor_index < len(inner):
            return _end_of(inner[history.tensor_index], depth - 1)
        return End.UNKNOWN
    activation = getattr(operation, "activation", None)
    name = str(getattr(activation, "__name__", kind) if activation is not None else kind).lower()
    known = _ENDS.get(name)
    if kind in _PASSED or (known is End.LINEAR and kind == "Activation"):
        before = operation._inbound_nodes[history.node_index].input_tensors
        return _end_of(before[0], depth - 1) if before else End.LINEAR
    if known is not None:
        return known
    return End.UNKNOWN if kind in ("TFSMLayer", "Lambda") else End.LINEAR
