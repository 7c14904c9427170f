"""A program whose Keras runs on another backend: its model is quantized and measured.

JAX and PyTorch are no dependencies of ours: where they are missing, as in CI, these tests are
skipped; ``test_worker`` runs a program on Keras's NumPy backend everywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import keras
import numpy as np

import edgequant as eq


class Mine(keras.layers.Layer):
    def call(self, x):
        return keras.ops.tanh(x)


def network(name, *more):
    image = x = keras.Input((16, 16, 3))
    for layer in (keras.layers.Conv2D(8, 3, activation="relu"), *more):
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(4, activation="softmax")(x), name=name)


rng = np.random.default_rng(0)
x = rng.normal(size=(40, 16, 16, 3)).astype("float32")
y = rng.integers(0, 4, 40)
model = network("mine")
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(x, y, verbose=0)
tensors = keras.ops.convert_to_tensor(x)
file = eq.quantize(model, tensors, optimize="fast", progress=False)
report = eq.evaluate(file, (tensors, y), reference=model, latency=False, progress=False)
float_top1 = 100 * float(np.mean(np.argmax(model.predict(x, verbose=0), axis=1) == y))
assert report.rows[0].metrics["top1"] == float_top1, (report.rows[0], float_top1)
try:
    eq.quantize(network("custom", Mine()), x, progress=False)
except eq.InvalidInputError as error:
    print(error)
print("done on", keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_of_another_backend_is_quantized(backend: str, tmp_path: Path) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"custom with Mine on {backend}: build it from layers of Keras" in done.stdout
    assert f"done on {backend}" in done.stdout
