"""Training of the small networks that the repository ships.

The recipe is the MobileNetV2 paper's (section 6.1: RMSProp with decay and momentum 0.9), adapted
to a short schedule: cosine decay with a warm-up in place of 0.98 an epoch, a decoupled weight
decay, label smoothing, an average of the weights, and augmentation.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.atomic import write_whole
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.errors import InvalidInputError
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainingRecipe:
    """How a network is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: its peak, after the warm-up.
        warmup_epochs: epochs of linear warm-up.
        rho: RMSProp's decay of the squared gradients.
        momentum: RMSProp's momentum.
        epsilon: RMSProp's; 1.0 as in TF-Slim's MobileNet training.
        weight_decay: decoupled, a step, times the learning rate; not on batch norms,
            biases and depthwise kernels.
        label_smoothing: share of the target spread over all classes.
        ema_momentum: of the average of weights that is kept in the end.
        shift: largest random translation, in pixels.
        erase: probability of erasing a rectangle (Zhong et al. 2017).
        holdout: training images, taken from the end, that are kept for development.
        seed: of initial weights, order and augmentation.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_epochs: float = 1.0
    rho: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05
    ema_momentum: float = 0.998
    shift: int = 2
    erase: float = 0.25
    holdout: int = 5000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise InvalidInputError(
                "training needs at least one epoch, one image a step and a learning rate above 0",
                received=f"{self.epochs}, {self.batch_size} and {self.learning_rate}",
                remedy="choose other values",
            )


def augment(images: np.ndarray, recipe: TrainingRecipe, rng: np.random.Generator) -> np.ndarray:
    """Mirror, shift and erase, image by image.

    Args:
        images: uint8 ``[batch, height, width, 3]`` as the contract crops them.
        recipe: gives the largest shift and the probability of erasing.
        rng: source of the randomness.

    Returns:
        uint8, same shape.
    """
    count, height, width, channels = images.shape
    mirrored = np.where(rng.random((count, 1, 1, 1)) < 0.5, images[:, :, ::-1], images)
    pad = recipe.shift
    canvas = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), np.uint8)
    canvas[:, pad : pad + height, pad : pad + width] = mirrored
    top, left = rng.integers(0, 2 * pad + 1, (2, count))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    shifted: np.ndarray = canvas[
        np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    for index in np.flatnonzero(rng.random(count) < recipe.erase):
        area = height * width * rng.uniform(0.02, 0.15)
        aspect = math.exp(rng.uniform(-1, 1))
        rect_h = min(height, max(1, round(math.sqrt(area * aspect))))
        rect_w = min(width, max(1, round(math.sqrt(area / aspect))))
        y = rng.integers(0, height - rect_h + 1)
        x = rng.integers(0, width - rect_w + 1)
        noise = rng.integers(0, 256, (rect_h, rect_w, 1), np.uint8)
        shifted[index, y : y + rect_h, x : x + rect_w] = noise
    return shifted


def split_holdout(dataset: Dataset, holdout: int) -> tuple[Dataset, Dataset]:
    """Training and development part of a training split.

    Raises:
        InvalidInputError: the split is a test or development split, or too small.
    """
    if dataset.role not in (SplitRole.TRAIN, SplitRole.UNKNOWN):
        raise InvalidInputError(
            "training takes a training split",
            received=f"{dataset.name}, a {dataset.role.value} split",
            remedy="give the :train split",
        )
    if not 0 < holdout < len(dataset):
        raise InvalidInputError(
            "the development part is smaller than the training split and not empty",
            received=f"{holdout} of {len(dataset)} images",
            remedy="set --holdout",
        )
    order = np.arange(len(dataset))
    return dataset.subset(order[:-holdout]), dataset.subset(order[-holdout:])


def _pixels(spec: ModelSpec, dataset: Dataset) -> np.ndarray:
    """All images of a small dataset as the contract crops them: uint8 ``[n, h, w, 3]``."""
    return np.stack([spec.preprocessing.pixels(dataset.decode(i)) for i in range(len(dataset))])


def _normalized(spec: ModelSpec, pixels: np.ndarray) -> np.ndarray:
    return np.stack([spec.preprocessing.normalize(image) for image in pixels])


def _batches(
    spec: ModelSpec, pixels: np.ndarray, labels: np.ndarray, recipe: TrainingRecipe, start: int
) -> keras.utils.PyDataset:
    """Augmented batches; each depends on seed, epoch and number alone, so a resumed run repeats."""
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.epoch = start
            self.order = self._shuffled()

        def _shuffled(self) -> np.ndarray:
            return np.random.default_rng((recipe.seed, self.epoch)).permutation(len(labels))

        def __len__(self) -> int:
            return len(labels) // recipe.batch_size

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            rng = np.random.default_rng((recipe.seed, self.epoch, step))
            images = augment(pixels[chosen], recipe, rng)
            targets = np.eye(spec.classes, dtype=np.float32)[labels[chosen]]
            return spec.preprocessing.normalize(images), targets

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self._shuffled()

    return Batches()


def _learning_rate(recipe: TrainingRecipe, steps_an_epoch: int) -> Any:
    import keras

    warmup = max(1, round(recipe.warmup_epochs * steps_an_epoch))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / warmup,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, recipe.epochs * steps_an_epoch - warmup),
        alpha=0.0,
    )


def _compile(model: keras.Model, recipe: TrainingRecipe, steps_an_epoch: int) -> None:
    import keras

    optimizer = keras.optimizers.RMSprop(
        _learning_rate(recipe, steps_an_epoch),
        rho=recipe.rho,
        momentum=recipe.momentum,
        epsilon=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )
    depthwise = [
        weight
        for layer in model.layers
        if isinstance(layer, keras.layers.DepthwiseConv2D)
        for weight in layer.trainable_variables
    ]
    optimizer.exclude_from_weight_decay(var_list=depthwise, var_names=["gamma", "beta", "bias"])
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=model.layers[-1].activation is keras.activations.linear,
        label_smoothing=recipe.label_smoothing,
    )
    # XLA makes depthwise convolutions nine times slower on a CPU (measured).
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run ended with; accuracies in percent of ``development_images``."""

    weights: Path
    card: Path
    development_accuracy: float
    development_images: int


def train(
    spec: ModelSpec,
    dataset: Dataset,
    recipe: TrainingRecipe,
    output: Path,
    *,
    verbose: int = 1,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a network and write its weights with a card; a killed run goes on where it was.

    Args:
        spec: network to build; its contract crops and normalizes the images.
        dataset: training split; its last ``recipe.holdout`` images are kept for development.
        recipe: how.
        output: folder for weights, card and the state of an unfinished run.
        verbose: 1 shows a progress bar, 2 prints a line an epoch, 0 nothing (Keras's words).
        on_epoch: told the epoch and its figures when one ends.

    Raises:
        InvalidInputError: a split that is not for training, or a state of another recipe.
    """
    import keras

    fit_part, development = split_holdout(dataset, recipe.holdout)
    state = output / "state"
    start = _resume_from(state, spec, recipe)
    keras.utils.set_random_seed(recipe.seed)
    model = spec.build(spec)
    batches = _batches(spec, _pixels(spec, fit_part), fit_part.labels, recipe, start)
    _compile(model, recipe, len(batches))

    class Journal(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            figures = {key: float(value) for key, value in (logs or {}).items()}
            _write_progress(state, spec, recipe, epoch + 1)
            if on_epoch is not None:
                on_epoch(epoch + 1, figures)

    model.fit(
        batches,
        epochs=recipe.epochs,
        verbose=verbose,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(state / "backup"), delete_checkpoint=False),
            Journal(),
        ],
    )
    logits = model.predict(_normalized(spec, _pixels(spec, development)), batch_size=250, verbose=0)
    accuracy = float(np.mean(np.argmax(logits, -1) == development.labels) * 100)
    weights = output / f"{spec.name}.weights.h5"
    write_whole(weights, lambda path: model.save_weights(path))
    card = output / f"{spec.name}.card.json"
    write_whole(
        card,
        lambda path: path.write_text(
            json.dumps(_card(spec, dataset, recipe, accuracy), indent=2) + "\n", encoding="utf-8"
        ),
    )
    return TrainingResult(weights, card, accuracy, len(development))


def _state_key(spec: ModelSpec, recipe: TrainingRecipe) -> dict[str, Any]:
    return {
        "model": spec.name,
        "alpha": spec.alpha,
        "size": list(spec.preprocessing.size),
        "classes": spec.classes,
        "activation": spec.activation.value,
        "recipe": asdict(recipe),
    }


def _write_progress(state: Path, spec: ModelSpec, recipe: TrainingRecipe, epochs: int) -> None:
    text = json.dumps({"epochs_done": epochs, **_state_key(spec, recipe)}, indent=2)
    write_whole(state / "progress.json", lambda path: path.write_text(text, encoding="utf-8"))


def _resume_from(state: Path, spec: ModelSpec, recipe: TrainingRecipe) -> int:
    """Epochs done by an earlier run of the same recipe, 0 when there is none."""
    progress = state / "progress.json"
    if not progress.is_file():
        return 0
    found = json.loads(progress.read_text(encoding="utf-8"))
    done = int(found.pop("epochs_done"))
    if found != _state_key(spec, recipe):
        raise InvalidInputError(
            "a run goes on with the network and the recipe it began with",
            received=f"the state of another run in {state}",
            remedy="delete that folder, or choose another --output",
        )
    return done


def _card(
    spec: ModelSpec, dataset: Dataset, recipe: TrainingRecipe, accuracy: float
) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    shipped = replace(spec)
    return {
        "model": shipped.name,
        "source": spec.source,
        "data": {
            "name": dataset.name,
            "training_images": len(dataset) - recipe.holdout,
            "development_images": recipe.holdout,
        },
        "recipe": asdict(recipe),
        "development_top1_percent": round(accuracy, 2),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
