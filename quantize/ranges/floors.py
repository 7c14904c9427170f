"""Smallest scales of results: of a tensor that is all but dead, for instance behind a closed ReLU.

XNNPACK refuses a convolution whose accumulators count 256 steps of the result or more
(``xnn_create_convolution2d_nhwc_qs8``, src/operators/convolution-nhwc.c), and with it the file. A
result that is finer than what it is computed from tells nothing, so its scale may grow.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from network.affine import QuantParams
from network.graph import Graph

FINEST = 64
"""Steps of a result in one step of its operator's accumulators: a quarter of XNNPACK's limit.

Weights in 7 bits or with a refitted scale take up to a half of it.
"""


def with_floors(
    graph: Graph, params: Mapping[str, QuantParams], roots: Mapping[str, str]
) -> dict[str, QuantParams]:
    """Parameters whose scales a convolution or matrix product can have as its result's.

    Args:
        graph: canonical.
        params: int8 parameters by the name that stands for tensors of the same parameters.
        roots: that name for each activation.
    """
    kept = dict(params)
    for op in graph.weighted:
        source, root = roots[op.inputs[op.data_positions[0]]], roots[op.name]
        if source not in kept or root not in kept:
            continue
        largest = float(np.abs(graph.weight(op)).max(initial=0.0))
        floor = kept[source].scale[0] * largest / 127 / FINEST
        if kept[root].scale[0] < floor:
            kept[root] = QuantParams((floor,), kept[root].zero_point)
    return kept
