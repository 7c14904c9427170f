"""What the rounded network reads where activations stay float numbers."""

from __future__ import annotations

import numpy as np

from network.affine import params_from_range
from network.graph import Op
from quantize.rounding.floating import FloatLockstep, dynamically
from quantize.rounding.layer_settings import LayerSettings
from quantize.settings import Granularity, Precision, WeightRange
from tests.network.graphs import Builder, images

SETTINGS = LayerSettings(Granularity.PER_CHANNEL, WeightRange.FULL, sweeps=1, refit=True)


def test_each_image_has_the_range_of_its_own_values() -> None:
    values = np.random.default_rng(0).normal(0, 1, (3, 5, 5, 7)).astype(np.float32)
    values[1] *= 100
    values[2] = np.abs(values[2]) + 1  # the range includes 0
    found = dynamically(values)
    for image, rounded in zip(values, found, strict=True):
        params = params_from_range(float(image.min()), float(image.max()))
        np.testing.assert_allclose(rounded, params.round_trip(image), atol=2e-6 * params.scale[0])
        assert len(np.unique(rounded)) <= 256
    assert not np.array_equal(values, found)


def test_ends_beyond_the_last_integer_are_cut_and_zero_stays() -> None:
    values = np.linspace(-0.3, 100.2, 4096, dtype=np.float32).reshape(1, -1, 1, 1)
    values[0, 7] = 0
    found, params = dynamically(values), params_from_range(-0.3, 100.2)
    low, high = (params.scale[0] * (end - params.zero_point[0]) for end in params.dtype.limits)
    assert found[0, 7, 0, 0] == 0
    np.testing.assert_allclose((found.min(), found.max()), (low, high), rtol=1e-6)


def test_an_input_is_rounded_once_for_the_weights_and_for_the_step() -> None:
    class Counting(FloatLockstep):
        def _read(self, op: Op, values: np.ndarray) -> np.ndarray:
            asked.append(op.name)
            return super()._read(op, values)

    b = Builder(np.random.default_rng(0))
    graph = b.graph(b.dense("scores", b.mean("pool", b.conv("conv", "image", 40)), 40))
    asked: list[str] = []
    lockstep = Counting(graph, {}, SETTINGS, 50, precision=Precision.DYNAMIC)
    lockstep.run(images(8))
    chunks = len(lockstep.integers["scores"])
    assert asked == ["conv"] * chunks + ["scores"] * chunks
    assert lockstep.read is None
