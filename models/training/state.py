"""Stored state of an unfinished training run, from which the next run resumes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.archives import open_arrays
from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, reading

if TYPE_CHECKING:
    import keras

_RULE = "the state of an unfinished run can be read"
_REMEDY = "delete that folder, or choose another --output"
_ARRAYS = re.compile(r"(epoch|best)-[0-9]{4,9}\.npz")


@dataclass(frozen=True)
class Best:
    """The epoch with the best accuracy.

    Attributes:
        epoch: number of the epoch, from 1.
        accuracy: top-1 in percent on the development images.
        weights: name of the file with the weights after it.
    """

    epoch: int
    accuracy: float
    weights: str


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        epochs_done: number of finished epochs.
        weights: name of the file with weights and optimizer after the last finished epoch.
        best: best finished epoch; None before the first.
        ours: digests of delivered files that the run may replace.
    """

    epochs_done: int = 0
    weights: str = ""
    best: Best | None = None
    ours: tuple[str, ...] = ()

    def is_done(self, epochs: int) -> bool:
        """Whether all epochs are finished and the best one is known."""
        return self.epochs_done >= epochs and self.best is not None


@dataclass(frozen=True)
class TrainingState:
    """Weights and optimizer after the last finished epoch, and the best weights so far.

    ``progress.json`` names the epoch and its files, and is written after those are complete, so
    that they agree whenever a run is killed.

    Attributes:
        folder: folder of the files.
        key: identity of the run as plain JSON values; another run's state is refused.
    """

    folder: Path
    key: dict[str, Any]

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    def read(self) -> Progress | None:
        """Progress of the run; None without a stored state.

        Raises:
            InvalidInputError: the state of another run, or a damaged one.
        """
        if not self._progress.exists():
            return None
        values = read_object(self._progress, _RULE, _REMEDY)
        with reading(self.folder, _RULE, _REMEDY):
            best = values.pop("best")
            progress = Progress(
                int(values.pop("epochs_done")),
                _array_file(values.pop("weights")),
                Best(int(best["epoch"]), float(best["accuracy"]), _array_file(best["weights"])),
                tuple(map(str, values.pop("ours", ()))),
            )
        if values != self.key:
            raise InvalidInputError(
                "a run is resumed with the network, the data and the recipe it began with",
                received=f"the state of another run in {self.folder}",
                remedy=_REMEDY,
            )
        return progress

    def read_or_none(self) -> Progress | None:
        """Progress of the run; None without a state of this run that can be read."""
        try:
            return self.read()
        except InvalidInputError:
            return None

    def restore(self, model: keras.Model, progress: Progress) -> None:
        """Set the weights and the optimizer of a compiled model to those of the state.

        Raises:
            InvalidInputError: a damaged state.
        """
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        values = self._load(progress.weights)
        with reading(self.folder, _RULE, _REMEDY):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def best_weights(self, progress: Progress) -> list[np.ndarray]:
        """Best weights so far, in the order of ``keras.Model.get_weights``.

        Raises:
            InvalidInputError: a damaged state.
        """
        assert progress.best is not None
        return self._load(progress.best.weights)

    def save(
        self,
        model: keras.Model,
        before: Progress,
        averaged: Sequence[np.ndarray],
        accuracy: float,
    ) -> Progress:
        """Store the state after an epoch, and delete the state before it.

        Args:
            model: model after the epoch.
            before: progress before the epoch.
            averaged: average of the weights, stored unless an earlier epoch's is more accurate.
            accuracy: top-1 of ``averaged``, in percent.

        Raises:
            InvalidInputError: the folder cannot be written; the previous state remains.
        """
        epoch = before.epochs_done + 1
        best = before.best
        if best is None or accuracy >= best.accuracy:
            best = Best(epoch, accuracy, f"best-{epoch:04d}.npz")
            write_whole(self.folder / best.weights, lambda path: np.savez(path, *averaged))
        values = [variable.numpy() for variable in _variables(model)]
        name = f"epoch-{epoch:04d}.npz"
        write_whole(self.folder / name, lambda path: np.savez(path, *values))
        progress = replace(before, epochs_done=epoch, weights=name, best=best)
        self.note(progress)
        for old in self.folder.iterdir():
            if _ARRAYS.fullmatch(old.name) and old.name not in (name, best.weights):
                old.unlink()
        return progress

    def note(self, progress: Progress) -> None:
        """Write the progress of the run, whose files must exist.

        Raises:
            InvalidInputError: the folder cannot be written.
        """
        text = json.dumps({**asdict(progress), **self.key}, indent=2) + "\n"
        write_whole(self._progress, lambda path: path.write_text(text, encoding="utf-8"))

    def clear(self) -> None:
        """Delete the files of the state, and the folder if nothing else is in it."""
        if not self.folder.is_dir():
            return
        self._progress.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if _ARRAYS.fullmatch(path.name):
                path.unlink()
        if not any(self.folder.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _load(self, name: str) -> list[np.ndarray]:
        with open_arrays(self.folder / name, _RULE, _REMEDY) as stored:
            return [stored[f"arr_{number}"] for number in range(len(stored.names))]
        raise AssertionError  # unreachable: open_arrays suppresses no exception


def _array_file(name: Any) -> str:
    if not _ARRAYS.fullmatch(name):
        raise ValueError("a name that is not that of a file of the state")
    return str(name)


def _variables(model: keras.Model) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]
