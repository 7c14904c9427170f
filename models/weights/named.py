"""Sources of weights: shipped checkpoints, Keras's download, files, or a seed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.downloads import download
from foundation.errors import InvalidInputError
from foundation.foreign import reading
from models.loading.archives import check_weights_file
from models.loading.files import load_keras_file
from models.spec import ModelSpec
from models.weights.by_shape import assign_by_shape
from models.weights.npm import NpmWeights
from models.weights.tfjs_layers import tfjs_layers

if TYPE_CHECKING:
    import keras

IMAGENET_CLASSES = 1000

LARGEST_SEED = 2**32 - 1
"""Largest seed: Keras seeds three generators at once, and NumPy's takes 32 bits."""

_SUFFIX = ".weights.h5"


def checkpoint_folder() -> Path:
    """Folder of the shipped checkpoints and their cards."""
    return Path(__file__).resolve().parents[1] / "checkpoints"


def checkpoint_path(spec: ModelSpec, weights: str) -> Path:
    """Path of a shipped checkpoint of a network, whether or not it exists."""
    return checkpoint_folder() / f"{spec.name}.{weights}{_SUFFIX}"


def shipped_weights(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the checkpoints that the repository ships for a network."""
    paths = checkpoint_folder().glob(f"{spec.name}.*{_SUFFIX}")
    return tuple(sorted(p.name[len(spec.name) + 1 : -len(_SUFFIX)] for p in paths))


def known_weights(spec: ModelSpec) -> tuple[str, ...]:
    """Names of weights that ``build_with_weights`` accepts for a network."""
    published = (*(("imagenet",) if spec.pretrained else ()), *(w.name for w in spec.published))
    return (*shipped_weights(spec), *published, "random")


def random_seed(weights: str) -> int | None:
    """Seed in ``random`` or ``random:SEED``; None for weights that are not random.

    Raises:
        InvalidInputError: a seed that is not a whole number of 32 bits.
    """
    kind, colon, seed = weights.partition(":")
    if kind != "random":
        return None
    if not colon:
        return 0
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= 10 and int(seed) <= LARGEST_SEED):
        raise InvalidInputError(
            f"random weights take a seed that is a whole number from 0 to {LARGEST_SEED}",
            received=weights,
            remedy="write random or random:1",
        )
    return int(seed)


def build_with_weights(spec: ModelSpec, weights: str) -> keras.Model:
    """Build a network with weights.

    Args:
        spec: network to build.
        weights: name of a shipped checkpoint; ``imagenet`` (Keras's download and cache, or an
            installed package of weights) or another published name (``models.weights.npm``);
            ``random`` or ``random:SEED``; or the path of a .weights.h5, .h5 or .keras file
            (edgequant.loading takes a .tflite and a TensorFlow.js model too).

    Raises:
        InvalidInputError: no such weights, or weights of another network.
    """
    if weights == "imagenet":
        return _with_keras_weights(spec)
    if random_seed(weights) is not None:
        return _with_random_weights(spec, weights)
    for published in spec.published:
        if published.name == weights:
            return _with_published(spec, published)
    path = checkpoint_path(spec, weights)
    if not path.is_file():
        path = Path(weights)
    if not path.is_file():
        known = ", ".join(known_weights(spec))
        raise InvalidInputError(
            f"weights of {spec.name} are one of {known}, or a file",
            received=weights,
            remedy="give one of these names, or the path of a .weights.h5, .h5, .keras or .tflite "
            "file or of a TensorFlow.js model.json",
        )
    return _with_file(spec, path)


def _with_random_weights(spec: ModelSpec, weights: str) -> keras.Model:
    import keras

    keras.utils.set_random_seed(random_seed(weights) or 0)
    return spec.build(spec)


def _with_keras_weights(spec: ModelSpec) -> keras.Model:
    if spec.pretrained is None:
        raise InvalidInputError(
            "ImageNet weights exist for the networks that 'edgequant list models' marks with it",
            received=spec.name,
            remedy=f"use one of {', '.join((*shipped_weights(spec), 'random'))}, or a file",
        )
    if not spec.preprocessing.is_colour:
        raise InvalidInputError(
            "ImageNet weights are of networks that take three colours",
            received=f"an input of {spec.preprocessing.channel_count} channels",
            remedy="leave --channels out, or train the network: edgequant train --channels",
        )
    if spec.classes != IMAGENET_CLASSES:
        raise InvalidInputError(
            f"ImageNet weights have {IMAGENET_CLASSES} classes",
            received=f"{spec.classes} classes",
            remedy="leave --classes out, or give --weights FILE with weights for that many classes",
        )
    model = spec.build(spec)
    pretrained = spec.pretrained
    source = download(
        lambda: pretrained(spec),
        lambda why: InvalidInputError(
            "ImageNet weights are downloaded by Keras, for the widths that were published",
            received=f"{spec.name} with alpha {spec.alpha:g} ({why})",
            remedy="connect to the internet, choose a width of keras.applications, or give a file",
        ),
    )
    model.set_weights(source.get_weights())
    return model


def _with_published(spec: ModelSpec, published: NpmWeights) -> keras.Model:
    if spec.classes != published.classes or not spec.preprocessing.is_colour:
        contract = spec.preprocessing
        raise InvalidInputError(
            f"the weights {published.name} are of {published.classes} classes and three colours",
            received=f"{spec.classes} classes and {contract.channel_count} channels",
            remedy="leave --classes and --channels out, or give --weights FILE",
        )
    model = spec.build(spec)
    assign_by_shape(model, tfjs_layers(published.model()))
    return model


def _with_file(spec: ModelSpec, path: Path) -> keras.Model:
    model = spec.build(spec)
    rule = f"weights fit the network they are loaded into ({spec.name}, alpha {spec.alpha:g})"
    remedy = "give the --alpha, --classes, --activation and --channels that they were trained with"
    if path.suffix == ".keras":
        stored = load_keras_file(path).get_weights()
        with reading(path, rule, remedy):
            model.set_weights(stored)
        return model
    check_weights_file(path)
    with reading(path, rule, remedy), warnings.catch_warnings():
        # The error that follows names the same fault with a remedy.
        warnings.filterwarnings("ignore", message="Skipping nested container")
        model.load_weights(str(path))
    return model
