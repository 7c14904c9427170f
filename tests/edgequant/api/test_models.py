"""Models of a program as files for the process that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgequant.api.models import example_axes, is_in_memory, model_text
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError


def test_a_model_in_memory_is_a_file_of_its_name_and_equal_ones_are_equal(
    model: Any, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (Path(model_text(model, tmp_path / name)) for name in "ab")
    assert first.name == "my_net.keras"
    assert sha256_of(first) == sha256_of(second)
    assert is_in_memory(model)
    assert example_axes(model) == 3


def test_a_saved_model_computes_the_same(model: Any, examples: Any, tmp_path: Path) -> None:
    import keras
    import numpy as np

    again = keras.models.load_model(model_text(model, tmp_path))
    np.testing.assert_array_equal(again(examples[0][:4]), model(examples[0][:4]))


def test_a_text_or_a_path_is_as_it_is(tmp_path: Path) -> None:
    assert model_text("mobilenet_v2", tmp_path) == "mobilenet_v2"
    assert model_text(tmp_path / "a.keras", tmp_path) == str(tmp_path / "a.keras")
    assert not is_in_memory("mobilenet_v2")


@pytest.mark.parametrize(
    "model", [None, 3, object(), [1, 2]], ids=["none", "number", "object", "list"]
)
def test_what_is_no_model_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a model is a Keras model, a path"):
        model_text(model, tmp_path)
    assert example_axes(model) is None


def test_a_model_that_keras_cannot_save_is_refused(tmp_path: Path) -> None:
    class Model:
        """Stands for a subclass without a configuration."""

        name = "mine"

        def save(self, path: Path) -> None:
            raise NotImplementedError("no get_config\nlong story")

    Model.__module__ = "keras.src.models.model"
    with pytest.raises(
        InvalidInputError, match=r"received mine \(no get_config\): build it.*model\.save"
    ):
        model_text(Model(), tmp_path)


def _own_loss(truth: Any, scores: Any) -> Any:
    return (truth - scores) ** 2


def test_what_a_model_was_compiled_with_stays_in_the_program(tmp_path: Path) -> None:
    import keras

    from models.loading.files import load_keras_file

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="inner")
    inner.compile("adam", _own_loss)
    outer = keras.Sequential([keras.Input((4,)), inner], name="outer")
    outer.compile("adam", _own_loss)
    loaded = load_keras_file(Path(model_text(outer, tmp_path)))
    assert loaded.output_shape == (None, 3)
    assert outer.compiled


def test_layers_of_the_program_need_tensorflow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keras

    class Doubled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    model = keras.Sequential([keras.Input((4,)), Doubled()], name="mine")
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(InvalidInputError, match=r"received mine with .*Doubled on jax: build it"):
        model_text(model, tmp_path)
