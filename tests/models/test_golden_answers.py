"""Golden answers of the families that keras.applications does not have.

They pin structure and arithmetic: weights are drawn in the order of the layers, so that a moved
unit, a different shuffle or a missing branch changes every number.
"""

from __future__ import annotations

import numpy as np
import pytest

from models.loading.request import ModelRequest
from tests.models.networks import randomize, settle

GOLDEN = {
    "shufflenet_v1_g1": [2.494, 1.83, 1.589, -3.651],
    "shufflenet_v1_g3": [4.225, 5.816, 0.917, 1.007],
    "shufflenet_v1_g8": [-2.204, -3.917, -1.512, 0.683],
    "shufflenet_v2": [-3.584, 3.493, 3.239, -1.203],
    "mobileone_s0": [-1.426, -1.316, 1.156, 0.253],
    "mobileone_s1": [-4.646, 1.337, 2.113, -1.524],
    "mobileone_s4": [-1.74, -1.297, 0.784, 0.202],
}
"""Of a variant of width 0.25 for 32 pixels and 4 classes, to the first of four random images."""


def answers(name: str) -> np.ndarray:
    """Scores of the deployed form, with batch norm statistics of the images."""
    spec = ModelRequest(name, alpha=0.25, size=32, classes=4).spec()
    model = spec.build(spec)
    randomize(model, seed=11)
    images = np.random.default_rng(12).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    settle(model, images)
    deployed = model if spec.deployed is None else spec.deployed(model)
    return np.asarray(deployed(images, training=False))[0]


SLOW = ("shufflenet_v1_g1", "shufflenet_v1_g8", "mobileone_s0", "mobileone_s1")
"""Networks that take long to build, and whose kinds of blocks the others have too."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in GOLDEN],
)
def test_golden_answers_of_random_weights(name: str) -> None:
    # Batch norm statistics are set layer after layer, so that different rounding in two kernel
    # libraries grows to 1e-2 in MobileOne's sums of many branches.
    np.testing.assert_allclose(answers(name), GOLDEN[name], atol=5e-2)
