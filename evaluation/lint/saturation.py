"""Shares of an integer file's activations that are at the ends of their ranges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.child.policy import OURS, Isolation
from evaluation.child.session import look_inside
from evaluation.sessions.tensor_io import InputTensor
from foundation.errors import InvalidInputError
from network.inspection import Inspection, TensorInfo

if TYPE_CHECKING:
    import numpy as np

_NATURAL = (0.0, 1.0, 6.0)
"""Limits that operators set: ReLU, softmax and sigmoid, ReLU6."""


@dataclass(frozen=True)
class Range:
    """An integer activation with at least one end that calibration set.

    Attributes:
        name: name of the tensor.
        limits: smallest or largest integer, or both, to which values beyond are clipped.
    """

    name: str
    limits: tuple[int, ...]


def ranges(inspection: Inspection, data: tuple[float, float]) -> tuple[Range, ...]:
    """Activations of 8 bits with an end that neither an operator nor the data sets.

    Outputs are left out: they have too few values for a share.

    Args:
        inspection: tensors of the file.
        data: smallest and largest value of a preprocessed image.
    """
    inputs = {t.name for t in inspection.inputs}
    outputs = {t.name for t in inspection.outputs}
    calibrated = []
    for tensor in inspection.tensors:
        natural = data if tensor.name in inputs else (*_NATURAL, *data)
        limits = () if tensor.name in outputs else _limits(tensor, natural)
        if limits:
            calibrated.append(Range(tensor.name, limits))
    return tuple(calibrated)


def saturation(
    path: Path,
    wanted: tuple[Range, ...],
    tensors: np.ndarray,
    isolation: Isolation = OURS,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Run images and count values at the ends.

    Args:
        path: a .tflite (LiteRT's reference kernels) or .onnx (ONNX Runtime, unoptimized).
        wanted: activations from ``ranges``; at least one.
        tensors: float32 ``[n, *shape]``, preprocessed.
        isolation: how the file may be run.

    Returns:
        Names of ``t`` activations, and float64 ``[n, t]``: shares of values at an end.

    Raises:
        InvalidInputError: no integer activation with a calibrated range.
    """
    if not wanted:
        raise InvalidInputError(
            "saturation is of 8-bit activations",
            received=f"{path.name}, which has none",
            remedy="give an int8 file",
        )
    arguments = {"wanted": [[r.name, list(r.limits)] for r in wanted]}
    (shares,) = look_inside("saturation", path, arguments, tensors, isolation)
    return tuple(r.name for r in wanted), shares


def shares_at_ends(path: Path, wanted: tuple[Range, ...], tensors: np.ndarray) -> np.ndarray:
    """Run images in this process and count values at the ends; arguments as in ``saturation``.

    Returns:
        Shares of values at an end, float64 ``[n, t]``.
    """
    import numpy as np

    run = _litert if path.suffix == ".tflite" else _onnxruntime
    rows = [
        [float(np.isin(values, r.limits).mean()) for r, values in zip(wanted, image, strict=True)]
        for image in run(path, tensors, wanted)
    ]
    return np.array(rows)


def _limits(tensor: TensorInfo, natural: tuple[float, ...]) -> tuple[int, ...]:
    import numpy as np

    if tensor.constant or tensor.dtype not in ("int8", "uint8") or len(tensor.scale) != 1:
        return ()
    # Not QuantParams, which refuses scales such as NaN in a foreign file; here they give no limits.
    scale, zero = tensor.scale[0], tensor.zero_point[0]
    info = np.iinfo(tensor.dtype)
    ends = (int(info.min), int(info.max))
    return tuple(end for end in ends if all(abs(scale * (end - zero) - n) > scale for n in natural))


def _litert(
    path: Path, tensors: np.ndarray, wanted: tuple[Range, ...]
) -> Iterator[list[np.ndarray]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from network.affine import IntType, QuantParams

    interpreter: Any = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    indices = {d["name"]: d["index"] for d in interpreter.get_tensor_details()}
    scales, zeros = (details["quantization_parameters"][k] for k in ("scales", "zero_points"))
    image = InputTensor.of_file(path, [1, *details["shape"].tolist()[1:]])
    for number in range(len(tensors)):
        value = image.arranged(tensors[number : number + 1])
        if len(scales):
            dtype = IntType(details["dtype"].__name__)
            value = QuantParams((float(scales[0]),), (int(zeros[0]),), dtype).quantize(value)
        interpreter.set_tensor(details["index"], value)
        interpreter.invoke()
        yield [interpreter.get_tensor(indices[r.name]) for r in wanted]


def _onnxruntime(
    path: Path, tensors: np.ndarray, wanted: tuple[Range, ...]
) -> Iterator[list[np.ndarray]]:
    from onnx import load

    from export.onnx.runtime import runtime

    onnxruntime, model = runtime(), load(path)
    outputs = {output.name for output in model.graph.output}
    for row in wanted:
        if row.name not in outputs:
            model.graph.output.add().name = row.name
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (entry,) = session.get_inputs()
    image = InputTensor.of_file(path, [1, *entry.shape[1:]])
    for number in range(len(tensors)):
        value = image.arranged(tensors[number : number + 1])
        yield session.run([r.name for r in wanted], {entry.name: value})
