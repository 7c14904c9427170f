"""Records of a training run: its key, the command that repeats it, and the card of its weights."""

from __future__ import annotations

import platform
import shlex
from dataclasses import asdict
from typing import Any

from calibration_data.channels import plain_channels
from calibration_data.datasets.base import Dataset
from models.spec import Knob, ModelSpec, model_specs
from models.training.objective import objective_of
from models.training.recipe import Schedule

_OPTIONS = ("epochs", "batch_size", "learning_rate", "holdout", "seed")
"""Fields of the recipe for which ``edgequant train`` has an option."""


def _network(spec: ModelSpec) -> dict[str, Any]:
    return {
        "model": spec.name,
        "alpha": spec.alpha,
        "size": list(spec.preprocessing.size),
        **_channels(spec),
        "classes": spec.classes,
        "activation": spec.activation.value,
        "bottleneck": spec.bottleneck.value,
        "shortcut": spec.shortcut.value,
    }


def _channels(spec: ModelSpec) -> dict[str, Any]:
    """Channels of the input, where they are not colours."""
    contract = spec.preprocessing
    return {} if contract.is_colour else {"channels": plain_channels(contract.channels)}


def run_key(spec: ModelSpec, dataset: Dataset, recipe: Schedule) -> dict[str, Any]:
    """Identity of a run as plain JSON values: network, data and recipe."""
    return {
        **_network(spec),
        "data": dataset.name,
        "images": len(dataset),
        "recipe": asdict(recipe),
    }


def _command(spec: ModelSpec, dataset: Dataset, recipe: Schedule) -> str:
    """Command line of a run; recipe fields without an option are in the card's recipe only."""
    words = ["edgequant", "train", "--model", spec.name, "--data", dataset.name]
    registered = model_specs().get(spec.name, spec)
    usual_recipe = objective_of(spec).recipe
    stated, usual = (plain_channels(s.preprocessing.channels) for s in (spec, registered))
    for option, value, default in (
        ("size", spec.preprocessing.size[0], registered.preprocessing.size[0]),
        ("channels", stated, usual),
        ("classes", spec.classes, registered.classes),
        *((knob.value, getattr(spec, knob), getattr(registered, knob)) for knob in Knob),
        *((name, getattr(recipe, name), getattr(usual_recipe, name)) for name in _OPTIONS),
    ):
        if value != default:
            words += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join(words)


def card(
    spec: ModelSpec, dataset: Dataset, recipe: Schedule, scores: dict[str, float], epoch: int
) -> dict[str, Any]:
    """Card of trained weights, as plain JSON values.

    Args:
        spec: network with its labels.
        dataset: training split, including the development images.
        recipe: recipe of the training.
        scores: score of the development images, by its name.
        epoch: epoch after which the network had these weights.
    """
    import keras
    import tensorflow as tf

    return {
        **_network(spec),
        "labels": list(spec.preprocessing.labels),
        "source": spec.source,
        "command": _command(spec, dataset, recipe),
        "data": {
            "name": dataset.name,
            "training_images": len(dataset) - recipe.holdout,
            "development_images": recipe.holdout,
        },
        "recipe": asdict(recipe),
        **scores,
        "epoch": epoch,
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
