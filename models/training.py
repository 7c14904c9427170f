"""Training of the small networks that the repository ships.

The recipe is the MobileNetV2 paper's (section 6.1: RMSProp with decay and momentum 0.9), adapted
to a short schedule: cosine decay with a warm-up in place of 0.98 an epoch, a decoupled weight
decay, label smoothing, an average of the weights, and augmentation.
"""

from __future__ import annotations

import json
import math
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.contract import align_labels, complete_labels
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.stream import converted
from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from models.spec import Knob, ModelSpec, model_specs
from models.training_state import TrainingState

if TYPE_CHECKING:
    import keras

_OPTIONS = ("epochs", "batch_size", "learning_rate", "holdout", "seed")
"""Fields of the recipe that ``edgequant train`` has an option for."""


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
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                "training needs at least one epoch, one image a step and a learning rate above 0",
                received=f"{self.epochs}, {self.batch_size} and {self.learning_rate}",
                remedy="choose other values",
            )
        if self.seed < 0 or self.shift < 0 or not 0 <= self.erase <= 1:
            raise InvalidInputError(
                "seed and shift are not below 0, and erase is a probability",
                received=f"{self.seed}, {self.shift} and {self.erase}",
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
    pixels = np.empty((len(dataset), *spec.input_shape), np.uint8)
    for index in range(len(dataset)):
        pixels[index] = converted(dataset, index, spec.preprocessing.pixels)
    return pixels


def _batches(
    spec: ModelSpec, pixels: np.ndarray, labels: np.ndarray, recipe: TrainingRecipe
) -> keras.utils.PyDataset:
    """Augmented batches; each depends on seed, epoch and number alone, so a resumed run repeats.

    ``start(epoch)`` is called before an epoch, since Keras reads ahead and ends epochs of its own.
    """
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.start(0)

        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = np.random.default_rng((recipe.seed, epoch)).permutation(len(labels))

        def __len__(self) -> int:
            return len(labels) // recipe.batch_size

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            rng = np.random.default_rng((recipe.seed, self.epoch, step))
            images = augment(pixels[chosen], recipe, rng)
            targets = np.eye(spec.classes, dtype=np.float32)[labels[chosen]]
            return spec.preprocessing.normalize(images), targets

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


def _compiled(spec: ModelSpec, recipe: TrainingRecipe, steps_an_epoch: int) -> keras.Model:
    import keras

    keras.utils.set_random_seed(recipe.seed)
    model = spec.build(spec)
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
    return model


def _uncompiled(spec: ModelSpec, model: keras.Model) -> keras.Model:
    """The same network without optimizer, whose slots would make its file four times as long."""
    bare = spec.build(spec)
    bare.set_weights(model.get_weights())
    return bare


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
    weights: Sequence[np.ndarray] | None = None,
    verbose: int = 1,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a network and write its weights with a card; a killed run goes on where it was.

    Args:
        spec: network to build; its contract crops and normalizes the images.
        dataset: training split; its last ``recipe.holdout`` images are kept for development.
        recipe: how.
        output: folder for weights, card and the state of an unfinished run.
        weights: to begin with, as ``keras.Model.get_weights`` gives them; None for random ones.
        verbose: 1 shows a progress bar, 2 prints a line an epoch, 0 nothing (Keras's words).
        on_epoch: told the epoch and its figures when one ends.

    Raises:
        InvalidInputError: a split that is not for training, labels that the network does not
            have, fewer images than a batch, or the state of another run.
    """
    contract = complete_labels(spec.preprocessing, spec.classes, dataset)
    spec = replace(spec, preprocessing=contract)
    dataset = align_labels(dataset, contract, spec.classes)
    fit_part, development = split_holdout(dataset, recipe.holdout)
    if len(fit_part) < recipe.batch_size:
        raise InvalidInputError(
            f"training takes at least one batch of {recipe.batch_size} images",
            received=f"{len(fit_part)} in {dataset.name} without the development part",
            remedy="set --batch-size or --holdout",
        )
    state = TrainingState(output / "state", _run_key(spec, dataset, recipe))
    model = _compiled(spec, recipe, len(fit_part) // recipe.batch_size)
    if weights is not None:
        model.set_weights(weights)
    start = state.restore(model)
    batches = _batches(spec, _pixels(spec, fit_part), fit_part.labels, recipe)
    model.fit(
        batches,
        initial_epoch=start,
        epochs=recipe.epochs,
        # Keras would shuffle the batches by Python's own generator, which no state holds.
        shuffle=False,
        verbose=verbose,
        callbacks=[_journal(batches, state, on_epoch)],
    )
    accuracy = _accuracy(spec, model, development)
    return _written(spec, model, output, _card(spec, dataset, recipe, accuracy))


def _journal(
    batches: keras.utils.PyDataset,
    state: TrainingState,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> keras.callbacks.Callback:
    import keras

    class Journal(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            batches.start(epoch)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            state.save(self.model, epoch + 1)
            if on_epoch is not None:
                on_epoch(epoch + 1, {key: float(value) for key, value in (logs or {}).items()})

    return Journal()


def _accuracy(spec: ModelSpec, model: keras.Model, dataset: Dataset) -> float:
    """Top-1 in percent."""
    images = spec.preprocessing.normalize(_pixels(spec, dataset))
    scores = model.predict(images, batch_size=250, verbose=0)
    return float(np.mean(np.argmax(scores, -1) == dataset.labels) * 100)


def _written(
    spec: ModelSpec, model: keras.Model, output: Path, card: dict[str, Any]
) -> TrainingResult:
    weights = output / f"{spec.name}.weights.h5"
    bare = _uncompiled(spec, model)
    size = sum(values.nbytes for values in bare.get_weights())

    def write(path: Path) -> None:
        # HDF5 can end the whole process on a full disk; plain bytes find that out before.
        path.write_bytes(bytes(2 * size + 2**20))
        bare.save_weights(path)

    write_whole(weights, write)
    beside = output / f"{spec.name}.card.json"
    text = json.dumps(card, indent=2) + "\n"
    write_whole(beside, lambda path: path.write_text(text, encoding="utf-8"))
    return TrainingResult(
        weights, beside, card["development_top1_percent"], card["data"]["development_images"]
    )


def _network(spec: ModelSpec) -> dict[str, Any]:
    return {
        "model": spec.name,
        "alpha": spec.alpha,
        "size": list(spec.preprocessing.size),
        "classes": spec.classes,
        "activation": spec.activation.value,
        "bottleneck": spec.bottleneck.value,
        "shortcut": spec.shortcut.value,
    }


def _run_key(spec: ModelSpec, dataset: Dataset, recipe: TrainingRecipe) -> dict[str, Any]:
    return {
        **_network(spec),
        "data": dataset.name,
        "images": len(dataset),
        "recipe": asdict(recipe),
    }


def _command(spec: ModelSpec, dataset: Dataset, recipe: TrainingRecipe) -> str:
    """The command line of a run; recipe fields without an option stand in the card's recipe."""
    words = ["edgequant", "train", "--model", spec.name, "--data", dataset.name]
    registered = model_specs().get(spec.name, spec)
    for option, value, usual in (
        ("size", spec.preprocessing.size[0], registered.preprocessing.size[0]),
        ("classes", spec.classes, registered.classes),
        *((knob.value, getattr(spec, knob), getattr(registered, knob)) for knob in Knob),
        *((name, getattr(recipe, name), getattr(TrainingRecipe(), name)) for name in _OPTIONS),
    ):
        if value != usual:
            words += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _card(
    spec: ModelSpec, dataset: Dataset, recipe: TrainingRecipe, accuracy: float
) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    return {
        **_network(spec),
        "labels": list(spec.preprocessing.labels),
        "source": spec.source,
        "command": _command(spec, dataset, recipe),
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
