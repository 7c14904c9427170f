"""Training of the study's networks: one recipe for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from calibration_data.datasets.base import Dataset
from models.training import TrainingRecipe, TrainingResult, train
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


@dataclass(frozen=True)
class Trained:
    """A network that is trained, and what its training ended with."""

    variant: Variant
    result: TrainingResult


def train_all(
    networks: Iterable[Variant],
    dataset: Dataset,
    folder: Path,
    *,
    recipe: TrainingRecipe = RECIPE,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Trained]:
    """Train networks one after another; a killed run goes on at the epoch where it was.

    Args:
        networks: in the order of training.
        dataset: training split; its end is kept for development.
        folder: of the states and weights, a folder a network.
        recipe: its seed is replaced by the network's.
        tell: told a line an epoch and a line a network.
    """
    done = []
    for variant in networks:
        output = folder / variant.name

        def on_epoch(epoch: int, figures: dict[str, float], name: str = variant.name) -> None:
            shown = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
            tell(f"{name} epoch {epoch}/{recipe.epochs}: {shown}")

        result = train(
            variant.spec(),
            dataset,
            replace(recipe, seed=variant.seed),
            output,
            verbose=0,
            on_epoch=on_epoch,
        )
        tell(f"{variant.name}: development top-1 {result.development_accuracy:.2f} %")
        done.append(Trained(variant, result))
    return done
