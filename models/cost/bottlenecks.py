"""Inverted residuals taken as one operator (Sandler et al. 2018, section 5.1).

The inner tensor of an inverted residual is wider than both of its ends, and every channel of it
passes through expansion, depthwise convolution and their non-linearities alone. So it need not
exist as a whole: t groups of its channels are made one after another, and what each adds to the
output is summed.
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
    """Three operators in a row whose inner tensors are wider than both ends.

    Attributes:
        expand: convolution that widens; 1x1, or the stem in front of the first block.
        depthwise: depthwise convolution.
        project: 1x1 convolution that narrows.
    """

    expand: Operator
    depthwise: Operator
    project: Operator

    @property
    def channels(self) -> int:
        """Channels of the inner tensors."""
        return self.expand.kernel[-1]


def expansions(graph: LayerGraph) -> tuple[Expansion, ...]:
    """All of them in a fused graph; whoever reads an inner tensor besides rules a block out."""
    consumers = graph.consumers()

    def next_of(operator: Operator) -> Operator | None:
        (made,) = operator.outputs
        readers = consumers[made]
        alone = len(readers) == 1 and made not in graph.outputs
        return graph.operators[readers[0]] if alone else None

    found = []
    for expand in graph.operators:
        if not _is_plain(graph, expand):
            continue
        depthwise = next_of(expand)
        if depthwise is None or depthwise.kind != "DepthwiseConv2D" or depthwise.kernel[-1] != 1:
            continue
        project = next_of(depthwise)
        if project is None or not _is_plain(graph, project) or project.kernel[:2] != (1, 1):
            continue
        if expand.kernel[-1] > max(expand.kernel[2], project.kernel[-1]):
            found.append(Expansion(expand, depthwise, project))
    return tuple(found)


def split_expansions(model: keras.Model, ways: int) -> keras.Model:
    """The same network with the inner tensor of every expansion computed in ``ways`` groups.

    Batch norms of the blocks are folded into their convolutions, whose kernels are cut along the
    inner channels; outputs are equal up to the order of sums, and multiply-adds are as many.
    Peak memory falls, for at most a group of inner channels is live beside input and sum; it
    falls less than in the paper, where sums are made in place, as no exported operator does.

    Args:
        model: functional model at inference; it is left as it is.
        ways: groups, the paper's t, which finds 2 to 5 best.

    Raises:
        InvalidInputError: fewer than one group, or more than the narrowest block has channels.
        UnsupportedError: see ``models.cost.keras_graph.graph_of``.
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
    passed: set[str] = set()
    last: dict[str, Expansion] = {}
    for block in blocks:
        names = [*block.expand.layers, *block.depthwise.layers, *_linear(block.project, layers)]
        passed.update(names[:-1])
        last[names[-1]] = block

    def emit(node: Any, given: list[Any]) -> list[Any] | None:
        name = node.operation.name
        if name in passed:
            return given
        return [_split(given[0], last[name], layers, ways)] if name in last else None

    return rewritten(model, emit)


def _is_plain(graph: LayerGraph, operator: Operator) -> bool:
    """Whether an operator is a convolution in which every output sees every input channel."""
    if operator.kind != "Conv2D":
        return False
    return operator.kernel[2] == graph.tensors[operator.inputs[0]][-1]


def _linear(operator: Operator, layers: dict[str, Any]) -> list[str]:
    """Layers of an operator without the rectifier at its end, which follows the sum."""
    return [n for n in operator.layers if hasattr(layers[n], "kernel") or _is_norm(layers[n])]


def _is_norm(layer: Any) -> bool:
    return type(layer).__name__ == "BatchNormalization"


def _split(x: Any, block: Expansion, layers: dict[str, Any], ways: int) -> Any:
    """``[b, h, w, c] -> [b, h', w', c']``: the sum of what each group of inner channels adds."""
    import keras

    (expand, widen), (depthwise, filters), (project, narrow) = (
        (layers[part.layers[0]], _folded(part, layers))
        for part in (block.expand, block.depthwise, block.project)
    )
    total = None
    for group, channels in enumerate(np.array_split(np.arange(block.channels), ways)):
        conv = _like(expand, group, filters=len(channels))
        inner = with_weights(conv, x, widen[0][..., channels], widen[1][channels])
        inner = _rectified(inner, block.expand, layers, group)
        conv = _like(depthwise, group)
        inner = with_weights(conv, inner, filters[0][:, :, channels], filters[1][channels])
        inner = _rectified(inner, block.depthwise, layers, group)
        bias = narrow[1] if group == 0 else np.zeros_like(narrow[1])
        part = with_weights(_like(project, group), inner, narrow[0][:, :, channels], bias)
        total = (
            part
            if total is None
            else keras.layers.Add(name=f"{project.name}_sum{group}")([total, part])
        )
    return total


def _folded(operator: Operator, layers: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    norms = [layers[name] for name in operator.layers if _is_norm(layers[name])]
    return folded(layers[operator.layers[0]], norms[0] if norms else None)


def _like(layer: Any, group: int, **changes: Any) -> Any:
    """A layer of the same kind for one group, with a bias."""
    config = {**layer.get_config(), **changes, "use_bias": True}
    return type(layer).from_config({**config, "name": f"{layer.name}_part{group}"})


def _rectified(x: Any, operator: Operator, layers: dict[str, Any], group: int) -> Any:
    for name in operator.layers[1:]:
        if not _is_norm(layers[name]):
            layer = layers[name]
            config = {**layer.get_config(), "name": f"{name}_part{group}"}
            x = type(layer).from_config(config)(x)
    return x
