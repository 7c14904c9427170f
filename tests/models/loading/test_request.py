"""Requests for models: names, digests, checks of any model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.blocks import Activation, Bottleneck, Shortcut
from models.loading.request import ModelRequest, load
from models.spec import Knob, model_specs
from tests.models.networks import classifier, scores

SMALL = ModelRequest("mobilenet_v2_small", weights="random")


@pytest.mark.parametrize("name", model_specs())
def test_a_registered_name_is_no_file(name: str) -> None:
    request = ModelRequest(name)
    assert not request.is_file
    assert request.name == name
    assert request.spec() == model_specs()[name]


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (ModelRequest("nets/pets.keras"), "pets"),
        (ModelRequest("pets.v2.h5"), "pets.v2"),
        (ModelRequest("pets.hdf5"), "pets"),
        (ModelRequest("nets/saved/"), "saved"),
        (replace(SMALL, alpha=0.5), "mobilenet_v2_small_0.5"),
        (
            replace(SMALL, alpha=1.0, size=48, activation=Activation.SWISH),
            "mobilenet_v2_small_1_48_swish",
        ),
        (
            replace(SMALL, bottleneck=Bottleneck.NON_LINEAR, shortcut=Shortcut.NONE),
            "mobilenet_v2_small_non_linear_bottleneck_shortcut_none",
        ),
    ],
)
def test_names_for_files_and_reports(request_: ModelRequest, name: str) -> None:
    assert request_.name == name


def test_changes_go_into_the_spec() -> None:
    spec = replace(SMALL, alpha=0.5, size=48, classes=3, activation=Activation.RELU).spec()
    assert (spec.alpha, spec.classes, spec.activation) == (0.5, 3, Activation.RELU)
    assert spec.input_shape == (48, 48, 3)
    assert spec.preprocessing.labels == ()


def test_studies_go_into_the_spec_and_change_the_network() -> None:
    request = replace(
        SMALL, bottleneck=Bottleneck.NON_LINEAR, shortcut=Shortcut.EXPANSIONS, alpha=0.1
    )
    spec = request.spec()
    assert (spec.bottleneck, spec.shortcut) == (Bottleneck.NON_LINEAR, Shortcut.EXPANSIONS)
    names = [layer.name for layer in load(request).model.layers]
    assert "block_1_project_relu" in names
    assert "block_3_expand_add" in names
    assert "block_3_add" not in names


@pytest.mark.parametrize("knob", Knob)
def test_a_change_that_a_family_does_not_know_is_refused(knob: Knob) -> None:
    values = {
        Knob.ALPHA: 0.5,
        Knob.ACTIVATION: Activation.RELU,
        Knob.BOTTLENECK: Bottleneck.LINEAR,
        Knob.SHORTCUT: Shortcut.NONE,
    }
    for name, spec in model_specs().items():
        request = ModelRequest(name, **{knob.value: values[knob]})
        if knob in spec.knobs:
            assert getattr(request.spec(), knob) == values[knob]
        else:
            with pytest.raises(InvalidInputError, match=rf"{name} takes --size, .*--{knob}: leave"):
                request.spec()


@pytest.mark.parametrize("changes", [{"alpha": 0.0}, {"size": 0}, {"classes": 0}])
def test_zero_is_refused_and_not_taken_for_unset(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="received"):
        replace(SMALL, **changes).spec()


def test_a_digest_changes_with_everything_that_shapes_the_model(tmp_path: Path) -> None:
    weights = tmp_path / "some.weights.h5"
    weights.write_bytes(b"1")
    requests = [
        SMALL,
        replace(SMALL, alpha=0.5),
        replace(SMALL, size=48),
        replace(SMALL, classes=3),
        replace(SMALL, activation=Activation.RELU),
        replace(SMALL, bottleneck=Bottleneck.NON_LINEAR),
        replace(SMALL, weights="random:1"),
        replace(SMALL, weights=str(weights)),
        ModelRequest("mobilenet_v2", weights="random"),
    ]
    digests = [request.digest() for request in requests]
    assert len(set(digests)) == len(digests)
    assert [request.digest() for request in requests] == digests
    weights.write_bytes(b"2")
    assert requests[7].digest() != digests[7]


def test_a_digest_of_a_file_or_folder_is_of_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(b"1")
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    before = [ModelRequest(str(p)).digest() for p in (path, folder)]
    path.write_bytes(b"2")
    (folder / "a").rename(folder / "b")
    after = [ModelRequest(str(p)).digest() for p in (path, folder)]
    assert len({*before, *after}) == 4
    with pytest.raises(InvalidInputError, match="does not exist"):
        ModelRequest(str(tmp_path / "absent.keras")).digest()


def test_a_registered_network_is_loaded_with_its_spec() -> None:
    loaded = load(replace(SMALL, alpha=0.1))
    assert (loaded.name, loaded.size, loaded.classes) == ("mobilenet_v2_small_0.1", (32, 32), 10)
    assert loaded.spec is not None
    assert loaded.spec.alpha == 0.1


def test_a_users_model_is_loaded_as_it_is(tmp_path: Path) -> None:
    model = classifier()
    model.save(tmp_path / "pets.keras")
    loaded = load(ModelRequest(str(tmp_path / "pets.keras")))
    assert (loaded.name, loaded.size, loaded.classes, loaded.spec) == ("pets", (8, 8), 4, None)
    np.testing.assert_array_equal(scores(loaded.model, 8), scores(model, 8))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "random"},
        {"alpha": 0.5},
        {"size": 8},
        {"classes": 4},
        {"activation": Activation.RELU},
        {"shortcut": Shortcut.NONE},
    ],
)
def test_changes_to_a_users_model_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    classifier().save(tmp_path / "pets.keras")
    with pytest.raises(InvalidInputError, match=f"received --{next(iter(changes))} with"):
        load(ModelRequest(str(tmp_path / "pets.keras"), **changes))


def _two_inputs() -> keras.Model:
    ends = [keras.Input((8, 8, 3)) for _ in range(2)]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(ends))
    return keras.Model(ends, keras.layers.Dense(4)(x))


def _two_outputs() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    boxes, kinds = keras.layers.Dense(4, name="boxes"), keras.layers.Dense(2, name="kinds")
    return keras.Model(image, [boxes(x), kinds(x)])


def _free_size() -> keras.Model:
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.layers.Dense(4)(x))


def _segmenter() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Conv2D(4, 1)(image))


def _without_an_axis() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Flatten()(image)[:, 0])


def _of_integers() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.ops.cast(x, "int32"))


def _with_weight(value: float) -> keras.Model:
    model = classifier()
    kernel, bias = model.layers[1].get_weights()
    kernel[0, 0, 0, 0] = value
    model.layers[1].set_weights([kernel, bias])
    return model


@pytest.mark.parametrize(
    ("build", "names", "shapes"),
    [
        (_two_outputs, ("boxes", "kinds"), ((4,), (2,))),
        (lambda: classifier(classes=1), ("scores",), ((1,),)),
        (_segmenter, ("scores",), ((8, 8, 4),)),
    ],
    ids=["two", "one number", "map"],
)
def test_outputs_of_any_fixed_shape_are_taken(
    build: Any, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    build().save(tmp_path / "net.keras")
    loaded = load(ModelRequest(str(tmp_path / "net.keras")))
    assert tuple(output.name for output in loaded.outputs) == names
    assert tuple(output.shape for output in loaded.outputs) == shapes


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (_two_inputs, r"one input; received .*2 inputs \(input_layer.*join them into one"),
        (_free_size, r"fixed sizes behind .* received .*None, None, None, 3"),
        (_without_an_axis, r"fixed sizes, at least one; received .* of the shape \[None\]"),
        (_of_integers, "floating-point numbers; received .* in int"),
        (lambda: _with_weight(float("nan")), "NaN or Inf in .*kernel"),
        (lambda: _with_weight(float("inf")), "NaN or Inf in .*kernel"),
    ],
    ids=["inputs", "free", "scalar", "integers", "nan", "inf"],
)
def test_models_that_do_not_fit_the_pipeline_are_refused(
    build: Any, rule: str, tmp_path: Path
) -> None:
    build().save(tmp_path / "net.keras")
    with pytest.raises(InvalidInputError, match=rule):
        load(ModelRequest(str(tmp_path / "net.keras")))
