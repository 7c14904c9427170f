"""Outputs of the runtimes for a pair of int8 files, in steps of the output and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.child.policy import OURS, Isolation
from evaluation.child.session import look_inside, open_foreign
from evaluation.parity.compare import Pair
from evaluation.parity.integer_steps import output_params
from evaluation.session import RuntimeInfo, runtimes
from foundation.errors import UnsupportedError
from network.affine import QuantParams
from network.oracle.model import IntegerModel
from network.oracle.reader import read_integers

BASE = "litert-reference"
"""Runtime that the others are compared with."""


@dataclass(frozen=True)
class StepDistance:
    """Distance between two arrays of integers.

    Attributes:
        largest: largest difference, in steps.
        mean: mean difference, in steps.
        equal: share of equal integers, 0 to 1.
    """

    largest: int
    mean: float
    equal: float

    @classmethod
    def between(cls, a: np.ndarray, b: np.ndarray) -> StepDistance:
        """Distance between two integer arrays of the same shape."""
        steps = np.abs(a.astype(np.int64) - b.astype(np.int64))
        return cls(int(steps.max()), float(steps.mean()), float((steps == 0).mean()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"max_steps": self.largest, "mean_steps": self.mean, "equal": self.equal}


@dataclass(frozen=True)
class OutputRow:
    """An output in a runtime, compared with that of BASE.

    Attributes:
        info: runtime, version and kernels.
        file: name of the file.
        distance: distance in steps of the .tflite's output.
        answers: share of images with the same top-1; None for an output without classes.
        as_xnnpack: share of numbers that equal XNNPACK's, which rounds differently from BASE.
        output: name of the output; empty where the network has only one.
    """

    info: RuntimeInfo
    file: str
    distance: StepDistance
    answers: float | None
    as_xnnpack: float
    output: str = ""

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
            **({"output": self.output} if self.output else {}),
        }


@dataclass(frozen=True)
class LayerRow:
    """Distance in one layer, with the accumulated errors of the layers before it.

    Attributes:
        name: name of the result.
        distance: distance in steps of the result.
    """

    name: str
    distance: StepDistance

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"layer": self.name, **self.distance.to_dict()}


@dataclass(frozen=True)
class LayerWalk:
    """Distances between two runtimes, layer by layer.

    Attributes:
        runtimes: names of the two.
        rows: layers that both have, in order.
    """

    runtimes: tuple[str, str]
    rows: tuple[LayerRow, ...] = field(repr=False)

    @property
    def first(self) -> LayerRow | None:
        """First layer in which they differ; None where no layer differs."""
        return next((row for row in self.rows if row.distance.largest), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "runtimes": list(self.runtimes),
            "first_difference": None if self.first is None else self.first.to_dict(),
            "layers": [row.to_dict() for row in self.rows],
        }


def on_the_grid(tflite: Path, images: np.ndarray) -> np.ndarray:
    """Round images to the steps of the input, so that every runtime gets the same integers.

    Args:
        tflite: path of the file with the input.
        images: float32 ``[batch, *shape]``.
    """
    params = _input_params(read_integers(tflite))
    return images if params is None else params.round_trip(images)


def random_images(tflite: Path, count: int, seed: int) -> np.ndarray:
    """Images of independent uniform integers, float32 ``[count, *shape]``."""
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
        images: float32, rounded by ``on_the_grid``.
        isolation: how the files may be run.

    Returns:
        A row for each runtime except BASE and each output; none of the oracle for a file with
        operators in float32.

    Raises:
        UnsupportedError: an output without a scale, or other outputs in the two files.
    """
    model = read_integers(tflite)
    steps_of = _scales_of_outputs(model, tflite)
    known = runtimes()
    base_session = open_foreign(known[BASE], tflite, 1, isolation)
    base, names = base_session.run(images), base_session.outputs
    xnnpack = open_foreign(known["litert-xnnpack"], tflite, 1, isolation).run(images)
    rows = []
    for runtime, path in (
        ("oracle", tflite),
        ("litert-xnnpack", tflite),
        ("onnxruntime", onnx),
        ("onnxruntime-precise", onnx),
    ):
        if runtime == "oracle" and model.in_float:
            continue  # it has integers alone
        session = open_foreign(known[runtime], path, 1, isolation)
        found = _in_order(session.run(images), session.outputs, base, names, path)
        for place, params in enumerate(steps_of):
            exact, fast = (_steps(outputs[place], params) for outputs in (base, xnnpack))
            steps = _steps(found[place], params)
            rows.append(
                OutputRow(
                    session.info,
                    path.name,
                    StepDistance.between(exact, steps),
                    _same_answers(base[place], found[place]),
                    float((steps == fast).mean()),
                    names[place] if len(names) > 1 else "",
                )
            )
    return tuple(rows)


def _scales_of_outputs(model: IntegerModel, tflite: Path) -> list[QuantParams]:
    scales = []
    for name in model.outputs:
        params = output_params(model, name)
        if params is None:
            raise UnsupportedError(
                "outputs are compared in steps, which an integer output has",
                received=f"{tflite.name} with a float output",
                remedy="give an int8 file",
            )
        scales.append(params)
    return scales


def _in_order(
    found: Sequence[np.ndarray],
    names: Sequence[str],
    base: Sequence[np.ndarray],
    wanted: Sequence[str],
    path: Path,
) -> list[np.ndarray]:
    """Outputs of a file in the order of another one: by name where both have the same names.

    Raises:
        UnsupportedError: other shapes.
    """
    by_name = dict(zip(names, found, strict=True))
    ordered = [by_name[name] for name in wanted] if by_name.keys() == set(wanted) else list(found)
    shapes, expected = ([list(a.shape[1:]) for a in arrays] for arrays in (ordered, base))
    if shapes != expected:
        raise UnsupportedError(
            "outputs are compared where both files have the same, channels last",
            received=f"{path.name} with {shapes} where the .tflite has {expected}",
            remedy="write both files from one plan",
        )
    return ordered


def _same_answers(first: np.ndarray, second: np.ndarray) -> float | None:
    """Share of images with the same top-1 of ``[images, classes]``; None for another shape."""
    if first.ndim != 2 or first.shape[1] < 2:
        return None
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def walk_litert(tflite: Path, images: np.ndarray, isolation: Isolation = OURS) -> LayerWalk:
    """Compare every tensor of LiteRT's reference kernels with the oracle's."""
    model = read_integers(tflite)
    names = [n for op in model.ops for n in op.outputs if model.tensors[n].params]
    runs = list(_runs(model, images))
    inputs = np.concatenate([image for image, _ in runs])
    arguments = {"input": model.input, "names": names}
    layers = look_inside("litert_layers", tflite, arguments, inputs, isolation)
    value_pairs = {
        name: list(zip(values, (oracle[name] for _, oracle in runs), strict=True))
        for name, values in zip(names, layers, strict=True)
        if values.size
    }
    return LayerWalk((BASE, "oracle"), _rows(value_pairs))


def walk_onnx(
    tflite: Path,
    onnx: Path,
    pairs: tuple[Pair, ...],
    images: np.ndarray,
    isolation: Isolation = OURS,
) -> LayerWalk:
    """Compare every matched step of ONNX Runtime with the oracle's."""
    model = read_integers(tflite)
    matched = [pair for pair in pairs if pair.tflite.tensor and pair.onnx.tensor]
    wanted = list(dict.fromkeys(pair.onnx.tensor for pair in matched))
    layers = look_inside("onnx_layers", onnx, {"names": wanted}, images, isolation)
    values = dict(zip(wanted, layers, strict=True))
    value_pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {
        pair.tflite.name: [] for pair in matched
    }
    for number, (_, oracle) in enumerate(_runs(model, images)):
        for pair in matched:
            expected = oracle[pair.tflite.tensor]
            aligned = _aligned(values[pair.onnx.tensor][number], expected)
            if aligned is not None:
                value_pairs[pair.tflite.name].append((aligned, _signed(expected)))
    return LayerWalk(("onnxruntime", "oracle"), _rows(value_pairs))


def _runs(
    model: IntegerModel, images: np.ndarray
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Each image as the network takes it, and the oracle's activations for it."""
    params = model.tensors[model.input].params
    for single in _singles(images):
        image = single if params is None else params.quantize(single)
        yield image, model.activations(image)


def _singles(images: np.ndarray) -> Iterator[np.ndarray]:
    for number in range(len(images)):
        yield images[number : number + 1]


def _rows(value_pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> tuple[LayerRow, ...]:
    rows = []
    for name, runs in value_pairs.items():
        if runs:
            first = np.concatenate([a.reshape(-1).astype(np.int64) for a, _ in runs])
            second = np.concatenate([b.reshape(-1).astype(np.int64) for _, b in runs])
            rows.append(LayerRow(name, StepDistance.between(first, second)))
    return tuple(rows)


def _input_params(model: IntegerModel) -> QuantParams | None:
    """Parameters of the input; of the result of its QUANTIZE where the input is float32."""
    params = model.tensors[model.input].params
    if params is not None:
        return params
    readers = [op for op in model.ops if model.input in op.inputs]
    return model.tensors[readers[0].outputs[0]].params if readers else None


def _steps(scores: np.ndarray, params: QuantParams) -> np.ndarray:
    """Dequantized scores as whole steps, without zero point and limits: int64, same shape."""
    steps: np.ndarray = np.rint(scores.astype(np.float64) / params.scale[0])
    return steps.astype(np.int64)


def _signed(integers: np.ndarray) -> np.ndarray:
    wide = integers.astype(np.int64)
    return wide - 128 if integers.dtype == np.uint8 else wide


def _aligned(values: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """A result in the .tflite's order of axes; None where the order cannot be known."""
    wide = _signed(values)
    if wide.ndim == 4 and expected.ndim == 4 and wide.shape != expected.shape:
        wide = wide.transpose(0, 2, 3, 1)  # [b, c, h, w] -> [b, h, w, c]
    elif wide.ndim == 4 and expected.ndim == 4 and wide.shape[1] == wide.shape[3]:
        return None  # the shape is the same in both layouts
    return wide if wide.size == expected.size else None
