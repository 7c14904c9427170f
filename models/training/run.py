"""Training of small networks, such as the shipped ones."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.datasets.base import Dataset
from foundation.delivery import Orders, deliver, require_free, settle, staging
from foundation.digests import sha256_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.foreign import printable
from foundation.scratch import require_writable
from models.spec import ModelSpec
from models.training.card import card, run_key
from models.training.data import split_holdout
from models.training.objective import Objective, objective_of
from models.training.recipe import Schedule, TrainingRecipe
from models.training.state import Progress, TrainingState

if TYPE_CHECKING:
    import keras

__all__ = ["TrainingRecipe", "TrainingResult", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training run.

    Attributes:
        weights: file of the weights.
        card: file of their card.
        development_accuracy: score in percent on the development images.
        development_images: number of development images.
        score: name of that score, such as top-1.
    """

    weights: Path
    card: Path
    development_accuracy: float
    development_images: int
    score: str


@dataclass(frozen=True)
class _Run:
    """A training run.

    Attributes:
        spec: network, with the labels of the dataset.
        objective: training of its task.
        dataset: training split, including the development images.
        recipe: recipe of the training.
        development: images on which the score is measured after every epoch.
        output: folder for weights, card and the state of an unfinished run.
    """

    spec: ModelSpec
    objective: Objective
    dataset: Dataset
    recipe: Schedule
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

    def existing(self) -> dict[Path, str]:
        """Sha256 by path of the weights and the card that exist."""
        return {p: sha256_of(p) for p in (self.weights, self.card) if os.path.lexists(p)}

    def result(self, accuracy: float) -> TrainingResult:
        score = self.objective.score
        return TrainingResult(self.weights, self.card, accuracy, len(self.development), score)

    def compiled(self, steps_per_epoch: int) -> keras.Model:
        """Network to train, with optimizer, loss, and the weights that the recipe begins with."""
        import keras

        keras.utils.set_random_seed(self.recipe.seed)
        model = self.objective.trained(self.spec)
        self.objective.initial(self.spec, self.recipe, model)
        self.objective.compiled(model, self.recipe, steps_per_epoch)
        return model


def train(
    spec: ModelSpec,
    dataset: Dataset,
    recipe: Schedule,
    output: Path,
    *,
    weights: Sequence[np.ndarray] | None = None,
    verbose: int = 1,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    force: bool = False,
) -> TrainingResult:
    """Train a network and write its weights with a card; a killed run is resumed.

    The weights are those of the epoch with the best score on the development images.

    Args:
        spec: network to build; its contract crops and normalizes the images.
        dataset: training split; its last ``recipe.holdout`` images are used for development.
        recipe: recipe of the training.
        output: folder for weights, card and the state of an unfinished run.
        weights: initial weights in the order of ``keras.Model.get_weights``; None for random ones.
        verbose: Keras's verbosity: 1 shows a progress bar, 2 prints a line per epoch, 0 nothing.
        on_epoch: function that gets each finished epoch and its metrics.
        force: train again if a run is finished, and replace weights and states of other runs.

    Raises:
        InvalidInputError: a split that is not for training, no labels, labels that the network does
            not have, fewer images than a batch, the state of another run, or existing weights
            that this run did not write.
        GateFailedError: the loss or a weight is not finite; existing weights are not changed.
    """
    objective = objective_of(spec)
    spec, dataset = objective.prepared(spec, dataset)
    training, development = split_holdout(dataset, recipe.holdout)
    if len(training) < recipe.batch_size:
        raise InvalidInputError(
            f"training takes at least one batch of {recipe.batch_size} images",
            received=f"{len(training)} in {dataset.name} without the development images",
            remedy="set --batch-size or --holdout",
        )
    run = _Run(spec, objective, dataset, recipe, development, output)
    progress = _resumed(run, force=force)
    if progress.is_done(recipe.epochs) and len(run.existing()) == 2:
        assert progress.best is not None
        return run.result(progress.best.accuracy)
    require_writable(output)
    model = run.compiled(len(training) // recipe.batch_size)
    if weights is not None:
        model.set_weights(weights)
    if progress.epochs_done:
        run.state.restore(model, progress)
    if not progress.is_done(recipe.epochs):
        progress = _fitted(run, model, training, progress, verbose, on_epoch)
    return _written(run, progress)


def _resumed(run: _Run, *, force: bool) -> Progress:
    """Progress of the run so far, with the digests of the files that it may replace.

    Raises:
        InvalidInputError: the state of another run, or existing weights that this run did not
            write.
    """
    settle(run.output)
    for path in (run.weights, run.card):
        require_free(path)
    if force:
        progress = run.state.read_or_none()
        if progress is None or progress.is_done(run.recipe.epochs):
            run.state.clear()
            progress = Progress()
        return replace(progress, ours=(*progress.ours, *run.existing().values()))
    progress = run.state.read() or Progress()
    for path, digest in run.existing().items():
        if digest not in progress.ours:
            raise InvalidInputError(
                "training does not replace existing weights",
                received=f"{printable(path)}, which exists",
                remedy="choose another --output, or give --force to replace it",
            )
    return progress


def _fitted(
    run: _Run,
    model: keras.Model,
    training: Dataset,
    progress: Progress,
    verbose: int,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> Progress:
    """Train the remaining epochs of a run.

    Raises:
        GateFailedError: the loss or a weight is not finite.
    """
    batches = run.objective.batches(run.spec, training, run.recipe)
    journal = _journal(run, batches, progress, on_epoch)
    try:
        model.fit(
            batches,
            initial_epoch=progress.epochs_done,
            epochs=run.recipe.epochs,
            # Keras would shuffle the batches by Python's generator, whose state is not stored.
            shuffle=False,
            verbose=verbose,
            callbacks=[journal],
        )
    except _DivergedError as error:
        raise _stopped(run, journal.progress, str(error)) from error
    fitted: Progress = journal.progress
    return fitted


class _DivergedError(Exception):
    """Training diverged; its text names the value that is not finite, and the epoch."""


def _journal(
    run: _Run,
    batches: Any,
    progress: Progress,
    on_epoch: Callable[[int, dict[str, float]], None] | None,
) -> Any:
    """Keras callback that stores the state after every epoch; its ``progress`` is the latest."""
    import keras

    score_of = run.objective.scorer(run.spec, run.development)

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
            score = score_of(averaged) if finite else math.nan
            if not math.isfinite(score):
                raise _DivergedError(f"weights or scores that are not finite in epoch {self.epoch}")
            self.progress = run.state.save(self.model, self.progress, averaged, score)
            if on_epoch is not None:
                figures = {key: float(value) for key, value in (logs or {}).items()}
                on_epoch(epoch + 1, figures | {run.objective.score: score})

    return Journal()


def _averaged(model: keras.Model) -> list[np.ndarray]:
    """Weights of a model with the trained ones replaced by the optimizer's average of them."""
    trained = model.trainable_variables
    values = [np.array(variable) for variable in trained]
    model.optimizer.finalize_variable_values(trained)
    averaged: list[np.ndarray] = model.get_weights()
    for variable, value in zip(trained, values, strict=True):
        variable.assign(value)
    return averaged


def _stopped(run: _Run, progress: Progress, received: str) -> GateFailedError:
    """Error for a run that diverged; its best weights are written if no weights exist."""
    remedy = "lower --learning-rate"
    if run.existing():
        remedy += "; existing weights were not changed"
    elif progress.best is not None:
        _written(run, progress)
        remedy += (
            f" and give --force; the best weights before that, of epoch {progress.best.epoch}, "
            f"are in {printable(run.weights)}"
        )
    run.state.clear()  # a resumed run would diverge again
    return GateFailedError(
        "loss and weights stay finite in training", received=received, remedy=remedy
    )


def _written(run: _Run, progress: Progress) -> TrainingResult:
    """Write the best weights and their card together."""
    assert progress.best is not None
    # A new model has no optimizer, whose variables would make the file 4 times as large.
    model = run.spec.build(run.spec)
    trained = run.objective.trained(run.spec)
    trained.set_weights(run.state.best_weights(progress))
    for layer in (layer for layer in model.layers if layer.weights):
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    size = sum(values.nbytes for values in model.get_weights())
    weights_card = card(
        run.spec,
        run.dataset,
        run.recipe,
        {run.objective.key: round(progress.best.accuracy, 2)},
        progress.best.epoch,
    )
    with staging(run.output) as staged:
        weights = staged.path(run.weights.name)
        # HDF5 can end the whole process on a full disk; writing plain bytes first raises instead.
        weights.write_bytes(bytes(2 * size + 2**20))
        model.save_weights(weights)
        text = json.dumps(weights_card, indent=2) + "\n"
        staged.path(run.card.name).write_text(text, encoding="utf-8")
        ours = (*progress.ours, *staged.digests().values())
        run.state.note(replace(progress, ours=ours))
        replaceable = frozenset(ours)
        names = (run.weights.name, run.card.name)
        deliver(staged, lambda: Orders(dict.fromkeys(names, replaceable)))
    return run.result(weights_card[run.objective.key])
