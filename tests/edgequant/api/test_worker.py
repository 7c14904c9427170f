"""The process of a call: its errors, its end, and what it takes from the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgequant.api import worker
from edgequant.api.exchange import Job
from foundation.errors import InvalidInputError, UnsupportedError

JOB = Job(("plan", "show", "nothing.plan"), "edgequant.load_plan(...)")


def _script(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "script.py"
    path.write_text(f"import json, os, signal, sys\nfolder = sys.argv[-1]\n{text}\n")
    monkeypatch.setattr(worker, "START", path)


def _work(folder: Path) -> Any:
    return worker.work(folder, JOB, lambda _: None)


def test_the_process_raises_what_the_command_raises(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nothing\.plan"):
        _work(tmp_path)


def test_a_killed_process_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", monkeypatch)
    with pytest.raises(InvalidInputError, match="ended by signal 9"):
        _work(tmp_path)


def test_a_bug_shows_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _script(tmp_path, "raise ZeroDivisionError('in the depths')", monkeypatch)
    with pytest.raises(RuntimeError, match=r"(?s)report it.*in the depths"):
        _work(tmp_path)


def test_the_backend_of_the_program_stays_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    _script(
        tmp_path,
        "values = {'backend': os.environ.get('KERAS_BACKEND')}\n"
        "open(folder + '/outcome.json', 'w').write(json.dumps({'values': values}))",
        monkeypatch,
    )
    assert _work(tmp_path).values == {"backend": None}
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_the_process_ends_with_an_interrupted_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script(
        tmp_path,
        "print(json.dumps({'begin': str(os.getpid()), 'total': None}), flush=True)\nsignal.pause()",
        monkeypatch,
    )
    pids: list[int] = []

    def interrupt(event: dict[str, Any]) -> None:
        pids.append(int(event["begin"]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.work(tmp_path, JOB, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("give --calibration DATA", "give calibration DATA"),
        ("--max-drop 3", "max_drop 3"),
        ("remove --no-latency", "remove latency=False"),
        ("a well-known -- dash", "a well-known -- dash"),
    ],
)
def test_an_error_speaks_of_arguments(text: str, words: str, tmp_path: Path) -> None:
    error = UnsupportedError("a rule", received=f"{tmp_path}/my.keras", remedy=text)
    said = worker.in_python(error, tmp_path)
    assert type(said) is UnsupportedError
    assert said.remedy == words
    assert said.received == "my.keras"


PROGRAM = """
import importlib.abc, importlib.machinery, os, sys, types
from unittest.mock import MagicMock

class Jax(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    '''Stands for JAX, of which Keras's NumPy backend takes a few functions.'''
    def find_spec(self, name, path, target=None):
        if name.split('.')[0] == 'jax':
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: MagicMock(name=name)
        return module
    def exec_module(self, module): pass

sys.meta_path.insert(0, Jax())
os.environ['KERAS_BACKEND'] = 'numpy'
import keras, numpy as np
import edgequant as eq

assert keras.config.backend() == 'numpy'
x = np.random.default_rng(0).normal(size=(30, 8, 8, 3)).astype('float32')
image = keras.Input((8, 8, 3))
h = keras.layers.Conv2D(8, 3, activation='relu')(image)
model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(h)), name='net')
artifact = eq.quantize(model, x)
report = eq.evaluate(artifact, x, reference=model, latency=False)
print(report.rows[0].metrics['sqnr_db'])
assert keras.config.backend() == 'numpy'
assert os.environ['KERAS_BACKEND'] == 'numpy'
"""


@pytest.mark.slow
def test_keras_on_another_backend_in_the_program(tmp_path: Path) -> None:
    from edgequant.docs import HOME

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 25
