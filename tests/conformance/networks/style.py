"""A network as somebody brings it: its build, its data, and the command that takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quantize.settings import Optimization

if TYPE_CHECKING:
    import keras

Examples = Callable[[int, int], np.ndarray]
"""(count, seed) -> stored examples ``[count, ...]``, as they would lie in a file."""


@dataclass(frozen=True)
class Contract:
    """Conversion of stored examples to tensors, as the contract's TOML states it.

    Attributes:
        shape: shape of one example; ``(height, width, channels)`` for images.
        channels: ``rgb``, ``bgr`` or ``grey`` for images, a number of channels, or empty for plain
            arrays, which are not images.
        mean: subtracted from each number; one number, or one per channel or feature.
        std: divided by afterwards; the same number of numbers.
        task: stated task; empty where the model's outputs tell it.
    """

    shape: tuple[int, ...]
    channels: str | int = "rgb"
    mean: float | tuple[float, ...] = 127.5
    std: float | tuple[float, ...] = 127.5
    task: str = ""

    @property
    def toml(self) -> str:
        """Text of the contract's file."""
        lines = self._image() if self.channels else [f"shape = {list(self.shape)}"]
        lines += [f"mean = {_number(self.mean)}", f"std = {_number(self.std)}"]
        lines += [f'task = "{self.task}"'] if self.task else []
        return "\n".join([*lines, ""])

    def _image(self) -> list[str]:
        channels = self.channels if isinstance(self.channels, int) else f'"{self.channels}"'
        return [f"size = {list(self.shape[:2])}", 'crop = "stretch"', f"channels = {channels}"]

    def tensors(self, stored: np.ndarray) -> np.ndarray:
        """Tensors that the network takes, float32: the contract read independently."""
        values = stored[..., ::-1] if self.channels == "bgr" else stored
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        result: np.ndarray = (values.astype(np.float32) - mean) / std
        return result


def _number(value: float | tuple[float, ...]) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str([float(x) for x in value])


@dataclass(frozen=True)
class Style:
    """A small network in the style of a guide or a known architecture.

    Attributes:
        name: name for files, lower case with underscores.
        summary: what it is, for docs and tables.
        build: () -> the network, its weights random.
        contract: how stored examples become its tensors.
        data: stored examples.
        task: task that the product finds or is told; empty for outputs that no task is for.
        command: options of ``edgequant quantize`` beyond model, contract, data and recipe.
        effort: effort of the table's int8 files.
    """

    name: str
    summary: str
    build: Callable[[], keras.Model] = field(repr=False)
    contract: Contract
    data: Examples = field(repr=False)
    task: str = "classification"
    command: str = ""
    effort: Optimization = Optimization.DEFAULT

    @property
    def command_line(self) -> str:
        """The command as the docs print it and the table runs it."""
        words = (
            f"edgequant quantize --model {self.name}.keras --preprocessing {self.name}.toml",
            f"--calibration {self.name}.npz --recipe tflite-int8,onnx-int8",
            self.command,
        )
        return " ".join(word for word in words if word)
