"""What a killed training run leaves behind, so that the next one goes on where it was."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import keras


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
        try:
            found = json.loads(self._progress.read_text(encoding="utf-8"))
            done, weights = int(found.pop("epochs_done")), self.folder / found.pop("weights")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(error) from error
        if found != self.key:
            raise InvalidInputError(
                "a run goes on with the network, the data and the recipe it began with",
                received=f"the state of another run in {self.folder}",
                remedy="delete that folder, or choose another --output",
            )
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        try:
            with np.load(weights, allow_pickle=False) as stored:
                values = [stored[f"arr_{number}"] for number in range(len(stored.files))]
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(error) from error
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

    def _damaged(self, error: Exception) -> InvalidInputError:
        return InvalidInputError(
            "the state of an unfinished run can be read",
            received=f"{self.folder} ({error})",
            remedy="delete that folder, or choose another --output",
        )


def _variables(model: keras.Model) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]
