"""Small foreign ONNX files."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

SHAPE = (1, 6, 6, 3)


def save_network(path: Path, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> Path:
    """Write an .onnx from ``image`` to three ``scores``."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 3))
    graph = helper.make_graph(nodes, "net", [image], [scores], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def pooled() -> list[onnx.NodeProto]:
    """Nodes of a very fast network with three scores."""
    return [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Sin", ["mean"], ["scores"]),
    ]


def save_endless(path: Path) -> Path:
    """Write an .onnx with a Loop that runs for years."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Sin", ["x_in"], ["x_out"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go_in", TensorProto.BOOL, []),
            value("x_in", TensorProto.FLOAT, [1, 3]),
        ],
        [value("go_out", TensorProto.BOOL, []), value("x_out", TensorProto.FLOAT, [1, 3])],
    )
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Loop", ["most", "go", "mean"], ["scores"], body=body),
    ]
    tensors = [
        helper.make_tensor("most", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("go", TensorProto.BOOL, [], [True]),
    ]
    return save_network(path, nodes, tensors)
