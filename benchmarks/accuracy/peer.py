"""What a peer is; imported in every peer's own environment, so without any library."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent.parent
PER_CHANNEL = "per-channel"
PER_TENSOR = "per-tensor"
GRANULARITIES = (PER_CHANNEL, PER_TENSOR)


class Source(StrEnum):
    """What a peer starts from."""

    KERAS = "keras"
    TFLITE = "tflite"
    """The float32 .tflite that our exporter writes."""
    ONNX = "onnx"
    """The float32 .onnx that our exporter writes; batch norms folded, input NHWC."""


@dataclass(frozen=True)
class Setting:
    """One way to use a peer.

    Attributes:
        name: in rows and on the command line.
        summary: what is set, one line.
        granularities: of the weights that it can do.
        slow: takes many minutes or gigabytes, so that it is done only when asked for.
    """

    name: str
    summary: str
    granularities: tuple[str, ...] = GRANULARITIES
    slow: bool = False


@dataclass(frozen=True)
class Job:
    """One quantization.

    Attributes:
        model: path of a float32 .tflite or .onnx, or a reference that the product loads.
        images: path of an .npy with the calibration tensors, float32 ``[n, height, width, 3]``.
        calibration: DATA text of the same images, for a peer that decodes them itself.
        granularity: ``per-channel`` or ``per-tensor``.
        setting: name of one of the peer's settings.
        output: an empty folder; every ``.tflite`` and ``.onnx`` there is a result.
    """

    model: str
    images: str
    calibration: str
    granularity: str
    setting: str
    output: str

    @property
    def per_channel(self) -> bool:
        """Whether a weight tensor has a scale for each output channel."""
        return self.granularity == PER_CHANNEL

    def result(self, suffix: str) -> str:
        """Where to write a file with that suffix."""
        return str(Path(self.output) / f"model{suffix}")

    def to_json(self) -> str:
        """Read back by ``from_json``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what ``to_json`` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Peer:
    """Another quantizer; a module of benchmarks/peers defines one as ``PEER``.

    Attributes:
        name: in rows and on the command line.
        distributions: whose versions are reported, the quantizer itself first.
        source: what it starts from.
        imports: modules that are loaded before the clock starts.
        settings: its documented best ones for accuracy.
        quantize: does a job; any exception is the row's reason.
        of_product: it is this product, so that its files are made anew when our source changes.
    """

    name: str
    distributions: tuple[str, ...]
    source: Source
    imports: tuple[str, ...]
    settings: tuple[Setting, ...]
    quantize: Callable[[Job], None] = field(repr=False)
    of_product: bool = False

    def versions(self) -> dict[str, str]:
        """Installed versions of the distributions."""
        return {name: version(name) for name in self.distributions}


def peers() -> dict[str, Peer]:
    """All peers by the name of their module, found by walking benchmarks/peers."""
    package = import_module("benchmarks.peers")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: import_module(f"benchmarks.peers.{name}").PEER for name in names}


def requirements(module: str) -> Path | None:
    """The requirements of a peer's own environment; None for one in the product's."""
    path = HOME / "benchmarks" / "peers" / f"{module}.txt"
    return path if path.is_file() else None


def load_images(path: str) -> Any:
    """The calibration tensors, float32 ``[n, height, width, 3]``."""
    import numpy as np

    return np.load(path)


def onnx_feeds(model: str, images: Any) -> list[dict[str, Any]]:
    """The calibration tensors one by one, by the name of an ONNX file's input."""
    import onnx

    name = onnx.load(model, load_external_data=False).graph.input[0].name
    return [{name: images[i : i + 1]} for i in range(len(images))]
