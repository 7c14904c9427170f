"""What the training of detectors and segmenters shares: optimizer, first weights, and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from models.spec import ModelSpec, model_spec
from models.training.objective import exclude_from_decay, learning_rate
from models.training.recipe import DenseRecipe
from models.weights.named import build_with_weights

if TYPE_CHECKING:
    import keras


def compile_with(
    loss: Callable[[Any, Any], Any], model: keras.Model, recipe: DenseRecipe, steps_per_epoch: int
) -> None:
    """Set AdamW with an average of the weights, and a loss."""
    import keras

    optimizer = keras.optimizers.AdamW(
        learning_rate(recipe, steps_per_epoch),
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )
    exclude_from_decay(optimizer, model)
    # XLA makes depthwise convolutions nine times slower on a CPU (measured).
    model.compile(optimizer, loss, jit_compile=False)


def begin_with_classifier(spec: ModelSpec, recipe: DenseRecipe, model: keras.Model) -> None:
    """Set the layers that the recipe's classifier has too, by name and shape, to its weights.

    A network of another width than the classifier's begins at random.
    """
    name, _, weights = recipe.start.partition(":")
    if not recipe.start or model_spec(name).alpha != spec.alpha:
        return
    layers = {layer.name: layer for layer in build_with_weights(model_spec(name), weights).layers}
    for layer in model.layers:
        values = layers[layer.name].get_weights() if layer.name in layers else []
        if [v.shape for v in values] == [v.shape for v in layer.get_weights()]:
            layer.set_weights(values)


def dense_batches(
    spec: ModelSpec,
    pixels: np.ndarray,
    targets: Callable[[np.ndarray, np.ndarray], np.ndarray],
    recipe: DenseRecipe,
) -> keras.utils.PyDataset:
    """Augmented batches that depend only on seed, epoch and step, so that a resumed run repeats.

    Args:
        spec: network, whose contract normalizes the images.
        pixels: images as the contract crops them, uint8 ``[n, h, w, channels]``.
        targets: indices ``[b]``, whether each is mirrored ``[b]`` -> targets ``[b, ...]``.
        recipe: recipe of the training.
    """
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.start(0)

        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = np.random.default_rng((recipe.seed, epoch)).permutation(len(pixels))

        def __len__(self) -> int:
            return len(pixels) // recipe.batch_size

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            rng = np.random.default_rng((recipe.seed, self.epoch, step))
            mirrored = rng.random(len(chosen)) < 0.5
            images = augment_colours(pixels[chosen], recipe.gain, rng)
            images[mirrored] = images[mirrored, :, ::-1]
            return spec.preprocessing.normalize(images), targets(chosen, mirrored)

    return Batches()


def augment_colours(images: np.ndarray, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the channels of each image, and change their brightness.

    Args:
        images: uint8 ``[batch, height, width, channels]``.
        gain: largest relative change.
        rng: random generator.
    """
    count, channels = len(images), images.shape[-1]
    order = rng.permuted(np.tile(np.arange(channels), (count, 1)), axis=1)  # [batch, channels]
    factors = (
        1
        + rng.uniform(-gain, gain, (count, 1, channels))
        + rng.uniform(-gain / 2, gain / 2, (count, 1, 1))
    )
    table = np.arange(256)[None, :, None] * factors  # [batch, 256, channels]
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    changed = np.empty_like(images)
    for index in range(count):
        for channel in range(channels):
            source = images[index, :, :, order[index, channel]]
            changed[index, :, :, channel] = table[index, source, channel]
    return changed
