"""Outputs of a written file, by the runtimes' own Python interfaces.

The product's sessions are not used, so that a fault which a file and its session share shows.
"""

from __future__ import annotations

from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

Outputs = list[np.ndarray]
"""Float64 results ``[n, ...]``, one for each output."""


def run_tflite(path: Path, inputs: np.ndarray) -> Outputs:
    """Results in LiteRT's reference kernels, dequantized; float32 ``inputs`` are quantized.

    A file with an operator that has no reference kernel, such as ELU, runs in the plain ones.
    """
    interpreter = _interpreter(path)
    (source,) = interpreter.get_input_details()
    targets = interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], [1, *inputs.shape[1:]])
    interpreter.allocate_tensors()
    results: list[list[np.ndarray]] = [[] for _ in targets]
    for example in inputs:
        interpreter.set_tensor(source["index"], _quantized(example[None], source))
        interpreter.invoke()
        for found, target in zip(results, targets, strict=True):
            found.append(_dequantized(interpreter.get_tensor(target["index"]), target))
    return [np.concatenate(found) for found in results]


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    reference, plain = OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    open_with = partial(Interpreter, str(path), num_threads=1)
    try:
        return open_with(experimental_op_resolver_type=reference)
    except ValueError:
        return open_with(experimental_op_resolver_type=plain)


def run_onnx(path: Path, inputs: np.ndarray) -> Outputs:
    """Results in ONNX Runtime, of 8-bit products that no CPU saturates."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    channels_first = inputs.ndim == 4 and list(source.shape[1:]) != list(inputs.shape[1:])
    fed = inputs.transpose(0, 3, 1, 2) if channels_first else inputs
    dtype = np.uint8 if source.type == "tensor(uint8)" else np.float32
    calls = [session.run(None, {source.name: one[None].astype(dtype)}) for one in fed]
    return [np.concatenate(outputs).astype(np.float64) for outputs in zip(*calls, strict=True)]


def sqnr_db(reference: Outputs, found: Outputs, *, in_order: bool = True) -> float:
    """Signal to noise of the worst output, in dB; infinite where all are equal.

    Args:
        reference: outputs of the float network.
        found: outputs of a file.
        in_order: whether both have one order; the converter orders outputs by its own names.
    """
    orders = [range(len(found))] if in_order else list(permutations(range(len(found))))
    return max(_worst(reference, [found[i] for i in order]) for order in orders)


def _worst(reference: Outputs, found: Outputs) -> float:
    return min(_ratio(a, b) for a, b in zip(reference, found, strict=True))


def _ratio(reference: np.ndarray, found: np.ndarray) -> float:
    if reference.size != found.size:
        return -np.inf
    aligned = found.reshape(reference.shape)
    signal = float(np.square(reference).sum())
    noise = float(np.square(reference - aligned).sum())
    if not np.isfinite(noise):
        return -np.inf
    return np.inf if noise == 0 else 10 * float(np.log10(max(signal, 1e-30) / noise))


def _quantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    if dtype == np.float32 or scale == 0:
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.rint(values.astype(np.float64) / scale) + zero_point
    result: np.ndarray = np.clip(steps, limits.min, limits.max).astype(dtype)
    return result


def _dequantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero_point = details["quantization"]
    wide = values.astype(np.float64)
    return (wide - zero_point) * scale if scale else wide
