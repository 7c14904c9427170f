"""Networks of every task through the command line: measured, gated, repaired and explained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.edgequant.conftest import Run

COUNT = 48
CONTRACT = 'size = [16, 16]\ncrop = "exact"\n'


def pictures() -> np.ndarray:
    """Random pixels under random shades, so that the means of the colours differ."""
    rng = np.random.default_rng(0)
    shades = rng.uniform(0.2, 1, (COUNT, 1, 1, 3))
    return (rng.integers(0, 256, (COUNT, 16, 16, 3)) * shades).astype(np.uint8)


def network(path: Path, width: int, activation: str | None) -> Path:
    """A convolution, and scores that depend on the means of the colours."""
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    out = keras.layers.Dense(width, activation=activation, name="answers")(x)
    keras.Model(image, out).save(path)
    path.with_suffix(".toml").write_text(CONTRACT)
    return path


def data(folder: Path, name: str, labels: np.ndarray) -> Path:
    half, images = COUNT // 2, pictures()
    np.savez(
        folder / f"{name}.npz",
        images_train=images[:half], labels_train=labels[:half],
        images_test=images[half:], labels_test=labels[half:],
    )  # fmt: skip
    return folder / f"{name}.npz"


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Network and labelled images by task."""
    folder = tmp_path_factory.mktemp("tasks")
    means = pictures().mean((1, 2)) / 127.5 - 1
    yes = (means > np.median(means, axis=0)).astype(np.int64)
    rows: dict[str, tuple[int, str | None, np.ndarray]] = {
        "binary": (1, "sigmoid", yes[:, 0]),
        "multi-label": (3, "sigmoid", yes),
        "regression": (2, None, means[:, :2].astype(np.float32)),
        "embedding": (6, None, yes[:, 0]),
    }
    return {
        task: (network(folder / f"{task}.keras", width, end), data(folder, task, labels))
        for task, (width, end, labels) in rows.items()
    }


def quantize(run: Run, subject: tuple[Path, Path], output: Path, *more: object) -> Any:
    model, images = subject
    return run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--optimize", "fast",
        "--calibration", f"{images}:train", "--data", f"{images}:test", "--output", output, *more,
    )  # fmt: skip


FOUND = {"binary": (), "multi-label": (), "regression": (), "embedding": ("--task", "embedding")}
FIRST = {
    "binary": ("accuracy", "roc_auc"),
    "multi-label": ("map", "f1_macro"),
    "regression": ("mae", "r2"),
    "embedding": ("retrieval_at_1", "cosine"),
}


@pytest.mark.parametrize("task", FOUND)
def test_a_file_is_made_measured_and_measured_again(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path, task: str
) -> None:
    model, images = subjects[task]
    made = quantize(run, subjects[task], tmp_path, *FOUND[task], "--json").json
    row = made["report"]["rows"][-1]
    assert row["task"] == task
    assert set(FIRST[task]) <= set(row["metrics"])
    assert "top1" not in row
    assert row["drop_interval"][0] <= row["drop"] <= row["drop_interval"][1]
    assert row["sqnr_db"] > 20
    # The card says the task: nothing is stated again.
    again = run(
        "evaluate", made["artifact"], "--data", f"{images}:test", "--reference", model, "--json",
        *(("--task", task) if task == "embedding" else ()),
    ).json  # fmt: skip
    assert again["task"] == task
    assert again["metrics"] == pytest.approx(row["metrics"])
    assert again["drop"] == pytest.approx(row["drop"])
    text = Path(made["artifact"]).with_suffix(".report.md").read_text()
    assert "top-1" not in text
    assert f"n = {COUNT // 2} images" in text
    card = json.loads(Path(made["artifact"]).with_suffix(".recipe.json").read_text())
    assert card["preprocessing"]["task"] == task


def test_an_output_that_can_mean_several_things_is_asked_for(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    model, _ = subjects["embedding"]
    unlabelled = tmp_path / "photos.npy"
    np.save(unlabelled, pictures()[:8])
    refused = run("evaluate", model, "--data", unlabelled)
    assert refused.code == 2
    assert refused.err.startswith("edgequant: measuring needs to know what an output means")
    assert "give --task (classification, binary, multi-label, regression, " in refused.err
    assert refused.err.count("\n") == 1
    asked = run("evaluate", model, "--data", unlabelled, "--task", "embedding", "--json")
    assert asked.json["task"] == "embedding"
    # What is not measured is not asked about.
    made = run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--optimize", "fast",
        "--calibration", unlabelled, "--output", tmp_path / "o", "--json",
    )  # fmt: skip
    assert made.code == 0


def test_labels_for_another_task_are_refused_before_anything_is_made(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    model, _ = subjects["binary"]
    for other, words in (("multi-label", "3 columns"), ("regression", "2 columns")):
        images = subjects[other][1]
        refused = quantize(run, (model, images), tmp_path / "o")
        assert refused.code == 2
        assert "0 for no and 1 for yes" in refused.err
        assert words in refused.err
    refused = quantize(run, (subjects["multi-label"][0], subjects["regression"][1]), tmp_path / "o")
    assert "a table of 0 and 1, 3 for each image; received 2 columns" in refused.err
    broken = data(tmp_path, "nan", np.full((COUNT, 2), np.nan))
    refused = quantize(run, (subjects["regression"][0], broken), tmp_path / "o")
    assert refused.err.startswith("edgequant: targets are finite numbers; received NaN")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("threshold", ["0", "1", "1.5", "-0.1", "nan"])
def test_thresholds_outside_0_and_1_are_refused(
    run: Run, subjects: dict[str, tuple[Path, Path]], threshold: str
) -> None:
    model, images = subjects["binary"]
    refused = run("evaluate", model, "--data", f"{images}:test", "--threshold", threshold)
    assert refused.code == 2
    assert "--threshold" in refused.err


def test_a_threshold_decides(run: Run, subjects: dict[str, tuple[Path, Path]]) -> None:
    model, images = subjects["binary"]
    low, high = (
        run("evaluate", model, "--data", f"{images}:test", "--threshold", t, "--json").json
        for t in ("0.001", "0.999")
    )
    share = float(np.load(images)["labels_test"].mean())
    assert low["metrics"]["accuracy"] == pytest.approx(100 * share)
    assert high["metrics"]["accuracy"] == pytest.approx(100 * (1 - share))
    assert low["metrics"]["f1"] == pytest.approx(200 * share / (1 + share))
    assert low["metrics"]["roc_auc"] == high["metrics"]["roc_auc"]
    refused = run("evaluate", model, "--data", f"{images}:test", "--task", "regression",
                  "--threshold", 0.5)  # fmt: skip
    assert "a threshold goes with the tasks binary and multi-label" in refused.err


def test_a_limit_is_in_the_unit_of_the_task(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    kept = quantize(run, subjects["regression"], tmp_path / "k", "--max-drop", 500)
    assert kept.code == 0
    failed = quantize(
        run, subjects["regression"], tmp_path / "f", "--max-drop", -500, "--max-float-share", 0
    )
    assert failed.code == 1
    assert "MAE grows by at most -500 in the unit of the targets (--max-drop)" in failed.err
    report = json.loads(next((tmp_path / "f").glob("*.recipe.json")).read_text())
    steps = report["repair"]["steps"]
    assert all(abs(step["drop"]) < 1 and step["agreement"] > 5 for step in steps)
    refused = quantize(run, subjects["binary"], tmp_path / "p", "--max-drop", 101)
    assert "percentage points from -100 to 100; received 101" in refused.err


def test_class_folders_of_two_are_no_and_yes(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    from PIL import Image

    yes = np.load(subjects["binary"][1])["labels_test"]
    for number, (image, answer) in enumerate(zip(pictures()[COUNT // 2 :], yes, strict=True)):
        folder = tmp_path / "pets" / ("cat", "dog")[answer]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    model, images = subjects["binary"]
    arrays = run("evaluate", model, "--data", f"{images}:test", "--json").json
    folders = run("evaluate", model, "--data", tmp_path / "pets", "--json").json
    assert folders["metrics"] == pytest.approx(arrays["metrics"])


def test_sensitivity_ranks_by_noise_where_there_are_no_classes(
    run: Run, subjects: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    model, images = subjects["regression"]
    ranked = run(
        "sensitivity", "--model", model, "--calibration", f"{images}:train", "--optimize", "fast",
        "--output", tmp_path, "--json",
    ).json  # fmt: skip
    assert ranked["top1"] is None
    assert all(row["activations"]["drop"] is None for row in ranked["rows"] if row["activations"])
    assert "noise alone" in next(tmp_path.glob("*.html")).read_text()


def test_lint_does_not_take_one_score_for_one_answer(
    run: Run, subjects: dict[str, tuple[Path, Path]]
) -> None:
    model, images = subjects["binary"]
    checked = run("lint", model, "--data", f"{images}:test", "--task", "binary", "--json").json
    rows = {row["check"]: row for row in checked["checks"]}
    assert rows["constant-output"]["state"] == "clean"
    assert "no class to be right about" in str(rows)


def test_two_outputs_are_measured_by_the_columns_of_their_names(run: Run, tmp_path: Path) -> None:
    import keras
    from PIL import Image

    keras.utils.set_random_seed(5)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    age = keras.layers.Dense(1, name="age")(x)
    glad = keras.layers.Dense(1, activation="sigmoid", name="glad")(x)
    keras.Model(image, [age, glad]).save(tmp_path / "two.keras")
    (tmp_path / "two.toml").write_text(CONTRACT)
    means = pictures().mean((1, 2))
    for split, numbers in (("train", range(24)), ("test", range(24, COUNT))):
        (tmp_path / split).mkdir()
        lines = ["file,glad,age"]
        for number in numbers:
            Image.fromarray(pictures()[number]).save(tmp_path / split / f"{number}.png")
            lines.append(f"{number}.png,{int(means[number, 0] > 80)},{means[number, 1]:.3f}")
        (tmp_path / split / "labels.csv").write_text("\n".join(lines))
    command = (
        "quantize", "--model", tmp_path / "two.keras", "--recipe", "tflite-int8", "--optimize",
        "fast", "--calibration", f"{tmp_path}:train", "--data", f"{tmp_path}:test", "--output",
        tmp_path / "out", "--json",
    )  # fmt: skip
    made = run(*command).json
    rows = made["report"]["rows"]
    tasks = [(row["output"], row["task"], "drop" in row) for row in rows]
    assert tasks == [
        ("age", "regression", False),
        ("age", "regression", True),
        ("glad", "binary", False),
        ("glad", "binary", True),
    ]
    assert all(row["sqnr_db"] > 15 for row in rows[1::2])
    again = run(
        "evaluate", made["artifact"], "--data", f"{tmp_path}:test", "--reference",
        tmp_path / "two.keras", "--json",
    ).json  # fmt: skip
    for row, before in zip(again["outputs"], rows[1::2], strict=True):
        assert row["output"] == before["output"]
        assert row["metrics"] == pytest.approx(before["metrics"])
    failed = run(*command, "--max-drop", -1000, "--max-float-share", 0)
    assert failed.code == 1
    assert "MAE grows and accuracy falls by at most -1000" in failed.err
    assert re.search(r"the best of them loses -?[\d.]+ \((age|glad)\)", failed.err)
