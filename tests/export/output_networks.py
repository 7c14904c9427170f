"""Small Keras networks with several outputs, or outputs that are no class scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.preprocessing import Crop, Preprocessing

if TYPE_CHECKING:
    import keras

SIDE = 16
CONTRACT = Preprocessing(size=(SIDE, SIDE), crop=Crop.PAD, mean=(127.5,) * 3, std=(127.5,) * 3)


def pictures(count: int = 12) -> np.ndarray:
    """Smooth random images between -1 and 1, float32 ``[count, SIDE, SIDE, 3]``."""
    coarse = np.random.default_rng(7).uniform(-1, 1, (count, SIDE // 4, SIDE // 4, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def calibration() -> Iterator[np.ndarray]:
    """Batches of calibration images."""
    yield pictures()


def detector() -> keras.Model:
    """Two levels, each with boxes ``[n, 4]`` and classes ``[n, 3]`` of its own, and no join."""
    inputs, fine, coarse = _trunk()
    ends = [
        _layers().Reshape((-1, depth), name=f"{name}_{level}")(
            _layers().Conv2D(2 * depth, 1, name=f"{name}_{level}_conv")(features)
        )
        for level, features in enumerate((fine, coarse))
        for name, depth in (("boxes", 4), ("classes", 3))
    ]
    return _model(inputs, ends)


def two_heads() -> keras.Model:
    """Class probabilities, and a box that a second box is computed from."""
    inputs, _, coarse = _trunk()
    pooled = _layers().GlobalAveragePooling2D()(coarse)
    classes = _layers().Dense(3, activation="softmax", name="classes")(pooled)
    box = _layers().Dense(4, name="box")(pooled)
    refined = _layers().Dense(4, activation="relu", name="refined-box")(box)
    return _model(inputs, [classes, box, refined])


def sigmoid() -> keras.Model:
    """One number between 0 and 1."""
    inputs, _, coarse = _trunk()
    pooled = _layers().GlobalAveragePooling2D()(coarse)
    return _model(inputs, _layers().Dense(1, activation="sigmoid")(pooled))


def embedding() -> keras.Model:
    """A vector that is no choice."""
    inputs, _, coarse = _trunk()
    return _model(inputs, _layers().Dense(6)(_layers().GlobalAveragePooling2D()(coarse)))


def mask() -> keras.Model:
    """A map ``[h, w, classes]``."""
    inputs, fine, _ = _trunk()
    return _model(inputs, _layers().Conv2D(3, 1)(fine))


def maps() -> keras.Model:
    """Maps before and behind an activation, of which the first is read on."""
    inputs, fine, coarse = _trunk()
    logits = _layers().Conv2D(2, 1, name="logits")(fine)
    cut = _layers().ReLU(6, name="cut")(logits)
    return _model(inputs, {"coarse": coarse, "logits": logits, "cut": cut})


def repeated() -> keras.Model:
    """Outputs that the converter makes one tensor: the input, and one result three times."""
    inputs, _, coarse = _trunk()
    vector = _layers().Dense(4, name="vector")(_layers().GlobalAveragePooling2D()(coarse))
    dropped = _layers().Dropout(0.5, name="dropped")(vector)
    return _model(inputs, [vector, inputs, dropped, vector])


NETWORKS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "detector": (detector, ("boxes_0", "classes_0", "boxes_1", "classes_1")),
    "two_heads": (two_heads, ("classes", "box", "refined_box")),
    "sigmoid": (sigmoid, ("scores",)),
    "embedding": (embedding, ("scores",)),
    "mask": (mask, ("scores",)),
    "maps": (maps, ("coarse", "cut", "logits")),
    "repeated": (repeated, ("vector", "picture", "dropped", "vector_1")),
}
"""Each network with the names of its outputs in every file."""


def answers(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    """Outputs of a model in the order of ``model.outputs``."""
    import keras

    return [np.asarray(value) for value in keras.tree.flatten(model(images, training=False))]


def _trunk() -> tuple[Any, Any, Any]:
    """Input, features ``[8, 8, 40]`` and ``[4, 4, 40]``: weights enough for dynamic recipes."""
    import keras

    keras.utils.set_random_seed(3)
    inputs = x = keras.Input((SIDE, SIDE, 3), name="picture")
    x = _layers().Conv2D(40, 3, 2, padding="same", use_bias=False)(x)
    x = _layers().BatchNormalization()(x)
    fine = _layers().ReLU(6)(x)
    coarse = _layers().Conv2D(40, 3, 2, padding="same", activation="relu", name="coarse")(fine)
    return inputs, fine, coarse


def _layers() -> Any:
    import keras

    return keras.layers


def _model(inputs: Any, outputs: Any) -> keras.Model:
    import keras

    return keras.Model(inputs, outputs, name="net")
