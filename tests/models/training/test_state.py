"""State of an unfinished run: the best epoch's weights, and its own files alone."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.training.state import Progress, TrainingState


def test_the_weights_of_the_best_epoch_are_kept(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    state = TrainingState(tmp_path / "state", {"model": "x"})
    progress = Progress(ours=("digest",))
    for accuracy in (10.0, 30.0, 20.0):
        averaged = [np.full(w.shape, accuracy) for w in model.get_weights()]
        progress = state.save(model, progress, averaged, accuracy)
        assert state.read() == progress
    assert progress.epochs_done == 3
    assert progress.best is not None
    assert (progress.best.epoch, progress.best.accuracy) == (2, 30.0)
    assert all((values == 30).all() for values in state.best_weights(progress))
    names = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert names == ["best-0002.npz", "epoch-0003.npz", "progress.json"]
    (tmp_path / "state" / "notes.txt").write_text("mine")
    state.clear()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["../../victim", "/etc/passwd", "epoch-1.npz", 3])
def test_a_state_names_its_own_files_alone(tmp_path: Path, name: object) -> None:
    def written(weights: object, best: object) -> Progress | None:
        kept = {"epoch": 1, "accuracy": 1.0, "weights": best}
        text = json.dumps({"epochs_done": 1, "weights": weights, "best": kept})
        (tmp_path / "progress.json").write_text(text)
        return TrainingState(tmp_path, {}).read()

    assert written("epoch-0001.npz", "best-0001.npz") is not None
    for names in ((name, "best-0001.npz"), ("epoch-0001.npz", name)):
        with pytest.raises(InvalidInputError, match="can be read"):
            written(*names)
