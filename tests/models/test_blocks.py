"""Channel rounding, stages and activations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration_data.errors import InvalidInputError
from models.blocks import Activation, Stage, activation_layer, make_divisible

values = st.floats(0.01, 20_000, allow_nan=False)


@given(values)
def test_a_channel_count_is_a_multiple_of_eight_near_the_value(value: float) -> None:
    channels = make_divisible(value)
    assert channels % 8 == 0
    assert channels >= 8
    assert channels >= 0.9 * value
    assert channels <= max(8, value + 8)


@given(values, values)
def test_a_wider_value_never_gives_fewer_channels(first: float, second: float) -> None:
    narrow, wide = sorted((first, second))
    assert make_divisible(narrow) <= make_divisible(wide)


@given(st.integers(1, 2_500))
def test_multiples_of_eight_stay(eighth: int) -> None:
    assert make_divisible(8 * eighth) == 8 * eighth


@pytest.mark.parametrize(
    ("value", "channels"),
    # 32 x 0.35 and 24 x 0.5 (up), 24 x 0.75 and 16 x 1.4 (rounded down by more than 10 %: up).
    [(11.2, 16), (12, 16), (18, 24), (22.4, 24), (33.6, 32), (44.8, 48), (1792, 1792), (1, 8)],
)
def test_widths_of_mobilenet_v2(value: float, channels: int) -> None:
    assert make_divisible(value) == channels


@pytest.mark.parametrize(
    "row", [(0, 8, 1, 1), (1, 0, 1, 1), (1, 8, 0, 1), (1, 8, 1, 0), (1, 8, 1, 3), (-6, 8, 1, 1)]
)
def test_a_stage_that_no_network_can_have_is_refused(row: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInputError, match="stride 1 or 2"):
        Stage(*row)


@pytest.mark.parametrize("activation", Activation)
def test_every_activation_is_its_formula(activation: Activation) -> None:
    x = np.linspace(-8, 8, 33, dtype=np.float32)
    formula = {
        Activation.RELU6: np.clip(x, 0, 6),
        Activation.RELU: np.maximum(x, 0),
        Activation.SWISH: x / (1 + np.exp(-x)),
        Activation.HARD_SWISH: x * np.clip(x + 3, 0, 6) / 6,
    }[activation]
    layer = activation_layer(activation, "act")
    assert layer.name == "act"
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), formula, atol=1e-5)
