"""Batch norms have the same numbers on every CPU: exact operations in one order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from network.exact_norms import exact_norms, inverse_root
from network.from_keras import from_keras

rng = np.random.default_rng


def varied(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return rng(seed).uniform(0.01, 3, shape).astype(np.float32)


def by_hand(gamma: np.ndarray, variance: np.ndarray, epsilon: float) -> np.ndarray:
    """Scale of a batch norm, each operation of float32 rounded once."""
    root = np.sqrt((variance + np.float32(epsilon)).astype(np.float64))
    return np.asarray((1 / root).astype(np.float32) * gamma)


@pytest.mark.parametrize("axis", [-1, 3])
def test_the_canonical_graph_holds_exact_products(axis: int) -> None:
    import keras

    image = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(400, 3, use_bias=False)
    norm = keras.layers.BatchNormalization(axis=axis)
    pooled = keras.layers.GlobalAveragePooling2D()(norm(conv(image)))
    model = keras.Model(image, keras.layers.Dense(2)(pooled))
    gamma, beta, mean, variance = (varied((400,), seed) for seed in range(4))
    norm.set_weights([gamma, beta, mean, variance])
    kernel = conv.get_weights()[0]
    contract = Preprocessing((8, 8), Crop.EXACT, mean=(127.5,) * 3, std=(127.5,) * 3)

    graph = from_keras(model, contract)

    op = next(op for op in graph.ops if op.is_weighted)
    scale = by_hand(gamma, variance, norm.epsilon)
    np.testing.assert_array_equal(graph.weight(op), (kernel * scale).transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(graph.bias(op), beta - mean * scale)


def frozen(function: Any, *shape: int) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    signature = tf.TensorSpec(shape, tf.float32, name="image")
    traced = tf.function(function, autograph=False).get_concrete_function(signature)
    return convert_variables_to_constants_v2(traced)


def kinds(function: Any) -> set[str]:
    return {node.op for node in function.graph.as_graph_def().node}


@pytest.mark.parametrize("training", [False, True])
def test_fused_batch_norms_of_saved_models_too(training: bool) -> None:
    import tensorflow as tf

    gamma, beta, mean, variance = (varied((5,), seed) for seed in range(4))
    taken = (mean, variance) if not training else (None, None)

    def network(image: Any) -> Any:
        scaled = tf.compat.v1.nn.fused_batch_norm(
            image, gamma, beta, *taken, epsilon=1e-3, is_training=training
        )
        return scaled[0]

    before = frozen(network, 1, 4, 4, 5)
    image = varied((1, 4, 4, 5), 9)
    after = exact_norms(before)
    if training:  # depends on the image
        assert after is before
        return
    assert "FusedBatchNormV3" in kinds(before)
    assert not {kind for kind in kinds(after) if "BatchNorm" in kind}
    scale = by_hand(gamma, variance, 1e-3)
    found = np.asarray(after(tf.constant(image))[0])
    np.testing.assert_array_equal(found, image * scale + (beta - mean * scale))


def test_what_depends_on_the_image_stays() -> None:
    import tensorflow as tf

    before = frozen(lambda image: tf.math.rsqrt(image + 1.0), 1, 4)
    assert exact_norms(before) is before
    assert "Rsqrt" in kinds(before)


def test_an_inverse_root_is_rounded_once() -> None:
    values = varied((10_000,), 0)
    exact = 1 / np.sqrt(values.astype(np.longdouble))
    off = np.abs(inverse_root(values).astype(np.longdouble) - exact)
    spacing = np.spacing(inverse_root(values)).astype(np.longdouble)
    assert (off <= 0.500001 * spacing).all()
    assert inverse_root(np.zeros(1, np.float32))[0] == np.inf
