"""Training of the study's networks: one recipe for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.base import Dataset
from models.training.run import TrainingRecipe, TrainingResult, train
from studies.relu6 import checkpoints
from studies.relu6.networks import Variant

RECIPE = TrainingRecipe(
    epochs=4,
    batch_size=64,
    learning_rate=0.05,
    warmup_epochs=0.3,
    ema_momentum=0.99,
    shift=1,
    erase=0.0,
)
"""The shipped network's recipe with half the batch and half the rate, for a short schedule."""

TUNING = replace(RECIPE, epochs=1, learning_rate=0.01, warmup_epochs=0.1)
"""Recipe for a network that has been trained with another activation."""


def train_all(
    networks: Iterable[Variant],
    dataset: Dataset,
    states: Path,
    folder: Path,
    *,
    recipe: TrainingRecipe = RECIPE,
    tuning: TrainingRecipe = TUNING,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Train networks one after another and write their checkpoints.

    A killed run continues at its last epoch; a network with a checkpoint is skipped.

    Args:
        networks: networks in the order of training.
        dataset: training split; its end is reserved for development.
        states: folder of unfinished runs and weights, with one folder per network.
        folder: folder of the checkpoints.
        recipe: recipe of the training; its seed is replaced by the network's.
        tuning: recipe for networks that begin with the weights of another one; its seed is
            replaced too.
        tell: called with one line per epoch and one line per network.
    """
    for variant in networks:
        if checkpoints.path_of(folder, variant.name).is_file():
            continue
        chosen = recipe if variant.origin is None else tuning
        weights = _beginning(variant, folder)
        chosen = replace(chosen, seed=variant.seed)
        result = _trained(variant, dataset, chosen, states, tell, weights)
        spec = variant.spec()
        model = spec.build(spec)
        model.load_weights(result.weights)
        card = json.loads(result.card.read_text(encoding="utf-8"))
        checkpoints.save(model, card_of(variant, card), folder, variant.name)
        tell(f"{variant.name}: development top-1 {result.development_accuracy:.2f} %")
        _forget()


def _beginning(variant: Variant, folder: Path) -> list[np.ndarray] | None:
    origin = variant.origin
    if origin is None:
        return None
    weights: list[np.ndarray] = checkpoints.load(origin.spec(), folder, origin.name).get_weights()
    return weights


def card_of(variant: Variant, trained: dict[str, Any]) -> dict[str, Any]:
    """Card of a checkpoint, from the card of its training."""
    return {
        "name": variant.name,
        **trained,
        "stem_stride": variant.spec().stem_stride,
        **({"began_as": variant.origin.name} if variant.origin else {}),
        "command": "edgequant study relu6 --retrain",
        "stored": "kernels in float16, the rest in float32",
    }


def _trained(
    variant: Variant,
    dataset: Dataset,
    recipe: TrainingRecipe,
    states: Path,
    tell: Callable[[str], None],
    weights: list[np.ndarray] | None,
) -> TrainingResult:
    def on_epoch(epoch: int, figures: dict[str, float]) -> None:
        shown = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
        tell(f"{variant.name} epoch {epoch}/{recipe.epochs}: {shown}")

    output = states / variant.name
    return train(
        variant.spec(), dataset, recipe, output, weights=weights, verbose=0, on_epoch=on_epoch
    )


def _forget() -> None:
    """Release the last network: Keras holds every network that was built."""
    import keras

    keras.backend.clear_session()
