"""Model files of every kind: loaded and equal, or refused with the path and a remedy."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.loading.files import load_keras_file
from models.loading.request import ModelRequest, load
from tests.models.networks import classifier, scores

pytestmark = pytest.mark.filterwarnings(
    # Keras's advice on saving legacy files, which users still have.
    "ignore:You are saving your model as an HDF5 file:UserWarning"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the small classifier in every kind of file."""
    root = tmp_path_factory.mktemp("models")
    model = classifier()
    model.save(root / "net.keras")
    model.save_weights(root / "net.weights.h5")
    _save_legacy(model, root / "net.h5")
    model.export(str(root / "saved"), verbose=False)
    return root


def _save_legacy(model: keras.Model, path: Path) -> None:
    model.save(path)


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "saved"])
def test_every_kind_of_file_loads_and_answers_alike(folder: Path, name: str) -> None:
    loaded = load(ModelRequest(str(folder / name)))
    assert (loaded.size, loaded.classes) == ((8, 8), 4)
    np.testing.assert_allclose(scores(loaded.model, 8), scores(classifier(), 8), atol=1e-6)


def test_a_saved_model_is_checked_for_nan_as_well(tmp_path: Path) -> None:
    model = classifier()
    model.layers[-1].bias.assign([0, float("nan"), 0, 0])
    model.export(str(tmp_path / "saved"), verbose=False)
    with pytest.raises(InvalidInputError, match="NaN or Inf"):
        load(ModelRequest(str(tmp_path / "saved")))


def test_weights_without_architecture_are_told_apart(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no model_config.*registered --model"):
        load_keras_file(folder / "net.weights.h5")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("net.keras", b""),
        ("net.keras", b"no archive"),
        ("net.h5", b""),
        ("net.h5", b"no archive"),
        ("net.hdf5", b"PK\x03\x04"),
        ("net.tflite", b"x"),
        ("net.txt", b"x"),
    ],
)
def test_files_that_are_no_models_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=str(path)):
        load_keras_file(path)


def test_hdf5_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as archive:
        archive["images"] = np.zeros(3)
    with pytest.raises(InvalidInputError, match="no model_config"):
        load_keras_file(tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5", "w") as archive:
        archive.attrs["model_config"] = "{"
    with pytest.raises(InvalidInputError, match="architecture as JSON"):
        load_keras_file(tmp_path / "data.h5")


@pytest.mark.parametrize("name", ["absent.keras", "absent.h5", "absent", "folder"])
def test_a_path_without_a_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInputError, match=str(tmp_path / name)):
        load_keras_file(tmp_path / name)


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_files_that_are_cut_short_are_refused(
    folder: Path, tmp_path: Path, name: str, share: float
) -> None:
    whole = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidInputError, match=str(tmp_path / name)):
        load_keras_file(tmp_path / name)


def test_a_flipped_bit_in_the_weights_of_an_archive_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(folder / "net.keras") as archive:
        stored = archive.read("model.weights.h5")
    content = bytearray((folder / "net.keras").read_bytes())
    content[content.index(stored) + len(stored) // 2] ^= 1
    (tmp_path / "net.keras").write_bytes(content)
    with pytest.raises(InvalidInputError, match="CRC"):
        load_keras_file(tmp_path / "net.keras")


def test_a_layer_that_keras_does_not_know_is_refused(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "net.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1].update(
        class_name="Secret", module="somewhere", registered_name="Secret"
    )
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        for name, content in {**parts, "config.json": json.dumps(config).encode()}.items():
            archive.writestr(name, content)
    with pytest.raises(InvalidInputError, match="without other code"):
        load_keras_file(tmp_path / "net.keras")


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize("damage", ["cut", "delete"])
def test_a_damaged_saved_model_is_refused(
    folder: Path, tmp_path: Path, part: str, damage: str
) -> None:
    shutil.copytree(folder / "saved", tmp_path / "saved")
    path = tmp_path / "saved" / part
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInputError, match=str(tmp_path / "saved")):
        load_keras_file(tmp_path / "saved")


def _twice(x: object) -> object:
    return x * 2  # type: ignore[operator]


@pytest.fixture(scope="module", params=["net.keras", "net.h5"])
def with_lambda(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with Python code in a Lambda layer inside a nested model."""
    inner_in = keras.Input((8, 8, 3))
    inner = keras.Model(inner_in, keras.layers.Lambda(lambda x: x * 2)(inner_in), name="inner")
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inner(image))
    path = tmp_path_factory.mktemp("lambda") / str(request.param)
    _save_legacy(keras.Model(image, keras.layers.Dense(2)(x)), path)
    return path


def test_code_in_a_lambda_layer_is_refused(with_lambda: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Lambda layer holds code.*--trust "):
        load(ModelRequest(str(with_lambda)))


def test_code_that_the_user_trusts_is_run(with_lambda: Path) -> None:
    loaded = load(ModelRequest(str(with_lambda), trust=True))
    assert loaded.classes == 2
    assert np.isfinite(scores(loaded.model, 8)).all()


def test_weights_are_not_taken_from_a_file_with_code(with_lambda: Path) -> None:
    # The weights of an .h5 are read without building its layers, and these do not fit.
    rule = "Lambda" if with_lambda.suffix == ".keras" else "weights fit the network"
    with pytest.raises(InvalidInputError, match=rule):
        load(ModelRequest("mobilenet_v2_small", weights=str(with_lambda), alpha=0.1))
