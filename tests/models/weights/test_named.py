"""Sources of weights: a seed, a file, Keras's download; and refused ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.blocks import Activation
from models.loading.request import ModelRequest, load
from models.spec import ModelSpec, model_spec
from models.weights.named import build_with_weights, checkpoint_path, random_seed
from tests.models.networks import randomize, tiny_spec


def _weights(spec: ModelSpec, weights: str) -> list[np.ndarray]:
    return list(build_with_weights(spec, weights).get_weights())


def _equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_random_weights_depend_on_their_seed() -> None:
    spec = tiny_spec()
    first = _weights(spec, "random:1")
    assert _equal(first, _weights(spec, "random:1"))
    assert not _equal(first, _weights(spec, "random:2"))
    assert _equal(_weights(spec, "random"), _weights(spec, "random:0"))


@pytest.mark.parametrize("weights", ["random:x", "random:-1", "random:1.5"])
def test_a_seed_that_is_no_whole_number_is_refused(weights: str) -> None:
    with pytest.raises(InvalidInputError, match="seed that is a whole number"):
        build_with_weights(tiny_spec(), weights)


def test_weights_that_are_nowhere_are_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"random, or a file.*absent\.h5"):
        build_with_weights(tiny_spec(), "absent.h5")


def test_a_checkpoint_lies_beside_the_code_by_network_and_name() -> None:
    path = checkpoint_path(model_spec("mobilenet_v2_small"), "some")
    assert path.parts[-3:] == ("models", "checkpoints", "mobilenet_v2_small.some.weights.h5")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Weights of the tiny network."""
    spec = tiny_spec()
    model = spec.build(spec)
    randomize(model)
    model.save_weights(tmp_path / "tiny.weights.h5")
    return tmp_path / "tiny.weights.h5"


def test_a_file_of_another_activation_fits(saved: Path) -> None:
    first = _weights(tiny_spec(), str(saved))
    other = tiny_spec(activation=Activation.RELU)
    assert _equal(first, _weights(other, str(saved)))


@pytest.mark.parametrize("change", ["alpha", "classes", "stages"])
def test_weights_of_another_network_are_refused(saved: Path, change: str) -> None:
    spec = tiny_spec()
    other = {
        "alpha": replace(spec, alpha=2.0),
        "classes": replace(spec, classes=9, preprocessing=spec.preprocessing.with_labels(())),
        "stages": replace(spec, stages=(*spec.stages, spec.stages[-1])),
    }[change]
    with pytest.raises(InvalidInputError, match=r"weights fit the network.*tiny\.weights\.h5"):
        build_with_weights(other, str(saved))


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".keras", ".txt"])
@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_files_that_hold_no_weights_are_refused(
    ending: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"bad{ending}"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"bad\."):
        build_with_weights(tiny_spec(), str(path))


# ImageNet weights


def _failing(error: Exception) -> ModelSpec:
    def pretrained(spec: ModelSpec) -> keras.Model:
        raise error

    contract = tiny_spec().preprocessing.with_labels(())
    return tiny_spec(classes=1000, preprocessing=contract, pretrained=pretrained)


@pytest.mark.parametrize(
    "error",
    [
        Exception("URL fetch failure on https://storage.googleapis.com/x: None -- no route"),
        ValueError("Incomplete or corrupted file detected"),
        OSError(28, "No space left on device"),
        Exception(""),
    ],
    ids=["no route", "corrupt", "full disk", "silent"],
)
def test_imagenet_weights_without_internet(error: Exception) -> None:
    with pytest.raises(InvalidInputError, match=r"downloaded by Keras.*alpha 1 \("):
        build_with_weights(_failing(error), "imagenet")


def test_mistakes_in_code_are_not_taken_for_a_missing_connection() -> None:
    with pytest.raises(ZeroDivisionError):
        build_with_weights(_failing(ZeroDivisionError()), "imagenet")


@pytest.mark.parametrize("spec", [model_spec("mobilenet_v2")], ids=lambda spec: spec.name)
def test_kerass_own_download_that_fails(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_file(*args: object, **kwargs: object) -> None:
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None -- no route")

    from keras.src.applications import mobilenet_v2

    monkeypatch.setattr(mobilenet_v2.file_utils, "get_file", get_file)
    request = ModelRequest(spec.name, weights="imagenet", alpha=0.35, size=96)
    with pytest.raises(InvalidInputError, match="no route"):
        load(request)


def test_a_width_that_keras_has_no_weights_for() -> None:
    with pytest.raises(InvalidInputError, match=r"alpha 0\.6 \("):
        load(ModelRequest("mobilenet_v2", weights="imagenet", alpha=0.6, size=96))


def test_imagenet_weights_are_of_a_thousand_classes() -> None:
    with pytest.raises(InvalidInputError, match="1000 classes; received 10 classes"):
        load(ModelRequest("mobilenet_v2", weights="imagenet", classes=10))


def test_a_network_without_imagenet_weights_says_so() -> None:
    with pytest.raises(InvalidInputError, match="list models"):
        build_with_weights(tiny_spec(), "imagenet")


def test_imagenet_weights_go_in_as_they_are() -> None:
    contract = tiny_spec().preprocessing.with_labels(())
    spec = tiny_spec(classes=1000, preprocessing=contract)
    source = spec.build(spec)
    randomize(source)
    with_source = replace(spec, pretrained=lambda _: source)
    assert _equal(_weights(with_source, "imagenet"), source.get_weights())


@pytest.mark.parametrize(
    "weights",
    ["random:", "random:-1", "random:4294967296", "random:x", "random:٢", f"random:{'9' * 400}"],
)
def test_seeds_that_no_generator_takes_are_refused_before_anything_is_built(weights: str) -> None:
    with pytest.raises(InvalidInputError, match="whole number from 0 to 4294967295"):
        ModelRequest("mobilenet_v2_small", weights=weights)


def test_random_weights_take_every_seed_of_32_bits() -> None:
    assert [random_seed(w) for w in ("random", "random:0", "random:4294967295")] == [
        0,
        0,
        2**32 - 1,
    ]
    assert random_seed("imagenet") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 10**9}, "pixels of a side"),
        ({"size": 1024, "alpha": 8.0}, "pixels of a side"),
        ({"classes": 10**9}, "classes, times alpha"),
        ({"classes": 50_000, "alpha": 8.0}, "classes, times alpha"),
        ({"alpha": float("nan")}, "multiplier"),
        ({"alpha": float("inf")}, "multiplier"),
    ],
)
def test_networks_that_fill_any_memory_are_refused_before_they_are_built(
    changes: dict[str, float], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ModelRequest("mobilenet_v2_small", **changes).spec()  # type: ignore[arg-type]
