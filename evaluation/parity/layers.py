"""Values of the tensors inside a file, as its runtime computes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.sessions.tensor_io import InputTensor
from export.onnx.inspect import COMPLETE, load
from export.onnx.runtime import open_session
from foundation.foreign import reading


def litert_layers(
    path: Path, entry: str, names: Sequence[str], inputs: np.ndarray
) -> list[np.ndarray]:
    """Run LiteRT's reference kernels and return tensors inside the file.

    Args:
        path: path of a .tflite.
        entry: name of its input.
        names: names of the tensors.
        inputs: ``[n, *shape]`` in the file's type.

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
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for number in range(len(inputs)):
        interpreter.set_tensor(indexes[entry], inputs[number : number + 1])
        interpreter.invoke()
        for name in names:
            if name in indexes:
                values[name].append(interpreter.get_tensor(indexes[name]))
    return [np.stack(images) if images else np.empty(0) for images in values.values()]


def onnx_layers(path: Path, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
    """Run ONNX Runtime and return tensors inside the file.

    The tensors become outputs of the model, which does not change what QDQ operators compute.

    Args:
        path: path of an .onnx.
        names: names of the tensors.
        images: float32 ``[n, *shape]``, channels last.

    Returns:
        For each name ``[n, ...]``.
    """
    session = open_session(_with_outputs(path, names))
    source = session.get_inputs()[0]
    entry = InputTensor.of_file(path, source.shape)
    runs = []
    for number in range(len(images)):
        image = entry.arranged(images[number : number + 1])
        runs.append(session.run(list(names), {source.name: image}))
    return [np.stack(values) for values in zip(*runs, strict=True)]


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    import onnx

    with reading(path, COMPLETE, "export the file again"):
        model = load(path)
    zero_types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    producers = {node.output[0]: node for node in model.graph.node}
    outputs = {value.name for value in model.graph.output}
    for name in names:
        if name not in outputs:
            zero = producers[name].input[2] if len(producers[name].input) > 2 else ""
            kind = zero_types.get(zero, onnx.TensorProto.UINT8)
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    content: bytes = model.SerializeToString()
    return content
