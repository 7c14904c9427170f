"""Arguments of Keras layers: those that are read, those that change nothing, and all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network.keras_file.nodes import UnknownPartError

_SILENT = frozenset({"name", "trainable", "activity_regularizer", "quantization_config"})
"""Arguments of every layer that change nothing in a network that runs."""
_SILENT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_MUST_BE_EMPTY = frozenset({"quantization_config", "lora_rank", "lora_alpha"})


def check_arguments(config: Mapping[str, Any], read: frozenset[str]) -> None:
    """Refuse a layer with an argument that is not known here, or in another type than float32.

    Args:
        config: arguments of the layer.
        read: names of those that are read.

    Raises:
        UnknownPartError: names the argument.
    """
    for key, value in config.items():
        if key == "dtype":
            policy = value.get("config") if isinstance(value, dict) else {"name": value}
            if not isinstance(policy, dict) or policy.get("name") != "float32":
                raise UnknownPartError("a type other than float32")
        elif key in _MUST_BE_EMPTY:
            if value is not None:
                raise UnknownPartError(key)
        elif key not in read and key not in _SILENT and not key.endswith(_SILENT_ENDINGS):
            raise UnknownPartError(f"the argument {key}")
    if config.get("data_format", "channels_last") != "channels_last":
        raise UnknownPartError("channels first")


def require(config: Mapping[str, Any], **wanted: Any) -> None:
    """Refuse a layer whose arguments have other values than these.

    Raises:
        UnknownPartError: names the argument.
    """
    for key, value in wanted.items():
        if config.get(key, value) != value:
            raise UnknownPartError(f"{key} = {config[key]}")


def pair(value: Any) -> tuple[int, int]:
    """Two positive integers that an argument states."""
    first, second = value
    if not isinstance(first, int) or not isinstance(second, int) or min(first, second) < 1:
        raise UnknownPartError(f"{value} where two sizes are expected")
    return first, second


def function_name(value: Any) -> str:
    """Name of an activation function of Keras."""
    if not isinstance(value, str):
        raise UnknownPartError("an activation that is no name")
    return value


def positions(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    """Positions of a window along an axis."""
    if padding == "same":
        return -(-size // stride)
    if padding != "valid":
        raise UnknownPartError(f"padding {padding}")
    reach = (kernel - 1) * dilation + 1
    if reach > size:
        raise UnknownPartError("a window larger than its input")
    return (size - reach) // stride + 1
