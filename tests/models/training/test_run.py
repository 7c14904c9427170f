"""Training runs: whole, killed and resumed, diverging, and beside weights that exist."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from foundation.errors import GateFailedError, InvalidInputError
from models.blocks import Activation
from models.spec import ModelSpec, model_spec
from models.training.recipe import TrainingRecipe, augment
from models.training.run import TrainingResult, train
from models.weights.named import build_with_weights
from tests.models.networks import pictures, tiny_spec

RECIPE = TrainingRecipe(epochs=2, batch_size=16, holdout=16, learning_rate=0.05)


def _weights(result: TrainingResult) -> list[np.ndarray]:
    return list(build_with_weights(tiny_spec(), str(result.weights)).get_weights())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """Result of an uninterrupted run."""
    return train(tiny_spec(), pictures(), RECIPE, tmp_path_factory.mktemp("whole"), verbose=0)


def test_a_run_writes_weights_and_a_card(whole: TrainingResult) -> None:
    assert whole.development_images == 16
    assert 0 <= whole.development_accuracy <= 100
    card = json.loads(whole.card.read_text(encoding="utf-8"))
    assert card["model"] == "mobilenet_v2_small"
    assert card["data"] == {
        "name": "random:train",
        "training_images": 64,
        "development_images": 16,
    }
    assert TrainingRecipe(**card["recipe"]) == RECIPE
    assert card["development_top1_percent"] == pytest.approx(whole.development_accuracy, abs=0.01)
    assert card["versions"]["keras"] == keras.__version__
    words = card["command"].split()
    assert words[:4] == ["edgequant", "train", "--model", "mobilenet_v2_small"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert given == {
        "--model": "mobilenet_v2_small",
        "--data": "random:train",
        "--alpha": "1.0",
        "--size": "16",
        "--epochs": "2",
        "--batch-size": "16",
        "--learning-rate": "0.05",
        "--holdout": "16",
    }


def test_the_weights_are_trained_and_free_of_optimizer_slots(whole: TrainingResult) -> None:
    keras.utils.set_random_seed(RECIPE.seed)
    start = build_with_weights(tiny_spec(), f"random:{RECIPE.seed}").get_weights()
    trained = _weights(whole)
    assert max(np.abs(a - b).max() for a, b in zip(start, trained, strict=True)) > 1e-3
    values = sum(weight.nbytes for weight in trained)
    assert whole.weights.stat().st_size < 2 * values + 100_000
    import h5py

    with h5py.File(whole.weights) as archive:
        assert "optimizer" not in archive


@pytest.mark.slow
def test_a_run_that_is_killed_and_goes_on_ends_as_if_nothing_had_been(
    whole: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs: list[int] = []

    def stop(epoch: int, figures: dict[str, float]) -> None:
        epochs.append(epoch)
        assert set(figures) == {"accuracy", "loss", "top-1"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0, on_epoch=stop)
    assert not (tmp_path / "mobilenet_v2_small.weights.h5").exists()
    keras.utils.set_random_seed(99)  # another process starts with other generators
    capsys.readouterr()
    went_on = train(
        tiny_spec(), pictures(), RECIPE, tmp_path, verbose=1, on_epoch=lambda e, _: epochs.append(e)
    )
    assert epochs == [1, 2]
    bar = capsys.readouterr().out
    assert "Epoch 2/2" in bar
    assert "4/4" in bar
    for one, two in zip(_weights(whole), _weights(went_on), strict=True):
        # Bit for bit on one machine; elsewhere threads may add in another order.
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert went_on.development_accuracy == whole.development_accuracy


def test_a_run_that_is_done_is_not_run_again(whole: TrainingResult) -> None:
    before = _weights(whole)
    epochs: list[int] = []
    again = train(
        tiny_spec(),
        pictures(),
        RECIPE,
        whole.weights.parent,
        verbose=0,
        on_epoch=lambda epoch, _: epochs.append(epoch),
    )
    assert epochs == []
    for one, two in zip(before, _weights(again), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("change", ["recipe", "alpha", "activation", "data"])
def test_the_state_of_another_run_is_refused(whole: TrainingResult, change: str) -> None:
    spec: ModelSpec = tiny_spec()
    recipe, dataset = RECIPE, pictures()
    if change == "recipe":
        recipe = replace(recipe, seed=2)
    elif change == "data":
        dataset = replace(dataset, name="another:train")
    elif change == "alpha":
        spec = replace(spec, alpha=0.5)
    else:
        spec = replace(spec, activation=Activation.SWISH)
    with pytest.raises(InvalidInputError, match="state of another run"):
        train(spec, dataset, recipe, whole.weights.parent, verbose=0)


@pytest.mark.parametrize("damage", ["progress", "empty weights", "no weights", "other weights"])
def test_a_damaged_state_is_refused(whole: TrainingResult, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (old,) = (whole.weights.parent / "state").glob("epoch-*")
    progress = (whole.weights.parent / "state" / "progress.json").read_bytes()
    (state / "progress.json").write_bytes(b"{" if damage == "progress" else progress)
    if damage == "empty weights":
        (state / old.name).write_bytes(b"")
    elif damage == "other weights":
        with (state / old.name).open("wb") as handle:
            np.savez(handle, np.zeros(3))
    with pytest.raises(InvalidInputError, match="state of an unfinished run can be read"):
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0)


@pytest.mark.parametrize("name", ["mobilenet_v2_small.weights.h5", "mobilenet_v2_small.card.json"])
def test_weights_that_are_there_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"good")
    with pytest.raises(
        InvalidInputError, match=rf"does not replace existing weights.*{name}.*--force"
    ):
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"good"


def test_a_run_that_is_done_does_not_replace_weights_that_came_after_it(
    whole: TrainingResult, tmp_path: Path
) -> None:
    shutil.copytree(whole.weights.parent, tmp_path / "copy")
    weights = tmp_path / "copy" / whole.weights.name
    weights.write_bytes(b"better")
    with pytest.raises(InvalidInputError, match="which exists"):
        train(tiny_spec(), pictures(), RECIPE, tmp_path / "copy", verbose=0)
    assert weights.read_bytes() == b"better"


def test_weights_that_got_lost_after_a_run_are_written_again(
    whole: TrainingResult, tmp_path: Path
) -> None:
    shutil.copytree(whole.weights.parent, tmp_path / "copy")
    (tmp_path / "copy" / whole.weights.name).unlink()
    again = train(tiny_spec(), pictures(), RECIPE, tmp_path / "copy", verbose=0)
    for one, two in zip(_weights(whole), _weights(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_file_in_the_place_of_the_folder_is_known_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    epochs: list[int] = []
    with pytest.raises(InvalidInputError, match="is writable"):
        train(
            tiny_spec(), pictures(), RECIPE, tmp_path / "file", verbose=0,
            on_epoch=lambda epoch, _: epochs.append(epoch),
        )  # fmt: skip
    assert epochs == []


def _poisoned(first: int) -> Callable[..., np.ndarray]:
    """Augmentation whose images are NaN from an epoch on, counted from 0."""

    def augmented(
        images: np.ndarray, recipe: TrainingRecipe, rng: np.random.Generator
    ) -> np.ndarray:
        epoch = rng.bit_generator.seed_seq.entropy[1]  # type: ignore[attr-defined]
        return augment(images, recipe, rng) if epoch < first else images * np.float32(np.nan)

    return augmented


def test_a_run_that_diverges_fails_and_leaves_the_weights_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, card = (tmp_path / f"mobilenet_v2_small.{e}" for e in ("weights.h5", "card.json"))
    weights.write_bytes(b"good")
    card.write_bytes(b"{}")
    monkeypatch.setattr("models.training.data.augment", _poisoned(0))
    with pytest.raises(
        GateFailedError, match=r"loss of nan in epoch 1: .* were not changed"
    ) as stopped:
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0, force=True)
    assert stopped.value.exit_code == 1
    assert (weights.read_bytes(), card.read_bytes()) == (b"good", b"{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [card.name, weights.name]


@pytest.mark.slow
def test_a_run_that_diverges_later_leaves_its_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.data.augment", _poisoned(1))
    with pytest.raises(GateFailedError, match=r"in epoch 2: .* of epoch 1, are in"):
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0)
    card = json.loads((tmp_path / "mobilenet_v2_small.card.json").read_text())
    assert card["epoch"] == 1
    found = build_with_weights(tiny_spec(), str(tmp_path / "mobilenet_v2_small.weights.h5"))
    assert all(np.isfinite(values).all() for values in found.get_weights())
    monkeypatch.undo()
    with pytest.raises(InvalidInputError, match="--force"):
        train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0)
    anew = train(tiny_spec(), pictures(), RECIPE, tmp_path, verbose=0, force=True)
    assert json.loads(anew.card.read_text())["recipe"]["epochs"] == 2


def test_fewer_images_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="one batch of 16 images; received 4"):
        train(tiny_spec(), pictures(20), RECIPE, tmp_path, verbose=0)


def test_labels_that_the_network_does_not_have_are_refused(tmp_path: Path) -> None:
    dataset = pictures()
    with pytest.raises(InvalidInputError, match="label 10 in random"):
        train(tiny_spec(), replace(dataset, labels=dataset.labels + 1), RECIPE, tmp_path)
    with pytest.raises(InvalidInputError, match="is a label of the model"):
        train(tiny_spec(), replace(dataset, class_names=tuple("abcdefghij")), RECIPE, tmp_path)


def test_an_image_that_does_not_fit_is_named(tmp_path: Path) -> None:
    dataset = replace(pictures(), decode=lambda i: np.zeros((17, 17), np.uint8))
    with pytest.raises(InvalidInputError, match=r"17x17 \(image 0 of random"):
        train(tiny_spec(), dataset, RECIPE, tmp_path, verbose=0)


@pytest.mark.slow
def test_the_shipped_network_trains_on_from_where_it_was(tmp_path: Path) -> None:
    spec = replace(model_spec("mobilenet_v2_small"), alpha=0.1)
    through = train(spec, pictures(), RECIPE, tmp_path / "through", verbose=0)

    def stop(epoch: int, figures: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, pictures(), RECIPE, tmp_path / "on", verbose=0, on_epoch=stop)
    on = train(spec, pictures(), RECIPE, tmp_path / "on", verbose=0)
    first, second = (
        build_with_weights(spec, str(result.weights)).get_weights() for result in (through, on)
    )
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_fine_tuning_begins_with_the_weights_that_it_is_given(tmp_path: Path) -> None:
    spec = tiny_spec()
    given = build_with_weights(spec, "random:7").get_weights()
    still = replace(RECIPE, epochs=1, learning_rate=1e-9)
    found = spec.build(spec)
    found.load_weights(train(spec, pictures(40), still, tmp_path, weights=given, verbose=0).weights)
    begun = spec.build(spec)
    begun.set_weights(given)
    for one, two in zip(found.trainable_variables, begun.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(two), atol=1e-5)
