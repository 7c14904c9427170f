"""Training of the small networks that the repository ships."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.contract import align_labels, complete_labels
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.stream import converted
from foundation.atomic import require_room
from foundation.delivery import Orders, deliver, require_free, settle, staging
from foundation.digests import sha256_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.foreign import printable
from models.spec import ModelSpec
from models.training.card import card, run_key
from models.training.recipe import TrainingRecipe, augment
from models.training.state import Progress, TrainingState

if TYPE_CHECKING:
    import keras

__all__ = ["TrainingRecipe", "TrainingResult", "augment", "split_holdout", "train"]


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


def _labels(dataset: Dataset) -> np.ndarray:
    return dataset.require_labels("training")


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


@dataclass(frozen=True)
class TrainingResult:
    """What a training run ended with; accuracies in percent of ``development_images``."""

    weights: Path
    card: Path
    development_accuracy: float
    development_images: int


@dataclass(frozen=True)
class _Run:
    """A run, before and while it trains; ``development`` is judged after every epoch."""

    spec: ModelSpec
    dataset: Dataset
    recipe: TrainingRecipe
    development: Dataset
    output: Path

    @property
    def weights(self) -> Path:
        return self.output / f"{self.spec.name}.weights.h5"

    @property
    def card(self) -> Path:
        return self.output / f"{self.spec.name}.card.json"

    @property
    def state(self) -> TrainingState:
        return TrainingState(self.output / "state", run_key(self.spec, self.dataset, self.recipe))

    def there(self) -> dict[Path, str]:
        """sha256 by path of the weights and the card that are there."""
        return {p: sha256_of(p) for p in (self.weights, self.card) if os.path.lexists(p)}

    def result(self, accuracy: float) -> TrainingResult:
        return TrainingResult(self.weights, self.card, accuracy, len(self.development))


def train(
    spec: ModelSpec,
    dataset: Dataset,
    recipe: TrainingRecipe,
    output: Path,
    *,
    weights: Sequence[np.ndarray] | None = None,
    verbose: int = 1,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    force: bool = False,
) -> TrainingResult:
    """Train a network and write its weights with a card; a killed run goes on where it was.

    The weights are those of the epoch with the best accuracy on the development part.

    Args:
        spec: network to build; its contract crops and normalizes the images.
        dataset: training split; its last ``recipe.holdout`` images are kept for development.
        recipe: how.
        output: folder for weights, card and the state of an unfinished run.
        weights: to begin with, as ``keras.Model.get_weights`` gives them; None for random ones.
        verbose: 1 shows a progress bar, 2 prints a line an epoch, 0 nothing (Keras's words).
        on_epoch: told the epoch and its figures when one ends.
        force: train anew where a run is done, and replace weights and states of other runs.

    Raises:
        InvalidInputError: a split that is not for training, no labels, labels that the network does
            not have, fewer images than a batch, the state of another run, or weights that are there
            and that this run did not write.
        GateFailedError: the loss or a weight is not finite; weights that were there stay.
    """
    dataset.require_labels("training")
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
    run = _Run(spec, dataset, recipe, development, output)
    progress = _begun(run, force=force)
    if progress.is_done(recipe.epochs) and len(run.there()) == 2:
        assert progress.best is not None
        return run.result(progress.best.accuracy)
    require_room(output)
    model = _compiled(spec, recipe, len(fit_part) // recipe.batch_size)
    if weights is not None:
        model.set_weights(weights)
    if progress.epochs_done:
        run.state.restore(model, progress)
    if not progress.is_done(recipe.epochs):
        progress = _fitted(run, model, fit_part, progress, verbose, on_epoch)
    return _written(run, progress)


def _begun(run: _Run, *, force: bool) -> Progress:
    """Where the run is, and what it may replace.

    Raises:
        InvalidInputError: the state of another run, or weights that are there and not of this run.
    """
    settle(run.output)
    for path in (run.weights, run.card):
        require_free(path)
    if force:
        progress = run.state.read_or_none()
        if progress is None or progress.is_done(run.recipe.epochs):
            run.state.clear()
            progress = Progress()
        return replace(progress, ours=(*progress.ours, *run.there().values()))
    progress = run.state.read() or Progress()
    for path, digest in run.there().items():
        if digest not in progress.ours:
            raise InvalidInputError(
                "training replaces no weights that are there",
                received=f"{printable(path)}, which exists",
                remedy="choose another --output, or give --force to replace it",
            )
    return progress


def _fitted(
    run: _Run,
    model: keras.Model,
    fit_part: Dataset,
    progress: Progress,
    verbose: int,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> Progress:
    """Train from where the run is to its last epoch.

    Raises:
        GateFailedError: the loss or a weight is not finite.
    """
    batches = _batches(run.spec, _pixels(run.spec, fit_part), _labels(fit_part), run.recipe)
    journal = _journal(run, batches, progress, on_epoch)
    try:
        model.fit(
            batches,
            initial_epoch=progress.epochs_done,
            epochs=run.recipe.epochs,
            # Keras would shuffle the batches by Python's own generator, which no state holds.
            shuffle=False,
            verbose=verbose,
            callbacks=[journal],
        )
    except _DivergedError as error:
        raise _stopped(run, journal.progress, str(error)) from error
    fitted: Progress = journal.progress
    return fitted


class _DivergedError(Exception):
    """What is not finite, and when."""


def _journal(
    run: _Run,
    batches: keras.utils.PyDataset,
    progress: Progress,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> Any:
    """Keeps the state and the best weights after every epoch, as its ``progress`` tells."""
    import keras

    judge = _judge(run)

    class Journal(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.progress = progress
            self.epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            self.epoch = epoch + 1
            batches.start(epoch)

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
            loss = float((logs or {}).get("loss", 0.0))
            if not math.isfinite(loss):
                raise _DivergedError(f"a loss of {loss} in epoch {self.epoch}")

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            averaged = _averaged(self.model)
            finite = all(np.isfinite(a).all() for a in (*averaged, *self.model.get_weights()))
            accuracy = judge(averaged) if finite else math.nan
            if not math.isfinite(accuracy):
                raise _DivergedError(f"weights or scores that are not finite in epoch {self.epoch}")
            self.progress = run.state.save(self.model, self.progress, averaged, accuracy)
            if on_epoch is not None:
                on_epoch(epoch + 1, {key: float(value) for key, value in (logs or {}).items()})

    return Journal()


def _averaged(model: keras.Model) -> list[np.ndarray]:
    """The weights with the optimizer's average in the place of those that it trains."""
    trained = model.trainable_variables
    values = [np.array(variable) for variable in trained]
    model.optimizer.finalize_variable_values(trained)
    averaged: list[np.ndarray] = model.get_weights()
    for variable, value in zip(trained, values, strict=True):
        variable.assign(value)
    return averaged


def _judge(run: _Run) -> Callable[[list[np.ndarray]], float]:
    """Weights -> top-1 in percent on the development part; NaN if a score is not finite."""
    model = run.spec.build(run.spec)
    pixels, labels, step = _pixels(run.spec, run.development), _labels(run.development), 250

    def judge(weights: list[np.ndarray]) -> float:
        model.set_weights(weights)
        images = run.spec.preprocessing.normalize(pixels)
        starts = range(0, len(images), step)
        parts = [model(images[start : start + step], training=False) for start in starts]
        scores = np.concatenate([np.asarray(part) for part in parts])
        if not np.isfinite(scores).all():
            return math.nan
        return float(np.mean(np.argmax(scores, -1) == labels) * 100)

    return judge


def _stopped(run: _Run, progress: Progress, received: str) -> GateFailedError:
    """End a run that diverged; its best weights are written where none are there."""
    remedy = "lower --learning-rate"
    if run.there():
        remedy += "; the weights that were there are untouched"
    elif progress.best is not None:
        _written(run, progress)
        remedy += (
            f" and give --force; the best weights before that, of epoch {progress.best.epoch}, "
            f"are in {printable(run.weights)}"
        )
    run.state.clear()  # it would diverge again
    return GateFailedError(
        "loss and weights stay finite in training", received=received, remedy=remedy
    )


def _written(run: _Run, progress: Progress) -> TrainingResult:
    """Write the best weights and their card together."""
    assert progress.best is not None
    bare = run.spec.build(run.spec)  # without optimizer, whose slots make a file 4 times as long
    bare.set_weights(run.state.best_weights(progress))
    size = sum(values.nbytes for values in bare.get_weights())
    accuracy = progress.best.accuracy
    told = card(run.spec, run.dataset, run.recipe, accuracy, progress.best.epoch)
    with staging(run.output) as staged:
        part = staged.path(run.weights.name)
        # HDF5 can end the whole process on a full disk; plain bytes find that out before.
        part.write_bytes(bytes(2 * size + 2**20))
        bare.save_weights(part)
        text = json.dumps(told, indent=2) + "\n"
        staged.path(run.card.name).write_text(text, encoding="utf-8")
        ours = (*progress.ours, *staged.digests().values())
        run.state.note(replace(progress, ours=ours))
        mine = frozenset(ours)
        deliver(staged, lambda: Orders(dict.fromkeys((run.weights.name, run.card.name), mine)))
    return run.result(told["development_top1_percent"])
