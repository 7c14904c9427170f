"""The integer interpreter as a runtime: whole files, equal to LiteRT's reference kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.datasets.base import open_dataset
from calibration_data.stream import stream
from evaluation.parity.runs import on_the_grid, walk_litert
from evaluation.session import runtime_for, runtimes
from export.target import ExportRequest
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError, UnsupportedError
from models.loading.request import ModelRequest, load
from models.spec import model_spec
from network.affine import QuantParams
from network.oracle.reader import read_integers
from quantize.recipes import recipe
from quantize.settings import IoType
from tests.export.tflite.tflite_cases import build_short, images, request
from tests.network.oracle.files import Slot, write_operator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("oracle")


@pytest.fixture(scope="module")
def model():
    return build_short()


@pytest.mark.parametrize(
    ("name", "io"),
    [*(("tflite-int8", io) for io in IoType), ("tflite-int8-per-tensor", IoType.INT8)],
)
def test_a_file_gives_the_bits_of_the_reference_kernels(
    model: Any, folder: Path, name: Any, io: Any
) -> None:
    path = folder / f"{name}-{io.value}.tflite"
    TARGET.write(request(model, recipe(name).with_io(io)), path)
    found = runtimes()["oracle"].open(path, 1).predict(images(4))
    expected = runtimes()["litert-reference"].open(path, 1).predict(images(4))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tflite-int8", "tflite-int8-per-tensor"])
def test_the_shipped_network_gives_every_tensor_of_the_reference_kernels(
    folder: Path, name: str
) -> None:
    loaded = load(ModelRequest("mobilenet_v2_small"))
    contract = model_spec("mobilenet_v2_small").preprocessing
    batch = next(stream(open_dataset("fashion_mnist:calibration"), contract, batch_size=40)).images
    path = folder / f"shipped-{name}.tflite"
    asked = ExportRequest(loaded.model, recipe(name), contract, lambda: iter([batch]))
    TARGET.write(asked, path)
    walk = walk_litert(path, on_the_grid(path, batch))
    assert len(walk.rows) == 64
    assert walk.first is None


def test_a_float_file_is_refused(model: Any, folder: Path) -> None:
    path = folder / "float.tflite"
    TARGET.write(request(model, recipe("tflite-float32")), path)
    with pytest.raises(UnsupportedError, match="runs operators in integers"):
        runtimes()["oracle"].open(path, 1).predict(images(1))


def test_it_runs_when_it_is_named_only(folder: Path) -> None:
    path = folder / "some.tflite"
    assert runtime_for(path).name != "oracle"
    assert runtime_for(path, "oracle").name == "oracle"


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    slot = Slot((1, 4), params=QuantParams((1 / 16,), (127,)))
    path = write_operator(tmp_path / "one.tflite", "LOG_SOFTMAX", [slot], [slot])
    with pytest.raises(UnsupportedError, match="LOG_SOFTMAX"):
        read_integers(path)


def test_an_image_of_another_type_is_refused(model: Any, folder: Path) -> None:
    path = folder / "ends.tflite"
    TARGET.write(request(model, recipe("tflite-int8")), path)
    with pytest.raises(InvalidInputError, match="int8 of shape"):
        read_integers(path).activations(images(1))


def test_a_damaged_file_is_refused(folder: Path) -> None:
    path = folder / "damaged.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64)
    with pytest.raises(InvalidInputError, match="whole FlatBuffer"):
        read_integers(path)
