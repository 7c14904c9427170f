"""What the runtimes make of a pair of int8 files, in steps of the output and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.parity import Pair
from evaluation.session import RuntimeInfo, runtimes
from export.integer_steps import output_params
from export.onnx_inspect import COMPLETE, load
from export.onnx_runtime import open_session
from export.tflite_integers import read_integers
from foundation.errors import UnsupportedError
from foundation.foreign import reading
from quantize.affine import QuantParams
from quantize.integer.model import IntegerModel

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


def compare_outputs(tflite: Path, onnx: Path, images: np.ndarray) -> tuple[OutputRow, ...]:
    """Run both files in every int8 runtime on the same integers.

    Args:
        tflite: int8 file.
        onnx: int8 file.
        images: float32, see ``on_the_grid``.

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
    base = runtimes()[BASE].open(tflite, 1).predict(images)
    xnnpack = _steps(runtimes()["litert-xnnpack"].open(tflite, 1).predict(images), params)
    rows = []
    for name, path in (
        ("oracle", tflite),
        ("litert-xnnpack", tflite),
        ("onnxruntime", onnx),
        ("onnxruntime-precise", onnx),
    ):
        session = runtimes()[name].open(path, 1)
        found = session.predict(images)
        steps = _steps(found, params)
        distance = StepDistance.between(_steps(base, params), steps)
        answers = float((base.argmax(axis=1) == found.argmax(axis=1)).mean())
        equal = float((steps == xnnpack).mean())
        rows.append(OutputRow(session.info, path.name, distance, answers, equal))
    return tuple(rows)


def walk_litert(tflite: Path, images: np.ndarray) -> LayerWalk:
    """Every tensor of LiteRT's reference kernels against the oracle's."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = read_integers(tflite)
    interpreter = Interpreter(
        str(tflite),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    indexes = {details["name"]: details["index"] for details in interpreter.get_tensor_details()}
    names = [n for op in model.ops for n in op.outputs if n in indexes and model.tensors[n].params]
    seen: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    for image, ours in _runs(model, images):
        interpreter.set_tensor(indexes[model.input], image)
        interpreter.invoke()
        for name in names:
            seen[name].append((interpreter.get_tensor(indexes[name]), ours[name]))
    return LayerWalk((BASE, "oracle"), _rows(seen))


def walk_onnx(tflite: Path, onnx: Path, pairs: tuple[Pair, ...], images: np.ndarray) -> LayerWalk:
    """Every matched step of ONNX Runtime against the oracle's.

    The quantized tensors are made outputs of the graph; QDQ operators are computed as without.
    """
    model = read_integers(tflite)
    matched = [pair for pair in pairs if pair.tflite.tensor and pair.onnx.tensor]
    wanted = list(dict.fromkeys(pair.onnx.tensor for pair in matched))
    with reading(onnx, COMPLETE, "export the file again"):
        content = _with_outputs(onnx, wanted)
    session = open_session(content)
    source = session.get_inputs()[0]
    channels_first = source.shape[-1] != 3
    seen: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {p.tflite.name: [] for p in matched}
    for single, (_, ours) in zip(_singles(images), _runs(model, images), strict=True):
        fed = np.ascontiguousarray(single.transpose(0, 3, 1, 2)) if channels_first else single
        values = dict(zip(wanted, session.run(wanted, {source.name: fed}), strict=True))
        for pair in matched:
            theirs, mine = values[pair.onnx.tensor], ours[pair.tflite.tensor]
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


def _with_outputs(path: Path, names: list[str]) -> bytes:
    import onnx

    model = load(path)
    zero_types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node}
    present = {value.name for value in model.graph.output}
    for name in names:
        if name not in present:
            zero = made[name].input[2] if len(made[name].input) > 2 else ""
            kind = zero_types.get(zero, onnx.TensorProto.UINT8)
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    content: bytes = model.SerializeToString()
    return content
