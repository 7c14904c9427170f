"""``--max-drop`` repairs on held-out calibration images, and says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgequant.repair.repairer import first_that_holds
from export.target import target_of
from tests.edgequant.conftest import Run, model_and_images, quantize_command


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network with a layer that int8 ruins, and images that it labels itself.

    In each row of ``bad`` one large weight meets a channel that ReLU6 holds at zero, and takes the
    scale of all the others.
    """
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", name="stem")(image)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.Conv2D(12, 1, name="pointwise")(x)
    x = keras.layers.ReLU(6.0, name="bad")(x)  # operators have the name of their result
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(6, name="head")(x))
    kernel, bias = model.get_layer("stem").get_weights()
    bias[:] = 0.5
    bias[0] = -50.0
    model.get_layer("stem").set_weights([kernel * 3, bias])
    kernel, bias = model.get_layer("pointwise").get_weights()
    kernel[:, :, 0] = 2000.0
    model.get_layer("pointwise").set_weights([kernel, bias + 0.5])
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (360, 4, 4, 3))
    pictures = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    scores = np.asarray(model((pictures.astype(np.float32) - 127.5) / 127.5))
    labels = (scores - scores.mean(axis=0)).argmax(axis=1)
    head = model.get_layer("head")
    kernel, bias = head.get_weights()
    head.set_weights([kernel, bias - scores.mean(axis=0)])  # all classes occur
    folder = tmp_path_factory.mktemp("hard")
    return model_and_images(folder, "hard", model, pictures, labels)


def command(hard: tuple[Path, Path], output: Path, *more: object) -> tuple[object, ...]:
    return quantize_command(hard, output, "onnx-int8,tflite-int8", "best", "--json", *more)


def test_a_layer_that_int8_ruins_stays_in_float(
    run: Run, hard: tuple[Path, Path], tmp_path: Path
) -> None:
    kept = run(*command(hard, tmp_path / "kept", "--max-drop", "8", "--max-float-share", "0.9"))
    assert kept.code == 0, kept.err
    for row in kept.json["artifacts"]:
        assert drop(row) <= 8
        (remark,) = (r for r in row["remarks"] if r.startswith("repaired"))
        assert "kept in float32" in remark
        assert "bad (weights alone" in remark
        assert any(remark in r["remarks"] for r in row["report"]["rows"])
        record = json.loads(Path(row["artifact"]).with_suffix(".recipe.json").read_text())
        assert record["repair"]["chosen"]["float_ops"] == record["recipe"]["float_ops"] == ["bad"]
        assert record["repair"]["holds"]
        assert record["repair"]["steps"][0]["drop"] > 8
        path = Path(row["artifact"])
        card = target_of(path).read_card(path)
        assert card is not None
        assert card.recipe.settings.float_ops == ("bad",)
    assert "bad" in kept.err
    again = run(*command(hard, tmp_path / "kept", "--max-drop", "8", "--max-float-share", "0.9"))
    assert all(row["unchanged"] for row in again.json["artifacts"])
    model, data = hard
    by_hand = run(
        "quantize", "--model", model, "--recipe", "onnx-int8,tflite-int8", "--optimize", "best",
        "--calibration", f"{data}:train", "--keep-float", "bad", "--output", tmp_path / "hand",
        "--json",
    ).json["artifacts"]  # fmt: skip
    for one, two in zip(by_hand, kept.json["artifacts"], strict=True):
        assert one["sha256"] == two["sha256"]


def drop(row: dict) -> float:
    return next(r["drop"] for r in row["report"]["rows"] if "drop" in r)


def test_a_gate_that_no_plan_keeps_fails_and_says_so(
    run: Run, hard: tuple[Path, Path], tmp_path: Path
) -> None:
    failed = run(*command(hard, tmp_path, "--max-drop", "-1", "--max-float-share", "0.9"))
    assert failed.code == 1
    assert "no plan within --max-float-share kept --max-drop -1" in failed.err
    assert len(failed.json["artifacts"]) == 2


def test_without_need_nothing_changes(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    base = (
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--calibration",
        f"{photos}:train", "--data", f"{photos}:test", "--json",
    )  # fmt: skip
    plain = run(*base, "--output", tmp_path / "a").json
    gated = run(*base, "--output", tmp_path / "b", "--max-drop", "100").json
    assert plain["sha256"] == gated["sha256"]
    assert not any("repaired" in remark for remark in gated["remarks"])


def test_float_operators_of_a_recipe_without_a_plan_are_refused(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    for recipe, more in (("tflite-float16", ()), ("onnx-int8", ("--optimize", "converter"))):
        outcome = run(
            "quantize", "--model", tiny_keras, "--recipe", recipe, *more, "--keep-float", "conv2d",
            "--calibration", f"{photos}:train", "--output", tmp_path / "o",
        )  # fmt: skip
        assert outcome.code == 2
        assert f"--keep-float with {recipe}" in outcome.err
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("count", range(1, 20))
def test_the_first_that_holds_is_found(count: int) -> None:
    for least in range(count + 1):
        tried: list[int] = []

        def holds(number: int, least: int = least, tried: list[int] = tried) -> bool:
            assert number not in tried
            tried.append(number)
            return number >= least

        assert first_that_holds(count, holds) == (least if least < count else None)
        assert len(tried) <= 2 * np.log2(count + 1) + 1
    assert first_that_holds(0, lambda _: True) is None
