"""A QDQ ONNX file with the integers of a .tflite, for tests of the comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from network.affine import IntType, QuantParams
from network.graph import Op
from network.operators import OpKind
from network.oracle.call import spread_of
from network.oracle.model import IntegerModel


class OnnxTwin:
    """Writer of such a file, with activations in uint8 and convolutions in NCHW."""

    def __init__(self, model: IntegerModel) -> None:
        self.model = model
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def proto(self) -> Any:
        from onnx import TensorProto, helper

        source = self.model.tensors[self.model.input]
        self._node("Transpose", ["image"], "image.t", perm=[0, 3, 1, 2])
        self._quantized("image.t", self.model.input, source.params)
        for op in self.model.ops:
            self._operator(op)
        ends = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
            for name, shape in (
                ("image", source.shape),
                (f"{self.model.output}.dq", self.model.tensors[self.model.output].shape),
            )
        ]
        graph = helper.make_graph(self.nodes, "twin", *ends, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)

    def _operator(self, op: Op) -> None:
        result = op.outputs[0]
        inputs = [f"{name}.dq" for name in op.inputs]
        if op.kind in (OpKind.CONV, OpKind.DEPTHWISE_CONV):
            self._convolution(op, inputs, f"{result}.f")
        elif op.kind == OpKind.DENSE:
            stored = self._stored(op, lambda weight: weight, 0)
            self._node("Gemm", [inputs[0], *stored], f"{result}.f", transB=1)
        elif op.kind == OpKind.ADD:
            self._node("Add", inputs, f"{result}.f")
        elif op.kind == OpKind.MEAN:
            self._node("GlobalAveragePool", inputs[:1], f"{result}.p")
            self._node("Flatten", [f"{result}.p"], f"{result}.f")
        else:
            raise NotImplementedError(op.kind)
        self._quantized(f"{result}.f", result, self.model.tensors[result].params)

    def _convolution(self, op: Op, inputs: list[str], result: str) -> None:
        options = op.options
        source, weight = (self.model.tensors[name] for name in op.inputs[:2])
        height, width = weight.shape[1:3]
        rows, columns = (
            spread_of(size, window, stride, same=options["padding"] == 0)[1:]
            for size, window, stride in (
                (source.shape[1], height, options["strideH"]),
                (source.shape[2], width, options["strideW"]),
            )
        )
        depthwise = op.kind == OpKind.DEPTHWISE_CONV
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        stored = self._stored(op, lambda w: w.transpose(order), op.channel_axis)
        self._node(
            "Conv", [inputs[0], *stored], result,
            strides=[options["strideH"], options["strideW"]],
            pads=[rows[0], columns[0], rows[1], columns[1]],
            group=source.shape[3] if depthwise else 1,
        )  # fmt: skip

    def _stored(self, op: Op, arranged: Any, axis: int) -> list[str]:
        names = []
        for position, name in enumerate(op.inputs[1:]):
            if not name:
                continue
            tensor = self.model.tensors[name]
            assert tensor.params is not None
            value = arranged(tensor.value) if position == 0 else tensor.value
            params = tensor.params
            if params.axis is not None:
                params = QuantParams(params.scale, params.zero_point, params.dtype, 0)
            label = f"{op.outputs[0]}.{position}"
            self._constant(f"{label}.q", np.ascontiguousarray(value))
            self._dequantized(label, params)
            names.append(f"{label}.dq")
        return names

    def _quantized(self, source: str, name: str, params: QuantParams | None) -> None:
        assert params is not None
        stored = params.as_type(IntType.UINT8)
        self._params(name, stored)
        self._node("QuantizeLinear", [source, f"{name}.s", f"{name}.z"], f"{name}.q")
        self._node("DequantizeLinear", [f"{name}.q", f"{name}.s", f"{name}.z"], f"{name}.dq")

    def _dequantized(self, name: str, params: QuantParams) -> None:
        self._params(name, params)
        extra = {} if params.axis is None else {"axis": params.axis}
        inputs = [f"{name}.q", f"{name}.s", f"{name}.z"]
        self._node("DequantizeLinear", inputs, f"{name}.dq", **extra)

    def _params(self, name: str, params: QuantParams) -> None:
        many = params.axis is not None
        scale = np.asarray(params.scale, np.float32)
        zero = np.asarray(params.zero_point, params.dtype.value)
        self._constant(f"{name}.s", scale if many else scale.reshape(()))
        self._constant(f"{name}.z", zero if many else zero.reshape(()))

    def _constant(self, name: str, value: np.ndarray) -> None:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
