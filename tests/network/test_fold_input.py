"""Contracts folded into the first convolution of a canonical graph: the same function."""

from __future__ import annotations

import numpy as np
import pytest

from calibration_data.one_pair import OnePair
from calibration_data.preprocessing import ChannelOrder, Crop, Preprocessing
from foundation.errors import UnsupportedError
from network.fold_input import fold_input
from network.graph import Graph
from network.operators import OpKind
from network.run_tensorflow import run
from tests.network.graphs import SIDE, Builder

PIXELS = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8)


def network(kernel: int) -> Graph:
    b = Builder(np.random.default_rng(1))
    stem = b.conv("stem", "image", 8, kernel=kernel, stride=2)
    b.dense("scores", b.mean("pool", stem), 4)
    return b.graph()


@pytest.mark.parametrize("order", [ChannelOrder.RGB, ChannelOrder.BGR])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_folded_graph_gives_the_same_scores(kernel: int, order: ChannelOrder) -> None:
    contract = Preprocessing(
        (SIDE, SIDE), Crop.EXACT, mean=(124.0, 116.0, 104.0), std=(58.0, 57.0, 40.0),
        channels=order,
    )  # fmt: skip
    graph, pair = network(kernel), OnePair.of(contract)
    folded, padded = fold_input(graph, pair)
    assert padded is (kernel == 3)
    expected = run(graph, contract.normalize(PIXELS))
    found = run(folded, pair.contract.normalize(PIXELS))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_another_first_operator_is_named() -> None:
    b = Builder(np.random.default_rng(1))
    b.op(OpKind.RELU, "first", ("image",), (1, SIDE, SIDE, 3))
    b.dense("scores", b.mean("pool", "first"), 4)
    pair = OnePair.of(Preprocessing((SIDE, SIDE), Crop.EXACT))
    with pytest.raises(UnsupportedError, match="RELU as the first operator"):
        fold_input(b.graph(), pair)
