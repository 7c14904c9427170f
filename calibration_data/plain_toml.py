"""Values of a contract's keys, as TOML and JSON hold them."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> int:
    """A whole number; raises TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} where a whole number belongs")
    return value


def two(value: Any) -> tuple[int, int]:
    """Height and width; raises ValueError for anything but two whole numbers."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"size = {value!r}, which is not [height, width]")
    return whole(value[0]), whole(value[1])


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts; raises TypeError for anything else."""
    if not isinstance(value, list | tuple) or not all(isinstance(x, str) for x in value):
        raise TypeError(f"labels = {value!r}, which is not a list of texts")
    return tuple(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value)


def numbers(value: Any) -> tuple[float, ...]:
    """One number or a list of numbers; raises TypeError for anything else."""
    if not isinstance(value, list | tuple):
        return (_number(value),)
    return tuple(_number(v) for v in value)


def wholes(value: Any) -> tuple[int, ...]:
    """One whole number or a list of them; raises TypeError for anything else."""
    return tuple(whole(v) for v in value) if isinstance(value, list | tuple) else (whole(value),)
