"""A plan rendered as an int8 ONNX graph with quantizers and dequantizers (QDQ).

Activations are uint8: ONNX Runtime on x86 leaves linear bottlenecks and additions between int8
quantizers in float (QDQIsInt8Allowed in qdq_selector_action_transformer.h) and fuses every one
between uint8 quantizers. The integers are the plan's, with zero points higher by 128. Convolutions
and pooling run channels first, as ONNX has it; whatever else has four axes stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.onnx.graph import INPUT_NAME, OUTPUT_NAME, Graph, Node
from export.onnx.operators import TO_NCHW, TO_NHWC, WRITERS, deals
from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams
from network.graph import Graph as Canonical
from network.graph import Op
from network.operators import Fused, OpKind
from quantize.plans.plan import QuantizationPlan
from quantize.recipes import Layout, PlanSettings, WeightRange, no_wide_onnx


def render(graph: Canonical, plan: QuantizationPlan, layout: Layout) -> Graph:
    """Write the network of a plan.

    Args:
        graph: canonical float graph that the plan is of.
        plan: its integers.
        layout: axes of the file's input.

    Returns:
        The graph ``image -> scores``, float32 at its ends, with a free batch.

    Raises:
        UnsupportedError: an operator without a form in ONNX, or in int16x8; names it.
    """
    if plan.settings.wide_ops:
        raise no_wide_onnx(f"an .onnx file: {', '.join(plan.settings.wide_ops)}")
    return Rendering(graph, plan).whole(layout)


NO_PLAN = QuantizationPlan("", {}, {}, PlanSettings(weight_range=WeightRange.FULL))
"""Leaves everything in float32."""


def require_writable(graph: Canonical, layout: Layout) -> None:
    """Refuse a network that ``render`` cannot write, before minutes go into its plan.

    Args:
        graph: canonical float graph.
        layout: axes of the file's input.

    Raises:
        UnsupportedError: an operator without a form in an int8 ONNX file, or one that needs
            channels last in a file with channels first; names it.
    """
    written = Rendering(graph, NO_PLAN).whole(layout)
    refuse_stray_transposes(written, layout)


def refuse_stray_transposes(graph: Graph, layout: Layout) -> None:
    """Refuse a file with channels first in which an operator needs them last.

    Raises:
        UnsupportedError: names the first of them.
    """
    stray = [n.outputs[0] for n in graph.nodes if n.op_type == "Transpose" and not deals(n)]
    if layout is Layout.NCHW and stray:
        raise UnsupportedError(
            "an NCHW file has no Transpose but those of channel shuffles, so each operator must "
            "have a channels-first form",
            received=f"a network that needs NHWC at {', '.join(stray[:3])}",
            remedy="use the layout nhwc for it",
        )


@dataclass
class Rendering:
    """One graph while it is built.

    Attributes:
        source: canonical graph.
        plan: its integers.
        nodes: so far.
        constants: likewise.
        first: activations of four axes that stand channels first.
        names: of the float value of each activation, for its readers.
        moved: likewise, in the other layout.
        writers: what writes each kind of operator.
    """

    source: Canonical
    plan: QuantizationPlan
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    first: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    writers: Mapping[str, Callable[[Rendering, Op], None]] = field(default_factory=lambda: WRITERS)

    def whole(self, layout: Layout) -> Graph:
        """All of it."""
        _, height, width, channels = self.source.tensors[self.source.input].shape
        sizes = (height, width, channels)
        if layout is Layout.NCHW:
            sizes = (channels, height, width)
            self.first.add(self.source.input)
        name = INPUT_NAME
        if self.source.input in self.plan.activations:
            name = self.requantize(self.source.input, INPUT_NAME, f"{INPUT_NAME}.dq")
        self.names[self.source.input] = name
        for op in self.source.ops:
            writer = self.writers.get(op.kind)
            if writer is None:
                raise no_onnx_form(op, in_int8=self.writers is WRITERS)
            writer(self, op)
        classes = self.source.tensors[self.source.output].shape[1:]
        last = self.names[self.source.output]
        for node in self.nodes:
            node.outputs = [OUTPUT_NAME if n == last else n for n in node.outputs]
            node.inputs = [OUTPUT_NAME if n == last else n for n in node.inputs]
        return Graph(
            self.nodes, self.constants, (INPUT_NAME, ("batch", *sizes)),
            (OUTPUT_NAME, ("batch", *classes)),
        )  # fmt: skip

    def add(
        self, op_type: str, inputs: Sequence[str], output: str, name: str = "", **attributes: Any
    ) -> str:
        """Append a node; give the name of its result."""
        self.nodes.append(Node(op_type, list(inputs), [output], attributes, name))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a value; give its name."""
        self.constants[name] = value
        return name

    def value(self, op: Op, position: int) -> np.ndarray:
        """A stored operand that is no number of the network: axes, sizes, a weight.

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
        """The float name of an operand, in the layout that the operator wants.

        Args:
            op: that reads.
            position: among its inputs.
            channels_first: layout of a tensor of four axes; None for whatever it has.
        """
        tensor = op.inputs[position]
        if self.source.is_constant(tensor):
            return self._constant_operand(op, tensor, channels_first)
        name = self.names[tensor]
        rank = len(self.source.tensors[tensor].shape)
        if rank != 4 or channels_first is None or channels_first == (tensor in self.first):
            return name
        if tensor not in self.moved:
            order = TO_NCHW if channels_first else TO_NHWC
            moved = self.add("Transpose", [name], f"{tensor}.moved", perm=order)
            if tensor in self.plan.activations:
                moved = self.requantize(tensor, moved, f"{moved}.dq")
            self.moved[tensor] = moved
        return self.moved[tensor]

    def give(self, op: Op, value: str, output: str | None = None, *, first: bool) -> None:
        """Quantize a result and let readers find it.

        Args:
            op: that made it.
            value: name of the float result.
            output: which of the operator's results; None for the only one.
            first: whether it stands channels first.
        """
        tensor = output or op.name
        params = self.plan.activations.get(tensor)
        if params is None or not _held_by_quantizer(op.fused, params):
            if op.fused is not Fused.NONE and op.name not in self.plan.settings.float_ops:
                # The runtime computes in integers what a quantizer follows; behind one of the same
                # scale the activation changes no integer that it would not have changed before it.
                value = self.requantize(tensor, value, f"{tensor}.whole.dq")
            value = self._activate(op.fused, value)
        if first and len(self.source.tensors[tensor].shape) == 4:
            self.first.add(tensor)
        floats = params is None or op.kind == OpKind.SOFTMAX
        self.names[tensor] = value if floats else self.requantize(tensor, value, f"{tensor}.dq")

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
        """A quantizer and a dequantizer behind a float value; itself where the plan has none."""
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
        dequantizer int8 weights with one scale; not behind a Clip, and this one lets everything
        through that the dequantizer gives.
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
        """A constant: dequantized where the plan has integers for it, else float.

        Args:
            tensor: its name in the canonical graph.
            role: what the operator has it for; part of its name in the file.
            op: that reads it.
            order: permutation of its axes; None keeps them.
            shape: that it is given before; None keeps its own.
        """
        decided = self.plan.constants.get(tensor)
        base = f"{op.name}.{role}"
        if decided is None or op.name in self.plan.settings.float_ops:
            value = self.source.value(tensor)
            value = value if shape is None else value.reshape(shape)
            return self.constant(base, value if order is None else value.transpose(order))
        integers, params = decided.integers, decided.params
        integers = integers if shape is None else integers.reshape(shape)
        axis = params.axis
        if order is not None:
            integers = integers.transpose(order)
            axis = None if axis is None else order.index(axis)
        several = axis is not None
        scale = np.array(params.scale if several else params.scale[0], np.float32)
        inputs = [self.constant(f"{base}.q", integers), self.constant(f"{base}.s", scale)]
        if integers.dtype != np.int32:  # ONNX wants 0 for biases, and takes it as read
            inputs.append(self.constant(f"{base}.z", np.zeros(scale.shape, np.int8)))
        attributes: dict[str, Any] = {"axis": axis} if several else {}
        return self.add("DequantizeLinear", inputs, base, **attributes)

    def _constant_operand(self, op: Op, tensor: str, channels_first: bool | None) -> str:
        """An operand of an elementwise operator, aligned with the axes of the other one."""
        value = self.source.value(tensor)
        rank = len(self.source.tensors[op.name].shape)
        order = spread = None
        if channels_first and value.ndim == 4:
            order = tuple(TO_NCHW)
        elif channels_first and rank == 4 and value.size > 1:
            # As it broadcasts over [b, h, w, c], with all four axes: [1, 1, 1, c], say.
            order = tuple(TO_NCHW)
            spread = (1,) * (4 - value.ndim) + value.shape
        return self.stored(tensor, f"const{op.inputs.index(tensor)}", op, order, spread)

    def shape(self, op: Op) -> tuple[int, ...]:
        """Of an operator's first result, for a batch of one."""
        return self.source.tensors[op.name].shape


def no_onnx_form(op: Op, *, in_int8: bool) -> UnsupportedError:
    """The error for an operator that the files of a recipe have no form for."""
    kind = "an int8" if in_int8 else "an"
    return UnsupportedError(
        f"every operator of a network has a form in {kind} .onnx file",
        received=f"{op.kind}, which gives {op.name}",
        remedy="replace that layer" + (", or use a float16 or dynamic recipe" * in_int8),
    )


def _held_by_quantizer(fused: Fused, params: QuantParams) -> bool:
    """Whether the integers themselves clip as the activation does."""
    low, high = fused.limits
    step = params.scale[0]
    least, most = params.real_range
    return bool(least >= low - step / 2 and most <= high + step / 2)
