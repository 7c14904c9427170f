"""Image datasets that Keras downloads and caches."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole, refuse_unknown_split
from calibration_data.downloads import download
from foundation.errors import InvalidInputError
from foundation.foreign import printable

_NAMES = ("cifar10", "cifar100", "fashion_mnist", "mnist")
_PREFIX = "keras/"


def _open(text: str, split: str | None) -> Dataset:
    name = text.removeprefix(_PREFIX)
    if name not in _NAMES:
        raise InvalidInputError(
            f"a dataset of Keras is one of {', '.join(_PREFIX + n for n in _NAMES)}",
            received=printable(text)[:200],
            remedy="give one of these names",
        )
    refuse_unknown_split(text, split, ("train", "test"))
    module = import_module(f"keras.datasets.{name}")
    train, test = download(
        module.load_data,
        lambda why: InvalidInputError(
            "Keras's datasets come from the internet, or from its cache in ~/.keras/datasets",
            received=f"{text} ({why})",
            remedy="connect, or copy the file into that cache",
        ),
    )
    images, labels = train if split == "train" else test
    return Dataset(
        name=f"{text}:{split}",
        role=SplitRole.of(split),
        labels=np.asarray(labels, np.int64).reshape(-1),
        class_names=(),
        decode=lambda i: images[i],
    )


KIND = DatasetKind(
    name="keras",
    syntax="keras/NAME:train|test",
    summary=f"Keras's own datasets ({', '.join(_NAMES)})",
    matches=lambda text: text.startswith(_PREFIX),
    open=_open,
    examples=tuple(_PREFIX + name for name in _NAMES),
    order=30,
)
