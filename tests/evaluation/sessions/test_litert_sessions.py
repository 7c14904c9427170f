from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.child.policy import Isolation
from evaluation.child.session import open_foreign
from evaluation.session import runtime_for, runtimes
from evaluation.sessions.litert import LiteRTSession
from foundation.errors import InvalidInputError
from tests.evaluation.conftest import CLASSES, converter_noise


def opened(path, name: str | None = None) -> LiteRTSession:
    return runtime_for(path, name).open(path, 1)


def test_the_registry_has_three_kinds_of_kernels_and_xnnpack_by_default(
    litert_files: dict[str, Path],
) -> None:
    path = litert_files["int8"]
    names = [name for name in runtimes() if name.startswith("litert")]
    assert names == ["litert-plain", "litert-reference", "litert-xnnpack"]
    assert runtime_for(path).name == "litert-xnnpack"
    kernels = [opened(path, name).info.kernels for name in names]
    assert kernels == ["LiteRT optimized", "LiteRT reference", "XNNPACK"]
    info = opened(path).info
    assert (info.runtime, info.threads) == ("litert-xnnpack", 1)
    assert info.version.startswith("2.")


def test_kernels_are_not_called_xnnpack_where_it_took_nothing(
    litert_files: dict[str, Path],
) -> None:
    assert opened(litert_files["int16"]).info.kernels == (
        "LiteRT optimized (XNNPACK took no operator)"
    )


def test_kernels_are_said_to_be_mixed_where_xnnpack_took_a_part(
    foreign_litert_files: dict[str, Path],
) -> None:
    kernels = opened(foreign_litert_files["cumsum"]).info.kernels
    assert kernels == "XNNPACK in part (2 subgraphs), LiteRT optimized"


@pytest.mark.parametrize("name", ["float32", "free-batch", "batch-4"])
@pytest.mark.parametrize("runtime", ["litert-plain", "litert-reference", "litert-xnnpack"])
def test_float_files_answer_as_the_keras_model(
    litert_files: dict[str, Path], keras_model: Any, images: np.ndarray, name: str, runtime: str
) -> None:
    outputs = opened(litert_files[name], runtime).predict(images)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, keras_model(images).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["int8", "uint8", "quantized-float32", "int16"])
def test_integer_files_are_quantized_and_dequantized_by_their_own_scales(
    litert_files: dict[str, Path], keras_model: Any, images: np.ndarray, name: str
) -> None:
    reference = keras_model(images).numpy()
    outputs = opened(litert_files[name]).predict(images)
    assert outputs.shape == (len(images), CLASSES)
    noise = np.square(outputs - reference).sum()
    assert 10 * np.log10(np.square(reference).sum() / noise) > 20
    assert not np.array_equal(outputs, reference)


@pytest.mark.parametrize("runtime", ["litert-plain", "litert-reference"])
def test_our_quantization_is_that_of_litert(
    litert_files: dict[str, Path], images: np.ndarray, runtime: str
) -> None:
    """An int8 input quantized by our session equals a float input quantized by LiteRT."""
    session = opened(litert_files["int8"], runtime)
    # Compared in steps: LiteRT's optimized DEQUANTIZE rounds the last bit of a float otherwise.
    step = session._results[0][1].scale[0]
    here = session.predict(images) / step
    for name in ("quantized-float32", "uint8"):
        there = opened(litert_files[name], runtime).predict(images) / step
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-4)


def test_plain_kernels_are_within_a_step_of_the_reference_kernels(
    litert_files: dict[str, Path], images: np.ndarray
) -> None:
    session = opened(litert_files["int8"], "litert-reference")
    step = session._results[0][1].scale[0]
    plain = opened(litert_files["int8"], "litert-plain").predict(images)
    assert np.abs(session.predict(images) - plain).max() <= 1.01 * step


def test_answers_do_not_depend_on_the_batch(
    litert_files: dict[str, Path], images: np.ndarray
) -> None:
    for name in ("int8", "free-batch", "batch-4"):
        session = opened(litert_files[name])
        one_by_one = np.concatenate([session.predict(images[i : i + 1]) for i in range(7)])
        assert np.array_equal(session.predict(images), one_by_one)


def test_the_timed_call_runs_the_image_again_and_again(
    litert_files: dict[str, Path], images: np.ndarray
) -> None:
    for name in ("int8", "float32"):
        session = opened(litert_files[name])
        expected = session.predict(images[:1])
        session.predict(images[1:2])
        call = session.timed_call(images[:1])
        call()
        call()
        assert np.array_equal(session._read()[0], expected)


def test_a_file_with_a_fixed_batch_has_no_latency_of_one_image(
    litert_files: dict[str, Path], images: np.ndarray
) -> None:
    with pytest.raises(InvalidInputError, match="time of one image"):
        opened(litert_files["batch-4"]).timed_call(images[:1])


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None])
def test_corrupt_files_are_refused_in_one_sentence(
    litert_files: dict[str, Path], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.tflite"
    whole = litert_files["int8"].read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(InvalidInputError, match="can load and run") as caught:
        opened(path)
    assert "broken.tflite" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.tflite"):
        opened(tmp_path / "none.tflite")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("two inputs", "one input"),
        ("free size", "axes of fixed sizes"),
    ],
)
def test_other_inputs_are_refused(
    foreign_litert_files: dict[str, Path], name: str, rule: str
) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        opened(foreign_litert_files[name])


def test_images_of_another_size_are_refused(litert_files: dict[str, Path]) -> None:
    with pytest.raises(InvalidInputError, match=r"\[batch, 16, 16, 3\]"):
        opened(litert_files["int8"]).predict(np.zeros((1, 8, 8, 3), np.float32))


def test_several_outputs_have_the_names_of_the_signature(
    images: np.ndarray, tmp_path: Path
) -> None:
    import keras
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, 16, 16, 3))
    maps = keras.layers.ReLU(name="zmaps")(image)
    means = keras.layers.GlobalAveragePooling2D(name="means")(image)
    model = keras.Model(image, {"zmaps": maps, "means": means})
    path = tmp_path / "two.tflite"
    with converter_noise():
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    for session in (opened(path), open_foreign(runtime_for(path), path, 1, Isolation())):
        found = dict(zip(session.outputs, session.run(images), strict=True))
        assert set(found) == {"zmaps", "means"}
        np.testing.assert_array_equal(found["zmaps"], np.maximum(images, 0))
        np.testing.assert_allclose(found["means"], images.mean((1, 2)), atol=1e-6)
        with pytest.raises(InvalidInputError, match="one output"):
            session.predict(images)
