"""Weights of a network that was exported with its batch norms folded, assigned layer by layer.

An exported file has other names than the Keras layers, and its operators may come in another order.
A layer is recognized by three things that an export leaves as they are: its kernel's shape, whether
it is depthwise, and its depth, the largest number of layers with weights on a way to it. Layers
that agree in all three are told apart by the layers around them, by the size of their results and
by dilation (``pairing``); where these agree too, nothing is assigned.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from models.cost.keras_graph import nodes_of
from models.weights.pairing import Place, partners

if TYPE_CHECKING:
    import keras

_REMEDY = "give the --alpha, --classes and --activation that they were trained with"
_DEPTHWISE = "DepthwiseConv2D"
_SEPARABLE = "SeparableConv2D"
_KERNELS = ("Conv2D", "Dense", _DEPTHWISE, _SEPARABLE)


@dataclass(frozen=True)
class StoredLayer:
    """A convolution or dense layer of an exported network.

    Attributes:
        name: name in the file, for messages.
        kernel: float32 in Keras's order of axes: ``[h, w, in, out]``, ``[h, w, channels,
            multiplier]`` of a depthwise convolution, ``[in, out]`` of a dense layer.
        bias: float32 ``[out]``; zeros for a layer without bias.
        depthwise: whether it is a depthwise convolution.
        depth: largest number of such layers on a way to it, itself included.
        sources: names of the layers that it reads, directly or through layers without weights.
        positions: height times width of its result; 0 if unknown.
        dilation: of its kernel.
    """

    name: str
    kernel: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    depthwise: bool
    depth: int
    sources: tuple[str, ...] = ()
    positions: int = 0
    dilation: int = 1


@dataclass
class _Target:
    """Variables of a Keras model that one layer of a file belongs to."""

    name: str
    kernel: Any
    bias: Any
    depthwise: bool
    depth: int
    sources: frozenset[int] = frozenset()
    positions: int = 0
    dilation: int = 1
    norm: Any = None


_Key = tuple[int, bool, tuple[int, ...]]


def assign_by_shape(model: keras.Model, stored: Sequence[StoredLayer]) -> None:
    """Set all weights of a network to those of an exported one.

    A batch norm that follows a layer becomes the addition of the folded bias: variance
    1 - epsilon, mean 0, scale 1.

    Args:
        model: functional or sequential model of convolutions, dense layers and batch norms.
        stored: layers of the exported network, in any order.

    Raises:
        InvalidInputError: another number of layers, another shape, two layers that cannot be told
            apart, or a layer of the network that no exported layer gives weights for.
    """
    targets = _targets(model)
    ours, theirs = [_key_of(t) for t in targets], [_key_of(s) for s in stored]
    if sorted(ours) != sorted(theirs):
        raise _fault(model, _mismatch(targets, stored))
    found = partners([_place_of(t) for t in targets], _places_of(stored))
    pairs = [(t, stored[i]) for t, i in zip(targets, found, strict=True) if i is not None]
    if len(pairs) < len(targets):
        unknown = targets[found.index(None)]
        first, second, *_ = (t.name for t in targets if _key_of(t) == _key_of(unknown))
        received = f"{first} and {second}, parallel and of one shape {list(_key_of(unknown)[2])}"
        raise _fault(model, received)
    assigned: set[int] = set()
    for target, layer in pairs:
        assigned |= _assign(model, target, layer)
    if left := [weight.path for weight in model.weights if id(weight) not in assigned]:
        raise _fault(model, f"no values for {left[0]}, which is folded into no layer")


def _key_of(layer: _Target | StoredLayer) -> _Key:
    """Depth, kind and shape; a 1x1 convolution and a dense layer are the same."""
    shape = tuple(int(size) for size in layer.kernel.shape)
    if len(shape) == 4 and shape[:2] == (1, 1) and not layer.depthwise:
        shape = shape[2:]
    return layer.depth, layer.depthwise, shape


def _place_of(target: _Target) -> Place:
    return Place(_key_of(target), tuple(target.sources), (target.positions, target.dilation))


def _places_of(stored: Sequence[StoredLayer]) -> list[Place]:
    index = {layer.name: number for number, layer in enumerate(stored)}
    return [
        Place(_key_of(s), tuple(index[n] for n in s.sources), (s.positions, s.dilation))
        for s in stored
    ]


def _mismatch(targets: Sequence[_Target], stored: Sequence[StoredLayer]) -> str:
    """Words for the first layer of the network without a partner, or the first in the file."""
    counts = f"{len(stored)} layers with weights for {len(targets)}; " * (
        len(stored) != len(targets)
    )
    spare = Counter(_key_of(s) for s in stored) - Counter(_key_of(t) for t in targets)
    missing = Counter(_key_of(t) for t in targets) - Counter(_key_of(s) for s in stored)
    for target in targets:
        if missing[_key_of(target)]:
            shape = list(target.kernel.shape)
            others = [list(s.kernel.shape) for s in stored if s.depth == target.depth
                      and spare[_key_of(s)]]  # fmt: skip
            found = f"{others[0]} in its place" if others else "none in its place"
            return f"{counts}{target.name} has a kernel {shape}, the file {found}"
    extra = next(s for s in stored if spare[_key_of(s)])
    return f"{counts}{extra.name} with a kernel {list(extra.kernel.shape)} belongs to no layer"


def _assign(model: keras.Model, target: _Target, layer: StoredLayer) -> set[int]:
    """Set the variables of one target; returns the ids of those that have their values."""
    target.kernel.assign(layer.kernel.reshape(target.kernel.shape))
    assigned, bias = {id(target.kernel)}, layer.bias
    if (norm := target.norm) is not None:
        rest = _set_identity(norm, bias)
        assigned.update(id(weight) for weight in norm.weights)
        bias = rest
    if target.bias is not None:
        target.bias.assign(bias)
        assigned.add(id(target.bias))
    elif np.any(bias):
        raise _fault(model, f"a bias for {target.name}, which has none")
    return assigned


def _set_identity(norm: Any, bias: np.ndarray) -> np.ndarray:
    """Make a batch norm the addition of a bias; returns the bias that it cannot add."""
    channels = bias.shape
    norm.moving_mean.assign(np.zeros(channels, np.float32))
    norm.moving_variance.assign(np.full(channels, _variance(norm.epsilon), np.float32))
    if norm.gamma is not None:
        norm.gamma.assign(np.ones(channels, np.float32))
    if norm.beta is None:
        return bias
    norm.beta.assign(bias)
    return np.zeros_like(bias)


def _variance(epsilon: float) -> np.float32:
    """Float32 whose sum with epsilon is 1."""
    one, added = np.float32(1), np.float32(epsilon)
    variance = np.float32(one - added)
    while np.float32(variance + added) < one:
        variance = np.nextafter(variance, one)
    return variance


def _targets(model: keras.Model) -> list[_Target]:
    """Layers with kernels in the order of the graph, each with the batch norm that follows it."""
    walk = _Walk()
    walk.run(model, [_Known()] * len(model.inputs))
    if walk.shared:
        raise _fault(model, f"{walk.shared}, which the network calls more than once")
    return walk.targets


@dataclass(frozen=True)
class _Known:
    """What is known of a tensor while a model is walked.

    Attributes:
        depth: largest number of layers with kernels on a way to it.
        maker: layer with a kernel that gives it, if one does.
        sources: indexes of the layers with kernels that it comes from.
    """

    depth: int = 0
    maker: _Target | None = None
    sources: frozenset[int] = frozenset()


class _Walk:
    """Walk over a model and those in it, which collects layers with kernels."""

    def __init__(self) -> None:
        self.targets: list[_Target] = []
        self.shared = ""
        self._seen: set[int] = set()

    def run(self, model: Any, given: list[_Known]) -> list[_Known]:
        """What is known of each output, from what is known of each input."""
        known = {id(tensor): state for tensor, state in zip(model.inputs, given, strict=True)}
        nodes = nodes_of(model)
        readers = Counter(id(t) for node in nodes for t in node.input_tensors)
        readers.update(id(t) for t in model.outputs)
        for node in nodes:
            layer = node.operation
            before = [known[id(tensor)] for tensor in node.input_tensors]
            if hasattr(layer, "layers") and getattr(layer, "inputs", None):
                after = self.run(layer, [replace(state, maker=None) for state in before])
            else:
                alone = len(before) == 1 and readers[id(node.input_tensors[0])] == 1
                shape = node.output_tensors[0].shape
                after = [self._called(layer, before, alone, shape)] * len(node.output_tensors)
            known.update({id(t): a for t, a in zip(node.output_tensors, after, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _called(
        self, layer: Any, before: list[_Known], alone: bool, shape: tuple[int | None, ...]
    ) -> _Known:
        """What is known of the result of one call, which has this shape."""
        kind = type(layer).__name__
        depth = max((state.depth for state in before), default=0)
        sources = frozenset().union(*(state.sources for state in before))
        if getattr(layer, "weights", None):
            if id(layer) in self._seen:
                self.shared = self.shared or layer.name
            self._seen.add(id(layer))
        maker = before[0].maker if before else None
        if kind == "BatchNormalization" and alone and maker is not None and maker.norm is None:
            maker.norm = layer
            return _Known(depth, None, sources)
        if kind in ("Identity", "Dropout", "Flatten", "Reshape"):
            kept = maker if alone and kind in ("Identity", "Dropout") else None
            return _Known(depth, kept, sources)
        if kind not in _KERNELS:
            return _Known(depth, None, sources)
        target = self._added(layer, kind, depth, sources)
        target.positions = math.prod(size or 0 for size in shape[1:-1])
        target.dilation = max(getattr(layer, "dilation_rate", None) or (1,))
        linear = getattr(layer.activation, "__name__", "") == "linear"
        last = frozenset({len(self.targets) - 1})
        return _Known(target.depth, target if linear else None, last)

    def _added(self, layer: Any, kind: str, depth: int, sources: frozenset[int]) -> _Target:
        """Add one layer, or both halves of a separable convolution; returns the last of them."""
        bias = layer.bias if layer.use_bias else None
        if kind == _SEPARABLE:
            inner = _Target(f"{layer.name} (depthwise)", layer.depthwise_kernel, None, True,
                            depth + 1, sources)  # fmt: skip
            self.targets.append(inner)
            sources = frozenset({len(self.targets) - 1})
            outer = _Target(layer.name, layer.pointwise_kernel, bias, False, depth + 2, sources)
        else:
            deep = kind == _DEPTHWISE
            outer = _Target(layer.name, layer.kernel, bias, deep, depth + 1, sources)
        self.targets.append(outer)
        return outer


def _fault(model: keras.Model, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"weights fit the network they are loaded into ({model.name}), layer by layer",
        received=received,
        remedy=_REMEDY,
    )
