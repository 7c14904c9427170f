"""The platforms' runtimes, where 'make test-ship' installs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgequant.docs import HOME
from tests.edgequant.conftest import photos, run, tiny_keras

__all__ = ["photos", "run", "tiny_keras"]
PLACES = {
    "mediapipe": HOME / ".venv-ship-android/bin/python",
    "tflite-micro": HOME / ".venv-ship-micro/bin/python",
    "vela": HOME / ".venv-ship-ethos-u/bin/python",
    "onnxruntime-node": HOME / ".venv-ship-onnx-mobile",
}


@pytest.fixture(scope="session")
def runtimes() -> dict[str, Path]:
    """Path of each runtime."""
    missing = [name for name, path in PLACES.items() if not path.exists()]
    assert not missing, f"{', '.join(missing)} not installed: run make test-ship"
    return PLACES


@pytest.fixture(scope="session")
def runtime_options(runtimes: dict[str, Path]) -> list[str]:
    """``--runtime`` options for all of them."""
    return [part for name, path in runtimes.items() for part in ("--runtime", f"{name}={path}")]
