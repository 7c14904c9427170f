"""Operators joined as TensorFlow's converter joins them, in the order of its operations.

Source: tensorflow/compiler/mlir/lite/transforms/optimize_patterns.td and optimize_pass.cc: constant
factors and summands go into the weights and the bias before them, activation functions into the
operator before them, a padding that ``SAME`` would add into the convolution, and six operators
become ``HARD_SWISH``. An operator is joined only with one that nothing else reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from network.keras_file.nodes import Node, UnknownPartError
from network.keras_file.steps import Step, step_of
from network.operators import Fused, OpKind

_ACTIVATIONS = {"Relu": Fused.RELU, "Relu6": Fused.RELU6}
_PASSES = ("BatchToSpaceND", "Identity", "IdentityN", "SpaceToBatchND")
_FACTORS, _SUMMANDS = ("Mul",), ("AddV2", "BiasAdd")
_MOVES = (OpKind.RESHAPE, OpKind.TRANSPOSE, OpKind.PAD)
_ARITHMETIC = (OpKind.ADD, OpKind.MUL)
_SIXTH = np.float32(1) / np.float32(6)


class Fusing:
    """Operators of a network, added node by node.

    Args:
        nodes: nodes in an order in which they can run, which the operators keep.
        values: values of those that depend on no image; values of new constants are added.
        outputs: names of the nodes that are outputs.
    """

    def __init__(
        self, nodes: Sequence[Node], values: dict[str, np.ndarray], outputs: Sequence[str]
    ) -> None:
        self.values = values
        self.steps: dict[str, Step] = {}
        self._same: dict[str, str] = {}
        active = [node for node in nodes if node.name not in values and node.inputs]
        active = [node for node in active if not self._passes(node)]
        reads = [self.source(name) for node in active for name in node.inputs]
        self._uses = Counter([*reads, *map(self.source, outputs)])
        named = [replace(node, inputs=tuple(map(self.source, node.inputs))) for node in active]
        self._refuse_equal(named)
        for node in named:
            self._add(node)

    def _refuse_equal(self, nodes: Sequence[Node]) -> None:
        """Refuse two nodes that compute the same, which the converter does once."""
        groups: dict[tuple[object, ...], list[Node]] = {}
        for node in nodes:
            read = tuple(name for name in node.inputs if name not in self.values)
            groups.setdefault((node.kind, read, len(node.inputs)), []).append(node)
        for group in groups.values():
            for one, other in combinations(group, 2):
                stored = [(a, b) for a, b in zip(one.inputs, other.inputs, strict=True) if a != b]
                if one.attributes == other.attributes and all(map(self._are_equal, stored)):
                    raise UnknownPartError("two layers that compute the same")

    def _are_equal(self, names: tuple[str, str]) -> bool:
        """Whether two constants are equal."""
        one, other = (self.values.get(name) for name in names)
        return one is not None and other is not None and np.array_equal(one, other)

    def source(self, name: str) -> str:
        """Name of the node whose result another one passes on."""
        return self._same.get(name, name)

    def _passes(self, node: Node) -> bool:
        """Whether a node gives what it reads; notes it."""
        kept = node.inputs[0] if node.kind in _PASSES else None
        if node.kind == "Mul" and node.inputs[0] in self.values:
            factor = self.values[node.inputs[0]]
            kept = node.inputs[1] if factor.shape == () and factor == 1 else None
        if (
            node.kind == "AddV2"
            and node.inputs[1] in self.values
            and not self.values[node.inputs[1]].any()
        ):
            kept = node.inputs[0]
        if kept is not None:
            self._same[node.name] = self.source(kept)
        return kept is not None

    def _add(self, node: Node) -> None:
        if node.kind == "RealDiv":
            node = self._as_product(node)
        joined = (
            self._into_weights(node)
            or self._into_activation(node)
            or self._hard_swish(node)
            or self._kept_axes(node)
        )
        if not joined:
            step = step_of(node, self.values)
            self._take_padding(step)
            self._take_flattening(step)
            self._refuse_simpler(step)
            self.steps[step.name] = step

    def _before(self, name: str) -> Step | None:
        """Operator that gives a result which is read once."""
        return self.steps.get(name) if self._uses[name] == 1 else None

    def _rename(self, step: Step, name: str) -> None:
        """Let an operator give the result of a later node, and stand in its place.

        The converter names a dense layer after its product, all others after the last node.
        """
        del self.steps[step.name]
        step.name = name
        if step.kind != OpKind.DENSE:
            step.label = name
        self.steps[name] = step

    def _as_product(self, node: Node) -> Node:
        """A division by a constant as the product with its inverse."""
        x, divisor = node.inputs
        if divisor not in self.values or self.values[divisor].shape != ():
            raise UnknownPartError("a division")
        inverse = f"{node.name}/inverse"
        self.values[inverse] = np.asarray(np.float32(1) / self.values[divisor])
        return replace(node, kind="Mul", inputs=(x, inverse))

    def _into_weights(self, node: Node) -> bool:
        """Join a product or a sum with a constant into the weights and the bias before it."""
        operands = self._constant_operand(node)
        if operands is None or node.kind not in (*_FACTORS, *_SUMMANDS):
            return False
        source, constant = operands
        step = self._before(source)
        if step is None or step.weight is None or not step.takes_activation:
            return False
        assert step.bias is not None
        channels = len(step.bias)
        if constant.shape[-1:] not in ((), (1,), (channels,)) or constant.size not in (1, channels):
            return False
        vector = np.broadcast_to(constant.reshape(-1), channels)
        if node.kind in _SUMMANDS:
            step.bias = step.bias + vector
        else:
            last = step.kind == OpKind.DEPTHWISE_CONV
            along = (-1,) if last else (-1, *[1] * (step.weight.ndim - 1))
            step.weight, step.bias = step.weight * vector.reshape(along), step.bias * vector
        self._rename(step, node.name)
        return True

    def _constant_operand(self, node: Node) -> tuple[str, np.ndarray] | None:
        """Name of the activation and value of the constant that a node joins."""
        if len(node.inputs) != 2:
            return None
        first, second = node.inputs
        if second in self.values:
            return first, self.values[second]
        return (second, self.values[first]) if first in self.values else None

    def _into_activation(self, node: Node) -> bool:
        """Join an activation function into the operator before it."""
        if node.kind not in _ACTIVATIONS:
            return False
        step = self._before(node.inputs[0])
        if step is None or not step.takes_activation:
            return False
        step.options["fusedActivationFunction"] = tuple(Fused).index(_ACTIVATIONS[node.kind])
        self._rename(step, node.name)
        return True

    def _hard_swish(self, node: Node) -> bool:
        """Join ``x relu6(x + 3) / 6``."""
        if node.kind != "Mul":
            return False
        for x, gate in (node.inputs, node.inputs[::-1]):
            sixth = self._product(self._before(gate), _SIXTH)
            clipped = None if sixth is None else self._before(sixth)
            summed = None if clipped is None else self._sum_of_three(clipped)
            if summed is not None and summed == x:
                assert sixth is not None
                del self.steps[gate], self.steps[sixth]
                self.steps[node.name] = Step(OpKind.HARD_SWISH, node.name, (x,), node.shape)
                return True
        return False

    def _product(self, step: Step | None, factor: np.float32) -> str | None:
        """Name of what an operator multiplies by a number."""
        if step is None or step.kind != OpKind.MUL or step.options["fusedActivationFunction"]:
            return None
        x, constant = step.data
        value = self.values.get(constant)
        return x if value is not None and value.size == 1 and value == factor else None

    def _sum_of_three(self, step: Step) -> str | None:
        """Name of ``x`` if an operator gives ``relu6(x + 3)``."""
        clips = step.options.get("fusedActivationFunction") == tuple(Fused).index(Fused.RELU6)
        if step.kind != OpKind.ADD or not clips:
            return None
        x, constant = step.data
        value = self.values.get(constant)
        return x if value is not None and value.size == 1 and value == 3 else None

    def _kept_axes(self, node: Node) -> bool:
        """Join a reshape that gives a mean its axes of one back."""
        step = self._before(node.inputs[0]) if node.kind == "Reshape" else None
        if step is None or step.kind != OpKind.MEAN or node.shape != (1, 1, 1, *step.shape[1:]):
            return False
        step.options["keepDims"], step.shape = True, node.shape
        self._rename(step, node.name)
        return True

    def _take_padding(self, step: Step) -> None:
        """Let a convolution add the zeros of the operator before it, where ``SAME`` adds those."""
        if step.weight is None or step.options.get("padding") != 1:
            return
        before = self._before(step.data[0])
        if before is None or before.kind != OpKind.PAD:
            return
        if (step.options["dilationHFactor"], step.options["dilationWFactor"]) != (1, 1):
            raise UnknownPartError("a padding before a convolution with dilation")
        height, width = step.weight.shape[1:3]
        strides = (step.options["strideH"], step.options["strideW"])
        zeros = self.values[before.data[1]]
        sides = zip(before.shape[1:3], zeros[1:3], (height, width), strides, strict=True)
        if all(_same(int(padded), tuple(map(int, ends)), k, s) for padded, ends, k, s in sides):
            del self.steps[before.name]
            step.data = before.data[:1]
            step.options["padding"] = 0

    def _take_flattening(self, step: Step) -> None:
        """Let a dense layer read what a reshape of the same last axis reads."""
        before = self._before(step.data[0]) if step.kind == OpKind.DENSE else None
        if before is None or before.kind != OpKind.RESHAPE:
            return
        source = self.steps.get(before.data[0])
        if source is not None and source.shape[-1] == before.shape[-1]:
            del self.steps[before.name]
            step.data = before.data[:1]

    def _refuse_simpler(self, step: Step) -> None:
        """Refuse an operator that the converter drops, or joins with the one before it."""
        source = self.steps.get(step.data[0])
        if source is not None and step.kind in _MOVES:
            little = source.kind == step.kind or source.shape == step.shape
            if little:
                raise UnknownPartError(f"{step.kind} that moves little")
        if step.kind == OpKind.MEAN and (source is None or source.shape[1:3] == (1, 1)):
            raise UnknownPartError("a mean of one place")
        if step.kind in _ARITHMETIC and len(step.shape) == 2:
            operands = [self.steps[name].kind for name in step.data if name in self.steps]
            if OpKind.DENSE in operands:
                raise UnknownPartError("a dense layer before arithmetic")
        if step.weight is None or source is None:
            return
        if source.kind == OpKind.PAD and self._uses[source.name] > 1:
            raise UnknownPartError("a padding that several operators read")
        if source.kind not in _ARITHMETIC:
            return
        sizes = [self.values[name].size for name in source.data if name in self.values]
        kept = source.kind == OpKind.ADD and step.options.get("padding") == 0
        if sizes and (step.kind == OpKind.DENSE or (min(sizes) == 1 and not kept)):
            raise UnknownPartError("a constant factor or summand before weights")


def _same(padded: int, ends: tuple[int, ...], kernel: int, stride: int) -> bool:
    """Whether ``SAME`` adds these zeros at both ends of an axis."""
    size = padded - sum(ends)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return ends == (total // 2, total - total // 2)


def fused(
    nodes: Sequence[Node], values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> tuple[list[Step], dict[str, np.ndarray], tuple[str, ...]]:
    """Operators of a network, the values of their constants, and the names of the outputs.

    Args:
        nodes: nodes in an order in which they can run.
        values: values of those that depend on no image.
        outputs: names of the nodes that are outputs.

    Raises:
        UnknownPartError: a node, or a form, that is not known here.
    """
    made = Fusing(nodes, dict(values), outputs)
    results = tuple(made.source(name) for name in outputs)
    if len(set(results)) < len(results) or not set(results) <= set(_given(made.steps.values())):
        raise UnknownPartError("an output that is another one, or the input")
    return list(made.steps.values()), made.values, results


def _given(steps: Iterable[Step]) -> Iterator[str]:
    """Names of all results."""
    return (name for step in steps for name in step.given)
