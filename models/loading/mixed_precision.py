"""Networks that were trained in mixed precision, as networks that compute in float32.

Their weights are float32; the policy says that layers round their inputs and results to float16 or
bfloat16, as suits a GPU. Files for phones are made of the weights.
"""

from __future__ import annotations

from typing import Any

REMARK = (
    "its policy of mixed precision is left out: the network computes in float32, as its weights"
)
"""Remark for a file with such a policy."""


def is_mixed(config: Any) -> bool:
    """Whether a configuration of Keras 2 or 3 holds a policy of mixed precision."""
    return bool(_float32(config) != config)


def without_policies(config: Any) -> Any:
    """Configuration whose layers compute in float32 where they had a policy of mixed precision."""
    return _float32(config)


def _float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(key, _float32(inner)) for key, inner in value.items()}
    return [_float32(inner) for inner in value] if isinstance(value, list) else value


def _plain(key: str, value: Any) -> Any:
    """A value, with the name of a policy replaced; ``dtype`` is one, or holds its name."""
    name = value.get("config") if key == "dtype" and isinstance(value, dict) else None
    stored = name.get("name") if isinstance(name, dict) else value if key == "dtype" else None
    return "float32" if isinstance(stored, str) and stored.startswith("mixed_") else value
