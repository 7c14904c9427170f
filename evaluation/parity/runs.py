"""What the runtimes make of a pair of int8 files, in steps of the output and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.child.policy import OURS, Isolation
from evaluation.child.session import look_inside, open_foreign
from evaluation.oracle.model import IntegerModel
from evaluation.oracle.reader import read_integers
from evaluation.parity.compare import Pair
from evaluation.parity.integer_steps import output_params
from evaluation.session import RuntimeInfo, runtimes
from foundation.errors import UnsupportedError
from network.affine import QuantParams

BASE = "litert-reference"
"""The runtime that the others are compared with."""


@dataclass(frozen=True)
class StepDistance:
    """How far integers lie apart.

    Attributes:
        largest: in steps.
        mean: in steps.
        equal: share that is the same, 0 to 1.
    """

    largest: int
    mean: float
    equal: float

    @classmethod
    def between(cls, a: np.ndarray, b: np.ndarray) -> StepDistance:
        """Of two integer arrays of one shape."""
        steps = np.abs(a.astype(np.int64) - b.astype(np.int64))
        return cls(int(steps.max()), float(steps.mean()), float((steps == 0).mean()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"max_steps": self.largest, "mean_steps": self.mean, "equal": self.equal}


@dataclass(frozen=True)
class OutputRow:
    """One runtime's outputs against those of BASE.

    Attributes:
        info: what ran.
        file: its name.
        distance: in steps of the .tflite's output.
        answers: share of images with the same top-1.
        as_xnnpack: share of outputs that equal XNNPACK's, which rounds otherwise than BASE.
    """

    info: RuntimeInfo
    file: str
    distance: StepDistance
    answers: float
    as_xnnpack: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "runtime": self.info.runtime,
            "version": self.info.version,
            "kernels": self.info.kernels,
            "file": self.file,
            **self.distance.to_dict(),
            "same_answers": self.answers,
            "equal_to_xnnpack": self.as_xnnpack,
        }


@dataclass(frozen=True)
class LayerRow:
    """One layer, accumulated errors of the layers before it included.

    Attributes:
        name: of the result.
        distance: in steps of the result.
    """

    name: str
    distance: StepDistance

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"layer": self.name, **self.distance.to_dict()}


@dataclass(frozen=True)
class LayerWalk:
    """The layers of two runtimes, in order.

    Attributes:
        runtimes: the two, by name.
        rows: layers that both have.
    """

    runtimes: tuple[str, str]
    rows: tuple[LayerRow, ...] = field(repr=False)

    @property
    def first(self) -> LayerRow | None:
        """The first layer where they differ; None where they never do."""
        return next((row for row in self.rows if row.distance.largest), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "runtimes": list(self.runtimes),
            "first_difference": None if self.first is None else self.first.to_dict(),
            "layers": [row.to_dict() for row in self.rows],
        }


def on_the_grid(tflite: Path, images: np.ndarray) -> np.ndarray:
    """Images that the input's scale stores exactly, so that every runtime sees the same integers.

    Args:
        tflite: whose input it is.
        images: float32 ``[batch, height, width, 3]``.
    """
    params = _input_params(read_integers(tflite))
    return images if params is None else params.round_trip(images)


def random_images(tflite: Path, count: int, seed: int) -> np.ndarray:
    """Images of independent uniform integers, float32 ``[count, height, width, 3]``."""
    model = read_integers(tflite)
    params = _input_params(model)
    shape = (count, *model.tensors[model.input].shape[1:])
    rng = np.random.default_rng(seed)
    if params is None:
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    low, high = params.dtype.limits
    return params.dequantize(rng.integers(low, high + 1, shape))


def compare_outputs(
    tflite: Path, onnx: Path, images: np.ndarray, isolation: Isolation = OURS
) -> tuple[OutputRow, ...]:
    """Run both files in every int8 runtime on the same integers.

    Args:
        tflite: int8 file.
        onnx: int8 file.
        images: float32, see ``on_the_grid``.
        isolation: how the files may be run.

    Returns:
        Rows of the other runtimes against BASE.

    Raises:
        UnsupportedError: an output without a scale.
    """
    params = output_params(read_integers(tflite))
    if params is None:
        raise UnsupportedError(
            "outputs are compared in steps, which an integer output has",
            received=f"{tflite.name} with a float output",
            remedy="give an int8 file",
        )
    known = runtimes()
    base = open_foreign(known[BASE], tflite, 1, isolation).predict(images)
    fast = open_foreign(known["litert-xnnpack"], tflite, 1, isolation)
    xnnpack = _steps(fast.predict(images), params)
    rows = []
    for name, path in (
        ("oracle", tflite),
        ("litert-xnnpack", tflite),
        ("onnxruntime", onnx),
        ("onnxruntime-precise", onnx),
    ):
        session = open_foreign(known[name], path, 1, isolation)
        found = session.predict(images)
        steps = _steps(found, params)
        distance = StepDistance.between(_steps(base, params), steps)
        answers = float((base.argmax(axis=1) == found.argmax(axis=1)).mean())
        equal = float((steps == xnnpack).mean())
        rows.append(OutputRow(session.info, path.name, distance, answers, equal))
    return tuple(rows)


def walk_litert(tflite: Path, images: np.ndarray, isolation: Isolation = OURS) -> LayerWalk:
    """Every tensor of LiteRT's reference kernels against the oracle's."""
    model = read_integers(tflite)
    names = [n for op in model.ops for n in op.outputs if model.tensors[n].params]
    runs = list(_runs(model, images))
    inputs = np.concatenate([image for image, _ in runs])
    arguments = {"input": model.input, "names": names}
    found = look_inside("litert_layers", tflite, arguments, inputs, isolation)
    seen = {
        name: list(zip(values, (ours[name] for _, ours in runs), strict=True))
        for name, values in zip(names, found, strict=True)
        if values.size
    }
    return LayerWalk((BASE, "oracle"), _rows(seen))


def walk_onnx(
    tflite: Path,
    onnx: Path,
    pairs: tuple[Pair, ...],
    images: np.ndarray,
    isolation: Isolation = OURS,
) -> LayerWalk:
    """Every matched step of ONNX Runtime against the oracle's."""
    model = read_integers(tflite)
    matched = [pair for pair in pairs if pair.tflite.tensor and pair.onnx.tensor]
    wanted = list(dict.fromkeys(pair.onnx.tensor for pair in matched))
    found = look_inside("onnx_layers", onnx, {"names": wanted}, images, isolation)
    values = dict(zip(wanted, found, strict=True))
    seen: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {p.tflite.name: [] for p in matched}
    for number, (_, ours) in enumerate(_runs(model, images)):
        for pair in matched:
            theirs, mine = values[pair.onnx.tensor][number], ours[pair.tflite.tensor]
            aligned = _aligned(theirs, mine)
            if aligned is not None:
                seen[pair.tflite.name].append((aligned, _signed(mine)))
    return LayerWalk(("onnxruntime", "oracle"), _rows(seen))


def _runs(
    model: IntegerModel, images: np.ndarray
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    end = model.tensors[model.input].params
    for single in _singles(images):
        image = single if end is None else end.quantize(single)
        yield image, model.activations(image)


def _singles(images: np.ndarray) -> Iterator[np.ndarray]:
    for number in range(len(images)):
        yield images[number : number + 1]


def _rows(seen: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> tuple[LayerRow, ...]:
    rows = []
    for name, runs in seen.items():
        if runs:
            first = np.concatenate([a.reshape(-1).astype(np.int64) for a, _ in runs])
            second = np.concatenate([b.reshape(-1).astype(np.int64) for _, b in runs])
            rows.append(LayerRow(name, StepDistance.between(first, second)))
    return tuple(rows)


def _input_params(model: IntegerModel) -> QuantParams | None:
    """Of the input, or of what a QUANTIZE makes of it."""
    own = model.tensors[model.input].params
    if own is not None:
        return own
    readers = [op for op in model.ops if model.input in op.inputs]
    return model.tensors[readers[0].outputs[0]].params if readers else None


def _steps(scores: np.ndarray, params: QuantParams) -> np.ndarray:
    steps: np.ndarray = np.rint(scores.astype(np.float64) / params.scale[0])
    return steps.astype(np.int64)


def _signed(integers: np.ndarray) -> np.ndarray:
    wide = integers.astype(np.int64)
    return wide - 128 if integers.dtype == np.uint8 else wide


def _aligned(theirs: np.ndarray, mine: np.ndarray) -> np.ndarray | None:
    """A result in the .tflite's order of axes; None where the shapes do not fit."""
    wide = _signed(theirs)
    if wide.ndim == 4 and mine.ndim == 4 and wide.shape != mine.shape:
        wide = wide.transpose(0, 2, 3, 1)
    elif wide.ndim == 4 and mine.ndim == 4 and wide.shape[1] == wide.shape[3]:
        return None  # square either way: which axis is which cannot be told
    return wide if wide.size == mine.size else None
