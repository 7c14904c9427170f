"""Definition of a peer; imported in every peer's environment, so it needs no library."""

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
    """Kind of file that a peer quantizes."""

    KERAS = "keras"
    TFLITE = "tflite"
    """The float32 .tflite that our exporter writes."""
    ONNX = "onnx"
    """The float32 .onnx that our exporter writes; batch norms folded, input NHWC."""


@dataclass(frozen=True)
class Setting:
    """Setting of a peer.

    Attributes:
        name: name in rows and on the command line.
        summary: values that are set, in one line.
        granularities: supported granularities of the weights.
        slow: whether it takes many minutes or gigabytes, and runs only with SLOW=1.
    """

    name: str
    summary: str
    granularities: tuple[str, ...] = GRANULARITIES
    slow: bool = False


@dataclass(frozen=True)
class Job:
    """Quantization of one model with one setting.

    Attributes:
        model: path of a float32 .tflite or .onnx, or a reference that the product loads.
        images: path of an .npy with the calibration tensors, float32 ``[n, height, width, 3]``.
        calibration: DATA text of the same images, for a peer that decodes them itself.
        granularity: ``per-channel`` or ``per-tensor``.
        setting: name of one of the peer's settings.
        output: empty folder; every ``.tflite`` and ``.onnx`` there is a result.
        weights: name or file of the weights of a registered network; empty for its own.
        alpha: width multiplier of a registered network; None for its own.
        crop: how an image gets the size of the input; empty for the network's own way.
    """

    model: str
    images: str
    calibration: str
    granularity: str
    setting: str
    output: str
    weights: str = ""
    alpha: float | None = None
    crop: str = ""

    @property
    def per_channel(self) -> bool:
        """Whether a weight tensor has one scale per output channel."""
        return self.granularity == PER_CHANNEL

    @property
    def options(self) -> list[str]:
        """Options of the product's commands that name the network and its preprocessing."""
        alpha = "" if self.alpha is None else f"{self.alpha:g}"
        given = (("weights", self.weights), ("alpha", alpha), ("crop", self.crop))
        words = [(f"--{name}", value) for name, value in given if value]
        return ["--model", self.model, *(word for pair in words for word in pair)]

    def result(self, suffix: str) -> str:
        """Path to write a file with that suffix to."""
        return str(Path(self.output) / f"model{suffix}")

    def to_json(self) -> str:
        """JSON text for ``from_json``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Job from the text of ``to_json``."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Peer:
    """Quantizer to compare with; a module of benchmarks/peers defines one as ``PEER``.

    Attributes:
        name: name in rows and on the command line.
        distributions: distributions whose versions are reported, the quantizer itself first.
        source: kind of file that it quantizes.
        imports: modules that are loaded before the clock starts.
        settings: documented settings for the best accuracy.
        quantize: runs a job; the text of an exception becomes the row's reason.
        of_product: whether it is this product, whose files are written again when our source
            changes.
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
    """All peers by the name of their module in benchmarks/peers."""
    package = import_module("benchmarks.peers")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: import_module(f"benchmarks.peers.{name}").PEER for name in names}


def requirements(module: str) -> Path | None:
    """Requirements file of a peer's environment; None if it runs in the product's."""
    path = HOME / "benchmarks" / "peers" / f"{module}.txt"
    return path if path.is_file() else None


def load_images(path: str) -> Any:
    """Calibration tensors, float32 ``[n, height, width, 3]``."""
    import numpy as np

    return np.load(path)


def onnx_feeds(model: str, images: Any) -> list[dict[str, Any]]:
    """Calibration tensors one by one, by the name of an ONNX file's input."""
    import onnx

    name = onnx.load(model, load_external_data=False).graph.input[0].name
    return [{name: images[i : i + 1]} for i in range(len(images))]


def tflite_feeds(model: str, images: Any) -> dict[str, list[dict[str, Any]]]:
    """Calibration tensors one by one, by signature and the name of its input of a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter

    ((key, signature),) = Interpreter(model).get_signature_list().items()
    (name,) = signature["inputs"]
    return {key: [{name: images[i : i + 1]} for i in range(len(images))]}
