"""Tasks on a file besides its scores: values inside it, for ``lint`` and ``parity``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Task = Callable[[Path, dict[str, Any], tuple[np.ndarray, ...]], Sequence[np.ndarray]]


def _saturation(
    path: Path, arguments: dict[str, Any], arrays: tuple[np.ndarray, ...]
) -> Sequence[np.ndarray]:
    from evaluation.lint.saturation import Range, shares_at_ends

    wanted = tuple(Range(name, tuple(limits)) for name, limits in arguments["wanted"])
    return (shares_at_ends(path, wanted, arrays[0]),)


def _litert_layers(
    path: Path, arguments: dict[str, Any], arrays: tuple[np.ndarray, ...]
) -> Sequence[np.ndarray]:
    from evaluation.parity.layers import litert_layers

    return litert_layers(path, arguments["input"], arguments["names"], arrays[0])


def _onnx_layers(
    path: Path, arguments: dict[str, Any], arrays: tuple[np.ndarray, ...]
) -> Sequence[np.ndarray]:
    from evaluation.parity.layers import onnx_layers

    return onnx_layers(path, arguments["names"], arrays[0])


TASKS: dict[str, Task] = {
    "litert_layers": _litert_layers,
    "onnx_layers": _onnx_layers,
    "saturation": _saturation,
}
