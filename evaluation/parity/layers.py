"""Values inside a file, layer by layer, as its runtime computes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.onnx.inspect import COMPLETE, load
from export.onnx.runtime import open_session
from foundation.foreign import reading


def litert_layers(
    path: Path, entry: str, names: Sequence[str], inputs: np.ndarray
) -> list[np.ndarray]:
    """Tensors of LiteRT's reference kernels.

    Args:
        path: of a .tflite.
        entry: name of its input.
        names: of tensors.
        inputs: ``[n, height, width, 3]`` in the file's type.

    Returns:
        For each name ``[n, ...]``, empty where the interpreter has no such tensor.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    indexes = {details["name"]: details["index"] for details in interpreter.get_tensor_details()}
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for number in range(len(inputs)):
        interpreter.set_tensor(indexes[entry], inputs[number : number + 1])
        interpreter.invoke()
        for name in names:
            if name in indexes:
                seen[name].append(interpreter.get_tensor(indexes[name]))
    return [np.stack(values) if values else np.empty(0) for values in seen.values()]


def onnx_layers(path: Path, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
    """Tensors of ONNX Runtime, made outputs; QDQ operators are computed as without.

    Args:
        path: of an .onnx.
        names: of tensors.
        images: float32 ``[n, height, width, 3]``.

    Returns:
        For each name ``[n, ...]``.
    """
    session = open_session(_with_outputs(path, names))
    source = session.get_inputs()[0]
    channels_first = source.shape[-1] != 3
    runs = []
    for number in range(len(images)):
        single = images[number : number + 1]
        fed = np.ascontiguousarray(single.transpose(0, 3, 1, 2)) if channels_first else single
        runs.append(session.run(list(names), {source.name: fed}))
    return [np.stack(values) for values in zip(*runs, strict=True)]


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    import onnx

    with reading(path, COMPLETE, "export the file again"):
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
