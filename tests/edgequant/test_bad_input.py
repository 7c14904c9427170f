"""Bad input: one sentence, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from quantize.ranges.extremes import BATCH
from tests.edgequant.conftest import Outcome, Run


def assert_refused(outcome: Outcome, output: Path, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith(("edgequant: ", "Usage: ")), outcome.err
    for word in words:
        assert word in outcome.err, outcome.err
    assert not output.exists() or not any(output.iterdir())


def test_calibration_on_the_test_split_is_refused(run: Run, tmp_path: Path) -> None:
    outcome = run(
        "quantize", "--recipe", "tflite-int8", "--weights", "random",
        "--calibration", "fashion_mnist:test", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", "calibration never sees", "fashion_mnist:test")


def test_same_images_for_both_are_refused(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    """Copies under another name are still the same images."""
    import shutil

    shutil.copytree(photos / "test", tmp_path / "copy")
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--calibration", tmp_path / "copy", "--data", f"{photos}:test", "--output", tmp_path / "o",
    )  # fmt: skip
    assert outcome.code == 2
    assert "18 images" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("content", "word"), [(b"", "cannot identify"), (b"\x89PNG\r\n\x1a\n junk", "")]
)
def test_damaged_image_is_named(
    run: Run, tiny_keras: Path, tmp_path: Path, content: bytes, word: str
) -> None:
    from PIL import Image

    for name in "abc":
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.new("RGB", (30, 30)).save(tmp_path / "d" / name / "0.png")
    (tmp_path / "d" / "b" / "bad.png").write_bytes(content)
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--calibration", tmp_path / "d", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", "bad.png", word)


@pytest.mark.parametrize("classes", [0, 1])
def test_folder_without_two_classes(
    run: Run, tiny_keras: Path, tmp_path: Path, classes: int
) -> None:
    from PIL import Image

    (tmp_path / "d").mkdir()
    for name in "ab"[:classes]:
        (tmp_path / "d" / name).mkdir()
        Image.new("RGB", (30, 30)).save(tmp_path / "d" / name / "0.png")
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--calibration", tmp_path / "d", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", f"with {classes}")


def test_label_list_of_the_wrong_length(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "l.txt").write_text("background\na\nb\nc\n")
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--labels", tmp_path / "l.txt",
        "--calibration", f"{photos}:train", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", "3 outputs", "4 labels", "background")


@pytest.mark.parametrize("shape", [(4, 24, 24, 4), (4, 25, 24, 3)])
def test_arrays_of_the_wrong_shape(
    run: Run, tiny_keras: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros(shape, np.uint8), labels=np.arange(4) % 3)
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--crop", "exact",
        "--calibration", tmp_path / "a.npz", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", "a.npz")


def test_images_that_are_all_equal(run: Run, tiny_keras: Path, tmp_path: Path) -> None:
    from PIL import Image

    for name in "abc":
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.new("RGB", (30, 30), (9, 99, 199)).save(tmp_path / "d" / name / "0.png")
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--calibration", tmp_path / "d", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", "differ from each other", "3 equal ones")


def test_halves_that_disagree_are_told_with_the_figure(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (32, 24, 24, 3)).astype(np.uint8)
    other = np.arange(32) // BATCH % 2 == 1  # the float pass puts every other batch into a half
    pictures[other] = pictures[other] // 16 + 120
    np.savez(tmp_path / "two.npz", images=pictures, labels=np.arange(32) % 3)
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--optimize", "fast",
        "--calibration", tmp_path / "two.npz", "--output", tmp_path / "o",
    )  # fmt: skip
    assert outcome.code == 0
    assert re.search(r"halves of the calibration images differ by \d+ %", outcome.err)


def test_float_operators_that_there_are_not(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    for command in ("quantize", "sensitivity"):
        outcome = run(
            command, "--model", tiny_keras, "--recipe", "onnx-int8", "--keep-float", "nobody",
            "--calibration", f"{photos}:train", "--output", tmp_path / "o",
        )  # fmt: skip
        assert_refused(outcome, tmp_path / "o", "nobody")


def _saved(path: Path, build: str) -> Path:
    import keras

    image = keras.Input((16, 16, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    scores = keras.layers.Dense(3)(pooled)
    if build == "two inputs":
        other = keras.Input((3,))
        model = keras.Model([image, other], keras.layers.Add()([scores, other]))
    elif build == "free size":
        image = keras.Input((None, None, 3))
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
        model = keras.Model(image, keras.layers.Dense(3)(x))
    elif build == "lambda":
        model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(scores))
    else:
        model = keras.Model(image, scores)
        kernel = model.layers[1].kernel.numpy()
        kernel[0, 0, 0, 0] = np.nan if build == "nan" else np.inf
        model.layers[1].kernel.assign(kernel)
    model.save(path)
    return path


@pytest.mark.parametrize(
    ("build", "word"),
    [
        ("two inputs", "2 inputs"),
        ("free size", "None"),
        ("lambda", "--trust "),
        ("nan", "NaN or Inf"),
        ("inf", "NaN or Inf"),
    ],
)
def test_model_that_does_not_fit(
    run: Run, photos: Path, tmp_path: Path, build: str, word: str
) -> None:
    path = _saved(tmp_path / "m.keras", build)
    outcome = run(
        "quantize", "--model", path, "--recipe", "tflite-int8", "--mean", "0", "--std", "255",
        "--calibration", f"{photos}:train", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", word)


@pytest.mark.parametrize(
    ("level", "found"), [("default", "NaN or infinity in conv2d"), ("converter", "NaN or Inf")]
)
def test_activations_that_overflow(
    run: Run, tmp_path: Path, photos: Path, level: str, found: str
) -> None:
    import keras

    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.Constant(1e30))(image)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.Constant(1e30))(x)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / "m.keras")
    outcome = run(
        "quantize", "--model", tmp_path / "m.keras", "--recipe", "tflite-int8", "--mean", "0",
        "--std", "1", "--calibration", f"{photos}:train", "--output", tmp_path / "o",
        "--optimize", level,
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o", found)


@pytest.mark.parametrize("name", ["x.h5", "x.keras", "x.tflite", "x.onnx"])
def test_a_file_that_is_something_else(run: Run, photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is no model at all")
    data = ("--data", f"{photos}:test", "--mean", "0", "--std", "1")
    assert_refused(run("evaluate", tmp_path / name, *data), tmp_path / "o", name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("recipe", "option"),
    [
        ("tflite-float16", ("--io", "int8")),
        ("tflite-int16x8", ("--io", "uint8")),
        ("tflite-int8", ("--layout", "nchw")),
        ("tflite-int8", ("--batch", "named")),
        ("onnx-int8", ("--io", "uint8")),
        ("tflite-int3", ()),
    ],
)
def test_requests_that_cannot_be_honoured(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path, recipe: str, option: tuple[str, ...]
) -> None:
    outcome = run(
        "quantize", "--model", tiny_keras, "--recipe", recipe, *option,
        "--calibration", f"{photos}:train", "--output", tmp_path / "o",
    )  # fmt: skip
    assert_refused(outcome, tmp_path / "o")


@pytest.mark.slow
def test_full_disk_leaves_nothing(tiny_keras: Path, photos: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: both fail in write()."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "import tensorflow, numpy;"
        "from edgequant.cli.main import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600));"
        "main(sys.argv[1:])"
    )
    arguments = ["quantize", "--model", tiny_keras, "--recipe", "onnx-float32"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments), "--output", str(tmp_path / "o")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "has room" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any((tmp_path / "o").iterdir())


def test_killed_in_the_middle_leaves_no_artifact(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    command = ["quantize", "--model", tiny_keras, "--recipe", "tflite-int8"]
    arguments = [*command, "--calibration", f"{photos}:train", "--output", tmp_path]
    child = subprocess.Popen(
        [sys.executable, "-m", "edgequant", *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".writing-*")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not list(tmp_path.glob("*.tflite"))
    assert run(*arguments).code == 0
    assert not list(tmp_path.glob(".writing-*")), "what the killed run left is cleared"


def test_an_unbuilt_model_and_other_odd_paths(
    run: Run, tiny_int8: Path, photos: Path, tmp_path: Path
) -> None:
    import keras

    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Dense(3)]).save(tmp_path / "m.keras")
    quantize = ("quantize", "--recipe", "tflite-float32", "--output", tmp_path / "o", "--model")
    data = ("--data", f"{photos}:test")
    assert_refused(
        run(*quantize, tmp_path / "m.keras", "--mean", "0", "--std", "1"), tmp_path / "o"
    )
    assert_refused(run(*quantize, "."), tmp_path / "o")
    assert_refused(
        run(*quantize, "mobilenet_v2_small", "--max-drop", "1"), tmp_path / "o", "--data"
    )
    missing = run("evaluate", tiny_int8, *data, "--reference", tmp_path / "no.onnx")
    assert_refused(missing, tmp_path / "o", "does not exist")
    for limit in ("nan", "inf"):
        gate = run("evaluate", tiny_int8, *data, "--reference", "x.keras", "--max-drop", limit)
        assert_refused(gate, tmp_path / "o", limit)


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    outcome = run("evaluate", tmp_path / "none.tflite", "--data", "fashion_mnist:test", "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
