"""The platforms' runtimes, where 'make test-ship' installs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgequant.docs import HOME
from export.bundles.target import ship_targets
from tests.edgequant.conftest import photos, run, tiny_keras

__all__ = ["photos", "run", "tiny_keras"]
PLACES = {
    "mediapipe": HOME / ".venv-ship-android/bin/python",
    "tflite-micro": HOME / ".venv-ship-micro/bin/python",
    "vela": HOME / ".venv-ship-ethos-u/bin/python",
    "onnxruntime-node": HOME / ".venv-ship-onnx-mobile",
}
CMSIS_NN = ".venv-ship-cmsis-nn/lib/python*/site-packages/bakenn/backend/cmsis_nn/vendor"
SNIPPETS = HOME / ".venv-ship-snippets/bin/python"
KOTLIN = HOME / ".venv-ship-kotlin/node_modules/kotlin-compiler"


@pytest.fixture(scope="session")
def runtimes() -> dict[str, Path]:
    """Path of each runtime; Node's is left out only where there is no npm to install it."""
    wanted = {n: p for n, p in PLACES.items() if n != "onnxruntime-node" or shutil.which("npm")}
    missing = [name for name, path in wanted.items() if not path.exists()]
    assert not missing, f"{', '.join(missing)} not installed: run make test-ship"
    return wanted


@pytest.fixture(scope="session")
def bundle(runtime_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network for every platform, with 64 test images; not to be changed."""
    from edgequant.cli.main import main

    output = tmp_path_factory.mktemp("ship") / "small"
    arguments = ["ship", "--for", ",".join(ship_targets()), "--data", "fashion_mnist:test"]
    rest = ["--vectors", "64", "--samples", "200", "--output", str(output)]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *rest, *runtime_options])
    assert not stop.value.code
    return output


@pytest.fixture(scope="session")
def runtime_options(runtimes: dict[str, Path]) -> list[str]:
    """``--runtime`` options for all of them, and ``--cmsis-nn``."""
    library = next(HOME.glob(CMSIS_NN), None)
    assert library is not None, "CMSIS-NN is not installed: run make test-ship"
    options = [part for name, path in runtimes.items() for part in ("--runtime", f"{name}={path}")]
    return [*options, "--cmsis-nn", str(library)]
