"""Convolutions by CMSIS-NN: the bits of the reference kernels, inside of the buffer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgequant.docs import HOME
from evaluation.proofs.cmsis_nn import Library
from export.c.names import Prefix
from export.c.program import read_program
from export.c.sources import c_sources
from export.tflite.target import TARGET
from quantize.recipes import recipe
from quantize.settings import IoType
from tests.export.c.compiled import ACLE, SANITIZED, expected_of, needs_compiler, run, write_all
from tests.export.tflite import tflite_cases

PLACE = ".venv-ship-cmsis-nn/lib/python*/site-packages/bakenn/backend/cmsis_nn/vendor"
FOLDER = next(HOME.glob(PLACE), None)
INT8 = recipe("tflite-int8").with_io(IoType.INT8)
needs_library = pytest.mark.skipif(FOLDER is None, reason="make ship-runtimes installs CMSIS-NN")


def build_odd() -> Any:
    """Network with convolutions of many forms."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = x = keras.Input((32, 32, 3))
    x = layers.Conv2D(6, 5, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(10, 3, dilation_rate=2, padding="same")(x)
    x = layers.DepthwiseConv2D(5, padding="same")(x)
    x = layers.Conv2D(12, 1, strides=2)(x)
    x = layers.Conv2D(12, 3, groups=3, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x)
    x = layers.DepthwiseConv2D(3, padding="valid")(x)
    x = layers.Conv2D(7, 1)(x)
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


@pytest.mark.slow
@needs_compiler
@needs_library
@pytest.mark.parametrize("build", [tflite_cases.build_short, build_odd])
@pytest.mark.parametrize("rows", [False, True])
def test_cmsis_nn_gives_the_bits_of_the_reference_kernels(
    build: Any, rows: bool, tmp_path: Path
) -> None:
    assert FOLDER is not None
    path = tmp_path / "network.tflite"
    TARGET.write(tflite_cases.request(build(), INT8), path)
    folder = tmp_path / "c"
    write_all(read_program(path, by_rows=rows), folder, *expected_of(path))
    build_flags = Library.open(FOLDER).build(Prefix())
    flags = ("-O1", "-Wno-error", "-w", *SANITIZED, f"-I{ACLE}")
    sources = [*sorted(folder.glob("*.c")), *build_flags.library]
    assert run(sources, *flags, *build_flags.flags) == ""


@pytest.mark.slow
def test_a_network_without_convolutions_needs_no_cmsis_nn(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs)))
    path = tmp_path / "dense.tflite"
    TARGET.write(tflite_cases.request(model, INT8), path)
    assert "net_cmsis_nn.c" not in c_sources(read_program(path), Prefix(), "dense")
