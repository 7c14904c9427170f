"""An ONNX graph while it is built: what a writer of one operator reads, adds and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.onnx.graph import BATCH_NAME, INPUT_NAME, Axes, Node, OnnxGraph
from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams
from network.graph import Graph, Op
from network.operators import Fused, OpKind
from quantize.plans.plan import QuantizationPlan
from quantize.settings import Layout

TO_NCHW = [0, 3, 1, 2]
TO_NHWC = [0, 2, 3, 1]


@dataclass
class Rendering:
    """An ONNX graph while it is built, operator by operator.

    Attributes:
        source: canonical graph.
        plan: integers of the graph; an operator without any stays in float.
        nodes: ONNX nodes written so far.
        constants: stored values written so far, by tensor name.
        channels_first: canonical names of the activations ``[b, c, h, w]``.
        float_names: tensor that holds each activation in float, for its readers.
        transposed_names: tensor that holds an activation in the other layout, where one is read.
        fallback: what writes an operator in float where the writers of a recipe have no form.
        in_float: names of the operators that the fallback wrote.
    """

    source: Graph
    plan: QuantizationPlan
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    channels_first: set[str] = field(default_factory=set)
    float_names: dict[str, str] = field(default_factory=dict)
    transposed_names: dict[str, str] = field(default_factory=dict)
    fallback: Mapping[str, Writer] = field(default_factory=dict)
    in_float: list[str] = field(default_factory=list)

    def write_all(self, layout: Layout, writers: Mapping[str, Writer]) -> OnnxGraph:
        """Write input, operators and outputs.

        Outputs have the axes of the model, channels last, whatever the layout of the input.

        Args:
            layout: axes of the file's input.
            writers: what writes each kind of operator.

        Raises:
            UnsupportedError: an operator without a writer; names it.
        """
        sizes = self.source.tensors[self.source.input].shape[1:]
        if layout is Layout.NCHW and len(sizes) == 3:
            sizes = (sizes[2], sizes[0], sizes[1])
            self.channels_first.add(self.source.input)
        name = INPUT_NAME
        if self.source.input in self.plan.activations:
            name = self.requantize(self.source.input, INPUT_NAME, f"{INPUT_NAME}.dq")
        self.float_names[self.source.input] = name
        for op in self.source.ops:
            self._write(op, writers)
        self._name_outputs()
        outputs: list[tuple[str, Axes]] = [
            (name, (BATCH_NAME, *self.source.tensors[name].shape[1:]))
            for name in self.source.outputs
        ]
        image: tuple[str, Axes] = (INPUT_NAME, (BATCH_NAME, *sizes))
        return OnnxGraph(self.nodes, self.constants, image, tuple(outputs))

    def _name_outputs(self) -> None:
        """Give the tensors of the outputs their names."""
        named: dict[str, str] = {}
        for output in self.source.outputs:
            held = self._held(output, channels_first=False)
            if held in named or held == INPUT_NAME:
                self.add("Identity", [held], output)
            else:
                named[held] = output
        for node in self.nodes:
            node.outputs = [named.get(name, name) for name in node.outputs]
            node.inputs = [named.get(name, name) for name in node.inputs]

    def _write(self, op: Op, writers: Mapping[str, Writer]) -> None:
        """Write one operator; in float, between quantizers, where the recipe has no form of it."""
        second = self.fallback.get(op.kind)
        writer = writers.get(op.kind)
        if writer is not None and second in (None, writer):
            writer(self, op)
            return
        before = self._copied()
        try:
            if writer is not None:
                writer(self, op)
                return
        except UnsupportedError:
            vars(self).update(before)
        if second is None:
            raise no_onnx_form(op)
        second(self, op)
        self.in_float.append(op.name)

    def _copied(self) -> dict[str, Any]:
        """Copies of what writers change."""
        names = ("nodes", "constants", "channels_first", "float_names", "transposed_names")
        return {name: copy(getattr(self, name)) for name in names}

    def add(
        self, op_type: str, inputs: Sequence[str], output: str, name: str = "", **attributes: Any
    ) -> str:
        """Append a node with one result, and return the name of that."""
        self.nodes.append(Node(op_type, list(inputs), [output], attributes, name))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a value, and return its name."""
        self.constants[name] = value
        return name

    def value(self, op: Op, position: int) -> np.ndarray:
        """Value of an operand that must be stored: axes, sizes, a weight.

        Raises:
            UnsupportedError: the network computes it.
        """
        tensor = op.inputs[position]
        if not self.source.is_constant(tensor):
            raise UnsupportedError(
                "weights, axes and sizes are stored in the network",
                received=f"{op.kind} {op.name}, which reads {tensor or 'none'}",
                remedy="replace that layer, or use another recipe",
            )
        return self.source.value(tensor)

    def read(self, op: Op, position: int, *, channels_first: bool | None = None) -> str:
        """Name of an operand in float, in the layout that the operator needs.

        Args:
            op: operator that reads it.
            position: index of the operand among the operator's inputs.
            channels_first: layout of a tensor of four axes; None for the one that it has.
        """
        tensor = op.inputs[position]
        if self.source.is_constant(tensor):
            return self._constant_operand(op, tensor, channels_first)
        return self._held(tensor, channels_first)

    def _held(self, tensor: str, channels_first: bool | None) -> str:
        """Name of an activation in float, in a layout; None for the one that it has."""
        name = self.float_names[tensor]
        rank = len(self.source.tensors[tensor].shape)
        held_first = tensor in self.channels_first
        if rank != 4 or channels_first is None or channels_first == held_first:
            return name
        if tensor not in self.transposed_names:
            order = TO_NCHW if channels_first else TO_NHWC
            moved = self.add("Transpose", [name], f"{tensor}.moved", perm=order)
            if tensor in self.plan.activations:
                moved = self.requantize(tensor, moved, f"{moved}.dq")
            self.transposed_names[tensor] = moved
        return self.transposed_names[tensor]

    def set_result(
        self, op: Op, value: str, output: str | None = None, *, channels_first: bool
    ) -> None:
        """Quantize a result of an operator and record where its readers find it.

        Args:
            op: operator that computes it.
            value: name of the result in float.
            output: canonical name of the result; None for the first one.
            channels_first: whether a result of four axes is ``[b, c, h, w]``.
        """
        tensor = output or op.name
        params = self.plan.activations.get(tensor)
        if params is None or not _held_by_quantizer(op.fused, params):
            if op.fused is not Fused.NONE and op.name not in self.plan.settings.float_ops:
                # The runtime computes in integers what a quantizer follows; behind one of the same
                # scale the activation changes no integer that it would not have changed before it.
                value = self.requantize(tensor, value, f"{tensor}.whole.dq")
            value = self._activate(op.fused, value)
        if channels_first and len(self.source.tensors[tensor].shape) == 4:
            self.channels_first.add(tensor)
        # At the end of a network it costs nothing in float, and 256 steps cannot hold the
        # probabilities of 1,000 classes.
        at_end = op.kind == OpKind.SOFTMAX and not self.source.readers[tensor]
        stays_float = params is None or at_end
        self.float_names[tensor] = (
            value if stays_float else self.requantize(tensor, value, f"{tensor}.dq")
        )

    def _activate(self, fused: Fused, value: str) -> str:
        low, high = fused.limits
        if fused is Fused.NONE:
            return value
        if not np.isfinite(high):
            return self.add("Relu", [value], f"{value}.relu")
        ends = [
            self.constant(f"clip.{number:g}", np.array(number, np.float32))
            for number in (low, high)
        ]
        return self.add("Clip", [value, *ends], f"{value}.clip")

    def requantize(self, tensor: str, value: str, output: str) -> str:
        """Add a quantizer and a dequantizer behind a float value.

        Args:
            tensor: canonical name, by which the plan has its scale.
            value: name of the float value.
            output: name of the dequantized value.

        Returns:
            ``output``, or ``value`` where the plan leaves the tensor in float.
        """
        if tensor not in self.plan.activations:
            return value
        params = self.plan.activations[tensor].as_type(IntType.UINT8)
        scale = self.constant(f"{tensor}.s", np.array(params.scale[0], np.float32))
        zero = self.constant(f"{tensor}.z", np.array(params.zero_point[0], np.uint8))
        integers = self.add("QuantizeLinear", [value, scale, zero], f"{output}.q")
        return self.add("DequantizeLinear", [integers, scale, zero], output)

    def shielded(self, op: Op, value: str) -> str:
        """Keep ONNX Runtime from quantizing the weights of an operator that stays in float.

        Its optimizer WeightBiasQuantization gives every convolution and Gemm that reads a
        dequantizer int8 weights with one scale, but not behind a Clip. The limits of the Clip
        added here are those of the dequantizer's results, so it changes no value.
        """
        params = self.plan.activations.get(op.inputs[0])
        if params is None or op.name not in self.plan.settings.float_ops:
            return value
        ends = [
            self.constant(f"{op.name}.{side}", np.array(end, np.float32))
            for side, end in zip(("low", "high"), params.real_range, strict=True)
        ]
        return self.add("Clip", [value, *ends], f"{op.name}.in.float")

    def stored(
        self,
        tensor: str,
        role: str,
        op: Op,
        order: tuple[int, ...] | None,
        shape: tuple[int, ...] | None = None,
    ) -> str:
        """Store a constant: as integers and a dequantizer where the plan has them, else in float.

        Args:
            tensor: its name in the canonical graph.
            role: ``weight``, ``bias`` or ``const0``; part of its name in the file.
            op: operator that reads it.
            order: permutation of its axes; None keeps them.
            shape: shape before the permutation; None keeps it.

        Returns:
            Name of the constant in float.
        """
        planned = self.plan.constants.get(tensor)
        base = f"{op.name}.{role}"
        if planned is None or op.name in self.plan.settings.float_ops:
            value = self.source.value(tensor)
            value = value if shape is None else value.reshape(shape)
            return self.constant(base, value if order is None else value.transpose(order))
        integers, params = planned.integers, planned.params
        if op.traits.tied:  # beside activations in uint8
            integers = (integers.astype(np.int64) + 128).astype(np.uint8)
            params = params.as_type(IntType.UINT8)
        integers = integers if shape is None else integers.reshape(shape)
        axis = params.axis
        if order is not None:
            integers = integers.transpose(order)
            axis = None if axis is None else order.index(axis)
        per_axis = axis is not None
        scale = np.array(params.scale if per_axis else params.scale[0], np.float32)
        inputs = [self.constant(f"{base}.q", integers), self.constant(f"{base}.s", scale)]
        if integers.dtype != np.int32:  # a bias without a zero point has 0, as ONNX requires
            zeros = np.array(params.zero_point if per_axis else params.zero_point[0])
            inputs.append(self.constant(f"{base}.z", zeros.astype(integers.dtype)))
        attributes: dict[str, Any] = {"axis": axis} if per_axis else {}
        return self.add("DequantizeLinear", inputs, base, **attributes)

    def _constant_operand(self, op: Op, tensor: str, channels_first: bool | None) -> str:
        """Name of a stored operand of an elementwise operator, aligned with the other operand."""
        value = self.source.value(tensor)
        rank = len(self.result_shape(op))
        order = spread = None
        if channels_first and value.ndim == 4:
            order = tuple(TO_NCHW)
        elif channels_first and rank == 4 and value.size > 1:
            # With all four axes, as it broadcasts over [b, h, w, c]: [c] -> [1, 1, 1, c], say.
            order = tuple(TO_NCHW)
            spread = (1,) * (4 - value.ndim) + value.shape
        return self.stored(tensor, f"const{op.inputs.index(tensor)}", op, order, spread)

    def operand_shape(self, op: Op, position: int) -> tuple[int, ...]:
        """Shape of an operand in the canonical graph, for a batch of one."""
        return self.source.tensors[op.inputs[position]].shape

    def result_shape(self, op: Op) -> tuple[int, ...]:
        """Shape of an operator's first result in the canonical graph, for a batch of one."""
        return self.source.tensors[op.name].shape


def no_onnx_form(op: Op) -> UnsupportedError:
    """Error for an operator that has no form in the files of a recipe."""
    return UnsupportedError(
        "every operator of a network has a form in an .onnx file",
        received=f"{op.kind}, which gives {op.name}",
        remedy="replace that layer, or use a tflite recipe",
    )


def _held_by_quantizer(fused: Fused, params: QuantParams) -> bool:
    """Whether the integers themselves clip as the activation does."""
    low, high = fused.limits
    step = params.scale[0]
    least, most = params.real_range
    return bool(least >= low - step / 2 and most <= high + step / 2)


Writer = Callable[[Rendering, Op], None]
"""Adds the nodes of one operator, and says by ``set_result`` where its results are."""
