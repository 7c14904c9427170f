"""Inverted residuals computed in groups of their inner channels (Sandler et al. 2018, section 5.1).

The inner tensor of an inverted residual is wider than both of its ends, and each of its channels
passes through expansion, depthwise convolution and their non-linearities independently of the
others. It need not exist as a whole: with the inner channels c cut into t groups C_1, ..., C_t,

    y = sum over i of project_i(depthwise_i(expand_i(x)))

where expand_i, depthwise_i and project_i have the weights of the channels in C_i, and the bias of
the projection is added once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from models.cost.graph import LayerGraph, Operator
from models.cost.keras_graph import graph_of
from models.rewriting.rebuild import folded, rewritten, with_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Expansion:
    """Three consecutive operators whose inner tensors are wider than both ends.

    Attributes:
        expand: convolution that widens: a 1x1 convolution, or the stem before the first block.
        depthwise: depthwise convolution.
        project: 1x1 convolution that narrows.
    """

    expand: Operator
    depthwise: Operator
    project: Operator

    @property
    def channels(self) -> int:
        """Number of channels of the inner tensors."""
        return self.expand.kernel[-1]


def expansions(graph: LayerGraph) -> tuple[Expansion, ...]:
    """All expansions of a fused graph whose inner tensors have no other reader."""
    consumers = graph.consumers()

    def only_reader(operator: Operator) -> Operator | None:
        (output,) = operator.outputs
        readers = consumers[output]
        is_inner = len(readers) == 1 and output not in graph.outputs
        return graph.operators[readers[0]] if is_inner else None

    blocks = []
    for expand in graph.operators:
        if not _is_plain(graph, expand):
            continue
        depthwise = only_reader(expand)
        if depthwise is None or depthwise.kind != "DepthwiseConv2D" or depthwise.kernel[-1] != 1:
            continue
        project = only_reader(depthwise)
        if project is None or not _is_plain(graph, project) or project.kernel[:2] != (1, 1):
            continue
        if expand.kernel[-1] > max(expand.kernel[2], project.kernel[-1]):
            blocks.append(Expansion(expand, depthwise, project))
    return tuple(blocks)


def split_expansions(model: keras.Model, ways: int) -> keras.Model:
    """Copy of a network that computes the inner tensor of every expansion in ``ways`` groups.

    The batch norms of the blocks are folded into their convolutions, whose kernels are cut along
    the inner channels. Outputs are equal up to the order of sums, with as many multiply-adds.
    Peak memory falls, since at most one group of inner channels is live beside input and sum. It
    falls less than in the paper, which adds in place, as no exported operator does.

    Args:
        model: functional model at inference; it is not changed.
        ways: number of groups, t in the paper, which finds 2 to 5 best.

    Raises:
        InvalidInputError: fewer than one group, or more than the narrowest block has channels.
        UnsupportedError: a model whose layers cannot be counted, see ``graph_of``.
    """
    blocks = expansions(graph_of(model))
    most = min((block.channels for block in blocks), default=1)
    if not 1 <= ways <= most:
        raise InvalidInputError(
            f"{model.name} is split into at least 1 and at most {most} groups of inner channels",
            received=ways,
            remedy="choose 2 to 5, which the paper finds best",
        )
    layers = {layer.name: layer for layer in model.layers}
    # The last layer of a block is replaced by the whole block; those before it do nothing.
    bypassed: set[str] = set()
    block_of: dict[str, Expansion] = {}
    for block in blocks:
        names = [*block.expand.layers, *block.depthwise.layers, *_linear(block.project, layers)]
        bypassed.update(names[:-1])
        block_of[names[-1]] = block

    def emit(node: Any, inputs: list[Any]) -> list[Any] | None:
        name = node.operation.name
        if name in bypassed:
            return inputs
        return [_split(inputs[0], block_of[name], layers, ways)] if name in block_of else None

    return rewritten(model, emit)


def _is_plain(graph: LayerGraph, operator: Operator) -> bool:
    """Whether an operator is a convolution that is neither grouped nor depthwise."""
    if operator.kind != "Conv2D":
        return False
    return operator.kernel[2] == graph.tensors[operator.inputs[0]][-1]


def _linear(operator: Operator, layers: dict[str, Any]) -> list[str]:
    """Names of an operator's layers without its final rectifier, which stays after the sum."""
    return [n for n in operator.layers if hasattr(layers[n], "kernel") or _is_norm(layers[n])]


def _is_norm(layer: Any) -> bool:
    return type(layer).__name__ == "BatchNormalization"


def _split(x: Any, block: Expansion, layers: dict[str, Any], ways: int) -> Any:
    """Sum over the groups of inner channels: ``[b, h, w, c] -> [b, h', w', c']``."""
    import keras

    expand, depthwise, project = (
        layers[operator.layers[0]] for operator in (block.expand, block.depthwise, block.project)
    )
    expand_kernel, expand_bias = _folded(block.expand, layers)  # [k, k, c, inner]
    depthwise_kernel, depthwise_bias = _folded(block.depthwise, layers)  # [k, k, inner, 1]
    project_kernel, project_bias = _folded(block.project, layers)  # [1, 1, inner, c']
    total = None
    for group, channels in enumerate(np.array_split(np.arange(block.channels), ways)):
        conv = _like(expand, group, filters=len(channels))
        kernel, bias = expand_kernel[..., channels], expand_bias[channels]
        inner = with_weights(conv, x, kernel, bias)  # [b, h, w, inner/t]
        inner = _rectified(inner, block.expand, layers, group)

        conv = _like(depthwise, group)
        kernel, bias = depthwise_kernel[:, :, channels], depthwise_bias[channels]
        inner = with_weights(conv, inner, kernel, bias)  # [b, h', w', inner/t]
        inner = _rectified(inner, block.depthwise, layers, group)

        kernel = project_kernel[:, :, channels]
        bias = project_bias if group == 0 else np.zeros_like(project_bias)
        term = with_weights(_like(project, group), inner, kernel, bias)  # [b, h', w', c']
        total = (
            term
            if total is None
            else keras.layers.Add(name=f"{project.name}_sum{group}")([total, term])
        )
    return total


def _folded(operator: Operator, layers: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of an operator's convolution with its batch norm folded into it."""
    norms = [layers[name] for name in operator.layers if _is_norm(layers[name])]
    return folded(layers[operator.layers[0]], norms[0] if norms else None)


def _like(layer: Any, group: int, **changes: Any) -> Any:
    """New layer with the configuration of another, for one group and with a bias."""
    config = {**layer.get_config(), **changes, "use_bias": True}
    return type(layer).from_config({**config, "name": f"{layer.name}_part{group}"})


def _rectified(x: Any, operator: Operator, layers: dict[str, Any], group: int) -> Any:
    """Apply copies of the activations of an operator to the output of one group."""
    for name in operator.layers[1:]:
        if not _is_norm(layers[name]):
            layer = layers[name]
            config = {**layer.get_config(), "name": f"{name}_part{group}"}
            x = type(layer).from_config(config)(x)
    return x
