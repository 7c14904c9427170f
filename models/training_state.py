"""What a killed training run leaves behind, so that the next one goes on where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TrainingState:
    """Weights and optimizer after the last whole epoch.

    ``progress.json`` names the epoch and its file, and is written after that file is whole:
    whenever a run is killed, the two agree.

    Attributes:
        folder: where they lie.
        key: what the run is of, as plain JSON values; another run's state is refused.
    """

    folder: Path
    key: dict[str, Any]

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    def restore(self, model: keras.Model) -> int:
        """Give a compiled model the weights and the optimizer of the state.

        Returns:
            Epochs that are done; 0 when there is no state.

        Raises:
            InvalidInputError: the state of another run, or a damaged one.
        """
        if not self._progress.is_file():
            return 0
        found = read_object(self._progress, _RULE, _REMEDY)
        with reading(self._progress, _RULE, _REMEDY):
            done, weights = int(found.pop("epochs_done")), self.folder / found.pop("weights")
        if found != self.key:
            raise InvalidInputError(
                "a run goes on with the network, the data and the recipe it began with",
                received=f"the state of another run in {self.folder}",
                remedy="delete that folder, or choose another --output",
            )
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        with open_arrays(weights, _RULE, _REMEDY) as stored:
            values = [stored[f"arr_{number}"] for number in range(len(stored.names))]
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return done

    def save(self, model: keras.Model, epochs_done: int) -> None:
        """Keep the state after an epoch, and drop the one before.

        Raises:
            InvalidInputError: the folder cannot be written; the state before it stands.
        """
        weights = self.folder / f"epoch-{epochs_done:04d}.npz"
        values = [variable.numpy() for variable in _variables(model)]
        write_whole(weights, lambda path: np.savez(path, *values))
        progress = {"epochs_done": epochs_done, "weights": weights.name, **self.key}
        text = json.dumps(progress, indent=2) + "\n"
        write_whole(self._progress, lambda path: path.write_text(text, encoding="utf-8"))
        for old in self.folder.glob("epoch-*.npz"):
            if old != weights:
                old.unlink()


def _variables(model: keras.Model) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]
