"""Calls from Python whose work is done in this process: the rest is that of a user's program."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from calibration_data.datasets.given import FOLDER
from edgequant.api import calls, child
from edgequant.api.exchange import Job, Outcome, read_job, write_job
from edgequant.api.worker import Listen, in_python
from foundation.errors import EdgequantError


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty current folder; the work of calls is done in this process."""

    def work(folder: Path, job: Job, listen: Listen) -> Outcome:
        write_job(folder, job)
        monkeypatch.setenv(FOLDER, str(folder))
        try:
            return child.run(read_job(folder), listen)
        except EdgequantError as error:
            raise in_python(error, folder) from error

    monkeypatch.setattr(calls, "work", work)
    monkeypatch.chdir(tmp_path)
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    return tmp_path


@pytest.fixture(scope="session")
def examples() -> tuple[np.ndarray, np.ndarray]:
    """What the model of ``model`` is called with, float32 ``[40, 8, 8, 3]``, and classes."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(40, 8, 8, 3)).astype(np.float32), rng.integers(0, 3, 40)


@pytest.fixture(scope="session")
def model() -> object:
    """A Keras model in memory, without a contract."""
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    scores = keras.layers.Dense(3, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="my net")
