"""Bundles of C: written, verified, limited, and named by a prefix."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edgequant.artifacts import read_json
from edgequant.loading import load
from edgequant.memory_plan import planned
from edgequant.ship.bundle import MANIFEST
from edgequant.ship.smaller import Advisor
from export.c.patches import Patches
from models.loading.request import ModelRequest
from tests.edgequant.conftest import Run


def ship(run: Run, model: Path, photos: Path, output: Path, *more: object):
    return run(
        "ship", "--model", model, "--calibration", f"{photos}:train", "--vectors", 2,
        "--for", "c", "--output", output, *more,
    )  # fmt: skip


@pytest.mark.slow
def test_a_bundle_of_c_is_proved_and_verified(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-sram", "1M")
    assert outcome.code == 0, outcome.err
    assert {"car.h", "car.c", "car_kernels.c", "car_weights.c"} <= {
        path.name for path in (out / "c").iterdir()
    }
    target = read_json(out / MANIFEST)["targets"]["c"]
    verdicts = {proof["name"]: proof["verdict"] for proof in target["proofs"]}
    assert verdicts["litert"] == "proven"
    assert verdicts["c99"] == ("proven" if shutil.which("cc") else "not run")
    assert target["budgets"][0]["sram"] > 0
    assert run("verify", out).code == 0
    limited = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-sram", "1K")
    assert limited.code == 1
    assert "c takes at most 1,024 bytes of sram" in limited.err
    counted = ship(run, tiny_keras, photos, out, "--prefix", "car", "--max-instructions", 1)
    assert counted.code == 1
    assert "--max-instructions" in counted.err


def test_a_limit_of_instructions_is_of_c_alone(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "ship", "--model", tiny_keras, "--calibration", f"{photos}:train", "--for", "onnx-mobile",
        "--output", tmp_path / "out", "--max-instructions", 5,
    )  # fmt: skip
    assert outcome.code == 2
    assert "--max-instructions is a limit of c" in outcome.err


def test_a_prefix_is_refused_before_anything_is_made(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--prefix", "int")
    assert outcome.code == 2
    assert "--prefix takes a C identifier" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_folder_without_cmsis_nn_is_refused_before_anything_is_made(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--cmsis-nn", photos)
    assert outcome.code == 2
    assert "--cmsis-nn takes a folder with CMSIS-NN's sources" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose first stages are too wide for small chips unless by patches."""
    import keras

    keras.utils.set_random_seed(4)
    image = keras.Input((48, 48, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="one")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu", name="two")(x)
    x = keras.layers.Conv2D(32, 1, activation="relu", name="three")(x)
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", name="four")(x)
    x = keras.layers.Conv2D(8, 1, name="five")(x)
    x = keras.layers.GlobalAveragePooling2D(name="six")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="seven")(x))
    folder = tmp_path_factory.mktemp("wide")
    model.save(folder / "wide.keras")
    (folder / "wide.toml").write_text(
        'size = [48, 48]\ncrop = "stretch"\nmean = 127.5\nstd = 127.5\nlabels = ["a", "b", "c"]\n'
    )
    return folder / "wide.keras"


def arena(outcome_of: Path) -> int:
    return int(read_json(outcome_of / MANIFEST)["targets"]["c"]["budgets"][0]["sram"])


@pytest.mark.slow
def test_patches_are_cut_for_a_limit_and_verified(
    run: Run, wide: Path, photos: Path, tmp_path: Path
) -> None:
    plan = run("cost", "--model", wide, "--plan", "--json").json["plan"]
    least = run("cost", "--model", wide, "--plan", "--patches", "auto", "--json").json["plan"]
    assert least["arena_bytes"] < plan["arena_bytes"]
    assert least["patches"]
    limit = (least["arena_bytes"] + plan["arena_bytes"]) // 2
    out = tmp_path / "out"
    outcome = ship(run, wide, photos, out, "--max-sram", limit)
    assert outcome.code == 0, outcome.err
    assert arena(out) <= limit
    header = (out / "c/net.h").read_text()
    assert f"as asked for: at most {limit} bytes." in header
    assert "multiply-adds are done twice" in header
    page = out.with_suffix(".html").read_text()
    assert "Memory of the C sources" in page
    assert "Patch by patch" in page
    assert run("verify", out).code == 0
    whole = tmp_path / "whole"
    refused = ship(run, wide, photos, whole, "--max-sram", limit, "--patches", "none")
    assert refused.code == 1
    assert "give --patches auto, which does" in refused.err
    assert not whole.exists()
    assert ship(run, wide, photos, whole).code == 0
    assert arena(whole) == plan["arena_bytes"]
    refused = ship(run, wide, photos, tmp_path / "no", "--max-sram", "1K")
    assert refused.code == 1
    assert "the least that is found: choose a smaller network or a larger chip" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.slow
def test_a_limit_names_the_widths_and_sizes_that_keep_it() -> None:
    advisor = Advisor(ModelRequest("mobilenet_v2_small"), Patches())
    small = ModelRequest("mobilenet_v2_small", weights="random", size=16)
    least = planned(load(small), small, 1).plan.arena
    assert advisor.remedy("sram", 12_032, 9_000) == (
        f"train with --size 16 ({least:,} bytes), or choose a larger chip"
    )
    assert f"even --size 16 takes {least:,} bytes" in advisor.remedy("sram", 12_032, 1)
    text = advisor.remedy("instructions", 10**8, 5 * 10**7)
    assert re.search(r"--alpha 0.1 \(about \d\d,\d{3},\d{3}\) or --size 16 \(about ", text)
    text = advisor.remedy("flash", 10**6, 8 * 10**5)
    assert re.search(r"--alpha 0.1 \(about 6\d\d,\d{3} bytes\)", text)
    assert "--size" not in text  # weights are the same for every size


def test_another_text_for_patches_is_refused_and_c_alone_has_them(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = ship(run, tiny_keras, photos, tmp_path / "out", "--patches", "many")
    assert outcome.code == 2
    assert "--patches takes none, auto, or a number" in outcome.err
    outcome = run(
        "ship", "--model", tiny_keras, "--calibration", f"{photos}:train", "--for", "onnx-mobile",
        "--output", tmp_path / "out", "--patches", "auto",
    )  # fmt: skip
    assert outcome.code == 2
    assert "--patches is of C sources; received --for onnx-mobile" in outcome.err
    outcome = run("cost", "--model", tiny_keras, "--patches", "2")
    assert outcome.code == 2
    assert "add --plan, or remove --patches" in outcome.err
