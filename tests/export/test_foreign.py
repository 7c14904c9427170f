"""Checks of foreign .onnx and .tflite files before a runtime opens them."""

from __future__ import annotations

import os
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from export.foreign import admit
from foundation.errors import InvalidInputError

VALUE = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3))


def _model(*nodes: onnx.NodeProto, **more: object) -> onnx.ModelProto:
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))]
    graph = helper.make_graph(list(nodes), "g", [VALUE], outputs, more.pop("tensors", ()))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **more)


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


FOREIGN = helper.make_node("Shell", ["image"], ["y"], domain="mine")
PLAIN = helper.make_node("Relu", ["image"], ["y"])


def _inside(node: onnx.NodeProto) -> onnx.NodeProto:
    branch = helper.make_graph(
        [node], "b", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))]
    )
    return helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)


def _function(node: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function(
        "mine", "Fold", ["image"], ["y"], [node], [helper.make_opsetid("", 17)]
    )


CALL = helper.make_node("Fold", ["image"], ["y"], domain="mine")


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (_model(FOREIGN), r"mine\.Shell"),
        (_model(_inside(_inside(FOREIGN))), r"mine\.Shell"),
        (_model(CALL, functions=[_function(FOREIGN)]), r"mine\.Shell"),
        (_model(CALL), r"mine\.Fold"),
        (_model(helper.make_node("EPContext", [], ["y"], domain="com.microsoft")), "EPContext"),
    ],
)
def test_an_onnx_operator_of_elsewhere_is_refused(
    tmp_path: Path, model: onnx.ModelProto, named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        admit(_saved(model, tmp_path))


@pytest.mark.parametrize(
    "model",
    [
        _model(PLAIN),
        _model(_inside(PLAIN)),
        _model(CALL, functions=[_function(PLAIN)]),
        _model(helper.make_node("Gelu", ["image"], ["y"], domain="com.microsoft")),
    ],
)
def test_known_operators_pass(tmp_path: Path, model: onnx.ModelProto) -> None:
    assert admit(_saved(model, tmp_path)) == ()


def _outside(place: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros((1, 3), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def _reading(place: str, *, nested: bool) -> onnx.ModelProto:
    if nested:
        constant = helper.make_node("Constant", [], ["y"], value=_outside(place))
        return _model(_inside(constant))
    return _model(helper.make_node("Add", ["image", "w"], ["y"]), tensors=[_outside(place)])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "place",
    ["/etc/passwd", "../w.bin", "sub/w.bin", "..", "", "*/_ORT_MEM_ADDR_/*", "absent", "link"],
)
def test_data_of_elsewhere_is_refused(tmp_path: Path, place: str, nested: bool) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(InvalidInputError, match="own folder, under a plain name"):
        admit(_saved(_reading(place, nested=nested), tmp_path))


def test_data_beside_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(12))
    path = _saved(_reading("w.bin", nested=False), tmp_path)
    assert admit(path) == (tmp_path / "w.bin",)


def test_a_pipe_in_the_place_of_data_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(InvalidInputError, match="a named pipe"):
        admit(_saved(_reading("w.bin", nested=False), tmp_path))


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
def test_a_pipe_in_the_place_of_the_file_does_not_hang(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InvalidInputError, match="a named pipe"):
        admit(tmp_path / name)


def _tflite(path: Path, builtin: int, custom: str | None) -> Path:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = builtin, builtin, custom
    tensor = schema.TensorT()
    tensor.shape, tensor.name, tensor.buffer = [1, 3], "t", 0
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [0]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor], [operator], [0], [0]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize("name", ["FlexReadFile", "Mine"])
def test_a_custom_operator_is_refused_and_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"custom {name}"):
        admit(_tflite(tmp_path / "m.tflite", schema.BuiltinOperator.CUSTOM, name))


def test_custom_operators_that_litert_has_pass(tmp_path: Path) -> None:
    path = _tflite(
        tmp_path / "m.tflite", schema.BuiltinOperator.CUSTOM, "TFLite_Detection_PostProcess"
    )
    assert admit(path) == ()
    assert admit(_tflite(path, schema.BuiltinOperator.RELU6, None)) == ()
