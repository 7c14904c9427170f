"""Outputs of a .tflite file as different results of operators, and the signature that names them.

Source: ``SignatureDef`` and ``TensorMap`` in tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from network.graph import INPUT_NAME

SIGNATURE = "serving_default"
"""Key of the signature, which TensorFlow gives to a network's main function."""

_RESHAPE_VERSION = 1


def with_own_outputs(model: Any) -> None:
    """Give every output of the main graph a tensor of its own, in place.

    The converter drops layers that change nothing in inference, so that two outputs may be one
    tensor, or an output the input. Such an output becomes the result of a RESHAPE to the same
    shape, which moves numbers and changes none.

    Args:
        model: a ``ModelT`` of the schema's object API.
    """
    graph = model.subgraphs[0]
    seen = {int(index) for index in graph.inputs}
    outputs = []
    for number in graph.outputs:
        index = int(number)
        outputs.append(_copy(model, index) if index in seen else index)
        seen.add(index)
    if outputs != [int(index) for index in graph.outputs]:
        graph.outputs = outputs


def with_signature(model: Any, names: Sequence[str]) -> None:
    """Give a file the signature ``serving_default``, in place, and no other.

    Args:
        model: a ``ModelT`` of the schema's object API with one input.
        names: names of the outputs, in the file's order.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]

    def entry(name: str, index: Any) -> Any:
        return schema.TensorMapT(name=name.encode(), tensorIndex=int(index))

    model.signatureDefs = [
        schema.SignatureDefT(
            inputs=[entry(INPUT_NAME, graph.inputs[0])],
            outputs=[entry(*pair) for pair in zip(names, graph.outputs, strict=True)],
            signatureKey=SIGNATURE.encode(),
            subgraphIndex=0,
        )
    ]


def _copy(model: Any, index: int) -> int:
    """Index of a new tensor that a RESHAPE fills with the numbers of another one."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    source = graph.tensors[index]
    sizes = np.asarray(source.shape, np.int32)
    model.buffers.append(schema.BufferT(data=np.frombuffer(sizes.tobytes(), np.uint8)))
    graph.tensors.append(
        schema.TensorT(
            shape=[len(sizes)], type=schema.TensorType.INT32, buffer=len(model.buffers) - 1,
            name=f"shape_{len(graph.tensors)}".encode(), hasRank=True,
        )
    )  # fmt: skip
    graph.tensors.append(
        schema.TensorT(
            shape=list(source.shape), type=source.type, buffer=0,
            name=f"output_{len(graph.tensors)}".encode(), quantization=source.quantization,
            hasRank=True,
        )
    )  # fmt: skip
    shape, result = len(graph.tensors) - 2, len(graph.tensors) - 1
    graph.operators.append(
        schema.OperatorT(
            opcodeIndex=_reshape_code(model), inputs=[index, shape], outputs=[result],
            builtinOptionsType=schema.BuiltinOptions.ReshapeOptions,
            builtinOptions=schema.ReshapeOptionsT(newShape=sizes.tolist()),
        )
    )  # fmt: skip
    return result


def _reshape_code(model: Any) -> int:
    """Index of RESHAPE among the operator codes, added where there is none."""
    from ai_edge_litert import schema_py_generated as schema

    number = schema.BuiltinOperator.RESHAPE
    for index, code in enumerate(model.operatorCodes):
        if max(int(code.builtinCode), int(code.deprecatedBuiltinCode)) == number:
            return index
    model.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=number, builtinCode=number, version=_RESHAPE_VERSION
        )
    )
    return len(model.operatorCodes) - 1
