"""Files and answers of tf_keras, the Keras of TensorFlow 2.0 to 2.15: run as a script in a process.

``python -m tests.models.loading.legacy_files FOLDER`` writes NAME.h5, NAME.keras and
NAME.npz (``images`` and ``scores``) for every network below. TF_USE_LEGACY_KERAS=1 must be set.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

NAMES = (
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "sequence",
    "transfer",
    "base_first",
    "functions",
    "parts",
    "mixed",
)


ARCHIVED = tuple(name for name in NAMES if name != "functions")
"""Networks that tf_keras saves as .keras too: it cannot write an ellipsis, as of ``x[..., 0]``."""


def _images(count: int, size: int, low: float, high: float) -> np.ndarray:
    values = np.random.default_rng(0).uniform(low, high, (count, size, size, 3))
    return values.astype(np.float32)


def _settle(model: Any, images: np.ndarray) -> None:
    """Statistics of these images in the batch norms, so that answers depend on the image."""
    import tf_keras

    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)


def _family(name: str, alpha: float) -> tuple[Any, np.ndarray]:
    import tf_keras

    family = getattr(tf_keras.applications, name)
    model = family((64, 64, 3), alpha=alpha, weights=None, classes=10)
    pixels = name.startswith("MobileNetV3")
    images = _images(16, 64, 0 if pixels else -1, 255 if pixels else 1)
    if name == "MobileNet":  # so that the file has an optimizer's state
        model.compile("adam", "categorical_crossentropy")
        model.train_on_batch(images[:2], np.eye(10)[:2])
    _settle(model, images)
    return model, images


def _sequence() -> tuple[Any, np.ndarray]:
    import tf_keras

    layers = tf_keras.layers
    statistics = layers.Normalization()
    images = _images(32, 16, 0, 255)
    statistics.adapt(images * np.float32([1, 0.5, 0.2]))
    model = tf_keras.Sequential(
        [
            layers.Rescaling(0.5, input_shape=(16, 16, 3)),
            statistics,
            layers.Conv2D(4, 3, activation="hard_sigmoid"),
            layers.experimental.SyncBatchNormalization(),
            layers.LeakyReLU(0.1),
            layers.SeparableConv2D(6, 3, activation="swish"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            layers.ThresholdedReLU(0.2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    _settle(model, images)
    return model, images


def _transfer() -> tuple[Any, np.ndarray]:
    """A base, frozen, behind augmentation and rescaling, as TensorFlow's own guide builds it."""
    import tf_keras

    layers = tf_keras.layers
    images = _images(16, 64, 0, 255)
    base = tf_keras.applications.MobileNetV2(
        (64, 64, 3), alpha=0.35, weights=None, include_top=False
    )
    _settle(base, images / 127.5 - 1)
    base.trainable = False
    augmentation = tf_keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomContrast(0.1)]
    )
    image = tf_keras.Input((64, 64, 3))
    x = layers.Rescaling(1 / 127.5, -1)(augmentation(image))
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    scores = layers.Dense(5, activation="softmax")(layers.Dropout(0.2)(x))
    return tf_keras.Model(image, scores), images


def _base_first() -> tuple[Any, np.ndarray]:
    """A Sequential whose first layer is a model, and one in it that augments."""
    import tf_keras

    layers = tf_keras.layers
    image = tf_keras.Input((24, 24, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    base = tf_keras.Model(image, layers.PReLU(shared_axes=[1, 2])(x))
    inner = tf_keras.Sequential([layers.LayerNormalization(), layers.Conv2D(4, 1)])
    end = [layers.GlobalMaxPooling2D(), layers.Dense(4, activation="gelu")]
    return tf_keras.Sequential([base, inner, *end]), _images(4, 24, -1, 1)


def _functions() -> tuple[Any, np.ndarray]:
    """TensorFlow functions on Keras tensors."""
    import tensorflow as tf
    import tf_keras

    layers = tf_keras.layers
    image = tf_keras.Input((16, 16, 3))
    x = tf_keras.applications.resnet50.preprocess_input(image)
    x = layers.Conv2D(4, 3, use_bias=False, name="stem/conv")(x / 50.0)
    x = x * tf.nn.relu6(x + 3.0) / 6.0
    x = 1.0 - tf.nn.swish(x) + tf.nn.leaky_relu(x) - tf.nn.gelu(x)
    parts = tf.split(x, 2, -1)
    x = tf.concat([parts[1], tf.abs(parts[0]), *tf.split(x, [1, 3], -1)], -1)
    x = tf.pad(tf.image.resize(x, (8, 8)), [[0, 0], [1, 0], [0, 1], [0, 0]])
    x = tf.maximum(x, tf.sqrt(tf.square(x))) + tf.stop_gradient(tf.sigmoid(x))
    x = tf.reduce_mean(tf.transpose(x, [0, 2, 1, 3]), [1, 2])
    x = tf.squeeze(tf.expand_dims(tf.reshape(x, (-1, 8)), 1), 1)
    x = tf.clip_by_value(x, -5, 5) * tf.constant([1.0, 2.0] * 4)
    scores = layers.Dense(3, activation=tf.nn.softmax)(x)
    return tf_keras.Model(image, scores), _images(4, 16, 0, 255)


def _parts() -> tuple[Any, np.ndarray]:
    """Layers that do nothing at inference, attention, and sizes that are changed inside."""
    import tf_keras

    layers = tf_keras.layers
    image = tf_keras.Input((20, 24, 3))
    x = layers.RandomZoom(0.1)(layers.RandomTranslation(0.1, 0.1)(image))
    x = layers.GaussianNoise(0.1)(layers.CenterCrop(16, 16)(layers.Resizing(18, 20)(x)))
    x = layers.Conv2D(4, 3, strides=2, activation=tf_keras.activations.swish)(x)
    x = layers.SpatialDropout2D(0.2)(layers.ActivityRegularization(0.1)(x))
    x = layers.ELU()(layers.BatchNormalization(scale=False)(layers.GaussianDropout(0.1)(x)))
    x = layers.Reshape((49, 4))(layers.AlphaDropout(0.1)(x))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)])
    x = layers.GlobalAveragePooling1D()(layers.Permute((2, 1))(layers.Conv1D(5, 3)(x)))
    return tf_keras.Model(image, layers.Dense(3, "softmax")(x)), _images(6, 24, -1, 1)[:, :20]


def _mixed() -> tuple[Any, np.ndarray]:
    """A network of mixed precision; its answers are those of its weights in float32."""
    import tf_keras

    def build() -> Any:
        layers = tf_keras.layers
        image = tf_keras.Input((16, 16, 3))
        x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        return tf_keras.Model(image, layers.Dense(3, dtype="float32", name="dense")(x))

    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = build()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    return mixed, _images(4, 16, -1, 1)


def _answers(model: Any, images: np.ndarray) -> np.ndarray:
    """Answers of a model in float32, whatever its policy."""
    import tf_keras

    config = model.get_config()
    mixed = [x for x in config["layers"] if "mixed" in str(x["config"].get("dtype"))]
    for layer in mixed:
        layer["config"]["dtype"] = "float32"
    if mixed:
        plain = tf_keras.Model.from_config(config)
        plain.set_weights(model.get_weights())
        model = plain
    return np.asarray(model(images, training=False))


def _subclass(folder: Path) -> None:
    """A subclassed network, which tf_keras saves as a SavedModel alone, with its answers."""
    import tf_keras

    class Subclass(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.turn = tf_keras.layers.RandomRotation(0.2)
            self.conv = tf_keras.layers.Conv2D(4, 3, activation="relu")
            self.norm = tf_keras.layers.BatchNormalization()
            self.drop = tf_keras.layers.Dropout(0.5)
            self.end = tf_keras.layers.Dense(3, "softmax")

        def call(self, images: Any, training: bool = False) -> Any:
            x = self.norm(self.conv(self.turn(images, training=training)), training=training)
            x = tf_keras.backend.mean(self.drop(x, training=training), (1, 2))
            return self.end(x)

    model, images = Subclass(), _images(4, 16, -1, 1)
    scores = np.asarray(model(images, training=False))
    model.save(folder / "subclass")
    np.savez(folder / "subclass.npz", images=images, scores=scores)


def main(folder: Path) -> None:
    """Write every network."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    makers = (
        lambda: _family("MobileNet", 0.25),
        lambda: _family("MobileNetV2", 0.35),
        lambda: _family("MobileNetV3Small", 1.0),
        _sequence,
        _transfer,
        _base_first,
        _functions,
        _parts,
        _mixed,
    )
    for name, make in zip(NAMES, makers, strict=True):
        model, images = make()
        model.save(folder / f"{name}.h5")
        if name in ARCHIVED:
            model.save(folder / f"{name}.keras")
        images = images[:4]
        scores = _answers(model, images)
        np.savez(folder / f"{name}.npz", images=images, scores=scores)
    _subclass(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
