"""Rounding of channels, stages and activations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from models.blocks import (
    Activation,
    Bottleneck,
    Residual,
    Shortcut,
    Stage,
    Style,
    Window,
    activation_layer,
    inverted_residual,
    make_divisible,
    squeeze_excite,
)
from tests.models.networks import randomize

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


# Inverted residuals and their studies


def _chain(style: Style, blocks: int = 3, squeezed: int = 0, kernel: int = 3) -> keras.Model:
    """Chain of inverted residuals whose inputs and outputs all have one shape."""
    image = keras.Input((9, 9, 8))
    chain = Residual(image)
    for block in range(blocks):
        chain = inverted_residual(
            chain,
            filters=8,
            inner=24,
            style=style,
            prefix=f"block_{block}_",
            window=Window(kernel),
            squeezed=squeezed,
        )
    return keras.Model(image, chain.narrow)


def _computed(model: keras.Model, layer: str, x: np.ndarray) -> np.ndarray:
    part = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(part(x, training=False))


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, 9, 9, 8)).astype(np.float32)


def _names(model: keras.Model, kind: type[keras.layers.Layer]) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


def test_a_shortcut_joins_the_bottlenecks_of_a_block(features: np.ndarray) -> None:
    model = _chain(Style(), blocks=1)
    randomize(model)
    joined = features + _computed(model, "block_0_project_bn", features)
    np.testing.assert_allclose(_computed(model, "block_0_add", features), joined, atol=1e-5)
    assert _names(model, keras.layers.Add) == ["block_0_add"]


def test_a_shortcut_joins_the_expansions_of_neighbouring_blocks(features: np.ndarray) -> None:
    model = _chain(Style(shortcut=Shortcut.EXPANSIONS))
    randomize(model)
    assert _names(model, keras.layers.Add) == ["block_1_expand_add", "block_2_expand_add"]
    before = _computed(model, "block_0_depthwise_relu", features)
    joined = before + _computed(model, "block_1_expand_bn", features)
    found = _computed(model, "block_1_expand_relu", features)
    np.testing.assert_allclose(found, np.clip(joined, 0, 6), atol=1e-5)


def test_there_may_be_no_shortcut_at_all() -> None:
    model = _chain(Style(shortcut=Shortcut.NONE))
    assert _names(model, keras.layers.Add) == []


@pytest.mark.parametrize("bottleneck", Bottleneck)
def test_a_bottleneck_is_linear_or_has_the_activation(
    bottleneck: Bottleneck, features: np.ndarray
) -> None:
    model = _chain(Style(bottleneck=bottleneck, shortcut=Shortcut.NONE), blocks=1)
    randomize(model)
    projected = _computed(model, "block_0_project_bn", features)
    assert projected.min() < 0 < projected.max()
    expected = projected if bottleneck is Bottleneck.LINEAR else np.clip(projected, 0, 6)
    np.testing.assert_allclose(np.asarray(model(features, training=False)), expected, atol=1e-6)


@pytest.mark.parametrize("shortcut", Shortcut)
@pytest.mark.parametrize("bottleneck", Bottleneck)
def test_studies_have_the_same_weights(bottleneck: Bottleneck, shortcut: Shortcut) -> None:
    """Networks that studies compare differ in something other than their number of weights."""
    plain = _chain(Style())
    other = _chain(Style(bottleneck=bottleneck, shortcut=shortcut))
    assert [w.shape for w in other.weights] == [w.shape for w in plain.weights]


def test_blocks_that_stride_or_widen_have_no_shortcut() -> None:
    image = keras.Input((1, 1, 8))  # a size that a stride does not change
    style = Style()
    strided = inverted_residual(
        Residual(image),
        filters=8,
        inner=24,
        style=style,
        prefix="strided_",
        window=Window(stride=2),
    )
    wider = inverted_residual(strided, filters=16, inner=24, style=style, prefix="wider_")
    model = keras.Model(image, wider.narrow)
    assert model.output_shape == (None, 1, 1, 16)
    assert _names(model, keras.layers.Add) == []


def test_squeeze_and_excitation_is_its_formula(features: np.ndarray) -> None:
    image = keras.Input((9, 9, 8))
    model = keras.Model(image, squeeze_excite(image, 2, "some_"))
    randomize(model)
    for name in ("conv", "conv_1"):
        layer = model.get_layer(f"some_squeeze_excite_{name}")
        layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    (w1, b1), (w2, b2) = (
        model.get_layer(f"some_squeeze_excite_{name}").get_weights() for name in ("conv", "conv_1")
    )
    mean = features.mean(axis=(1, 2))
    squeezed = np.maximum(mean @ w1[0, 0] + b1, 0)
    weight = np.clip(squeezed @ w2[0, 0] + b2 + 3, 0, 6) / 6
    assert len(np.unique(weight)) > 8
    np.testing.assert_allclose(
        np.asarray(model(features)), features * weight[:, None, None], atol=1e-5
    )


def test_squeeze_and_excitation_stands_ahead_of_the_projection() -> None:
    model = _chain(Style(), blocks=1, squeezed=4, kernel=5)
    assert (
        model.get_layer("block_0_project").input
        is model.get_layer("block_0_squeeze_excite_mul").output
    )
    assert model.get_layer("block_0_depthwise").kernel_size == (5, 5)
