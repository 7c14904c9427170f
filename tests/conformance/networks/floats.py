"""Operators of an int8 file that compute in float, and their share of the multiply-adds."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
_EDGES = ("QUANTIZE", "DEQUANTIZE")


def float_part(path: Path) -> tuple[float, str]:
    """Percent of the multiply-adds in float, and the operators in float with their numbers.

    Args:
        path: a .tflite; an .onnx of the same plan leaves the same operators in float.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    tensors = {row["index"]: row for row in interpreter.get_tensor_details()}
    counts: Counter[str] = Counter()
    total = outside = 0
    # There is no public call for the operators of a file.
    for op in interpreter._get_ops_details():
        name = op["op_name"]
        if name in (*_EDGES, "DELEGATE"):
            continue
        steps = _multiply_adds(name, op, tensors)
        total += steps
        if any(tensors[i]["dtype"] == np.float32 for i in op["outputs"]):
            counts[name] += 1
            outside += steps
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return 100 * outside / max(total, 1), listed


def _multiply_adds(name: str, op: Any, tensors: dict[int, Any]) -> int:
    if name not in _WEIGHTED:
        return 0
    result = prod(tensors[op["outputs"][0]]["shape"])
    shapes = [tuple(tensors[i]["shape"]) for i in op["inputs"] if i in tensors]
    if name == "BATCH_MATMUL":
        return int(result * shapes[0][-1])
    kernel = next(shape for shape in shapes[:2][::-1])
    taps = {"DEPTHWISE_CONV_2D": kernel[1:3], "FULLY_CONNECTED": kernel[1:]}.get(name, kernel[1:])
    return int(result * prod(taps))
