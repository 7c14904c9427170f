"""``--keep-int16`` and ``--repair-with int16``: operators in int16x8 from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from network.tflite.reader import read_flat_model
from tests.edgequant.conftest import Outcome, Run, model_and_images, quantize_command


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network whose answers hang on differences below an int8 step of its activations.

    Pictures are faint, but for one bright block in each, somewhere, which sets the ranges.
    """
    import keras

    keras.utils.set_random_seed(4)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(16, 4, strides=4, name="large")(image)
    x = keras.layers.Conv2D(16, 1, name="inner")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(6, name="head")(x))
    rng = np.random.default_rng(2)
    pictures = rng.integers(126, 131, (400, 4, 4, 3))
    places = rng.integers(0, 4, (2, len(pictures)))
    pictures[np.arange(len(pictures)), *places] = 255
    pictures = pictures.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    scores = np.asarray(model((pictures.astype(np.float32) - 127.5) / 127.5))
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel, bias - np.median(scores, axis=0)])
    labels = (scores - np.median(scores, axis=0)).argmax(axis=1)
    folder = tmp_path_factory.mktemp("coarse")
    return model_and_images(folder, "coarse", model, pictures, labels)


def command(coarse: tuple[Path, Path], output: Path, *more: object) -> tuple[object, ...]:
    return quantize_command(coarse, output, "tflite-int8", "fast", "--json", *more)


def drop(outcome: Outcome) -> float:
    return next(row["drop"] for row in outcome.json["report"]["rows"] if "drop" in row)


def computed(path: str) -> set[tuple[str, str]]:
    graph = read_flat_model(Path(path)).subgraphs[0]
    return {(graph.compute(op), op.name) for op in graph.operators}


def test_named_operators_get_int16_activations(
    run: Run, coarse: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = run(*command(coarse, tmp_path / "plain"))
    wide = run(*command(coarse, tmp_path / "wide", "--keep-int16", "large,inner,pool"))
    assert wide.code == 0, wide.err
    assert drop(wide) < drop(plain) - 2
    assert ("int16", "CONV_2D") in computed(wide.json["artifact"])
    assert ("int16", "CONV_2D") not in computed(plain.json["artifact"])
    record = json.loads(Path(wide.json["artifact"]).with_suffix(".recipe.json").read_text())
    assert record["recipe"]["wide_ops"] == ["inner", "large", "pool"]
    again = run(*command(coarse, tmp_path / "wide", "--keep-int16", "large,inner,pool"))
    assert again.json["unchanged"]
    plan = Path(wide.json["artifact"]).with_suffix(".plan")
    shown = run("plan", "show", plan, "--json").json
    assert shown["wide_ops"] == ["large", "inner", "pool"]
    applied = run(
        "plan", "apply", plan, "--model", coarse[0], "--recipe", "tflite-int8",
        "--output", tmp_path / "applied", "--json",
    )  # fmt: skip
    assert applied.json["recipe"] == "tflite-int8"
    assert computed(applied.json["artifact"]) == computed(wide.json["artifact"])


def test_repair_with_int16_takes_the_fewest_that_lose_least(
    run: Run, coarse: tuple[Path, Path], tmp_path: Path
) -> None:
    more = ("--max-drop", "-1", "--repair-with", "int16", "--max-float-share", "1")
    tried = run(*command(coarse, tmp_path / "kept", *more))
    assert tried.code == 1  # no plan gains a point
    (remark,) = (r for r in tried.json["remarks"] if r.startswith("repaired"))
    assert "kept in int16x8" in remark
    record = json.loads(Path(tried.json["artifact"]).with_suffix(".recipe.json").read_text())
    repair = record["repair"]
    assert repair["chosen"]["float_ops"] == []
    assert record["recipe"]["wide_ops"] == repair["chosen"]["wide_ops"] != []
    narrow = min(step["drop"] for step in repair["steps"] if not step["wide_ops"])
    assert repair["chosen"]["drop"] < narrow
    assert not any(dtype == "float32" for dtype, _ in computed(tried.json["artifact"]))


@pytest.mark.parametrize(
    ("recipe", "more", "words"),
    [
        ("onnx-int8", ("--keep-int16", "large"), ("onnx-int8",)),
        ("onnx-int8", ("--max-drop", "1", "--repair-with", "int16"), ("onnx-int8",)),
        ("tflite-float16", ("--keep-int16", "large"), ("--keep-int16", "tflite-float16")),
        ("tflite-int8", ("--keep-int16", "nobody"), ("nobody",)),
        ("tflite-int8", ("--keep-int16", "large", "--keep-float", "large"), ("both for large",)),
    ],
)
def test_what_cannot_be_kept_in_int16(
    run: Run, coarse: tuple[Path, Path], tmp_path: Path, recipe: str, more: tuple[str, ...],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    outcome = run(*quantize_command(coarse, tmp_path / "o", recipe, "fast", *more))
    assert outcome.code == 2, outcome
    for word in words:
        assert word in outcome.err
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())
