"""TensorFlow Datasets, available if the package tensorflow-datasets is installed."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading

_PREFIX = "tfds/"


def _open(text: str, split: str | None) -> Dataset:
    if find_spec("tensorflow_datasets") is None:
        raise InvalidInputError(
            "tfds/ datasets need the package tensorflow-datasets",
            received=printable(text)[:200],
            remedy="pip install tensorflow-datasets",
        )
    import tensorflow_datasets as tfds

    name = text.removeprefix(_PREFIX)
    with reading(
        f"{text}:{split}",
        "tfds/NAME:SPLIT is a dataset that tensorflow-datasets can prepare",
        "check name and split, and the connection for a first download",
        raised=(tfds.core.DatasetNotFoundError,),
    ):
        source, info = tfds.data_source(name, split=split, with_info=True)
    if split is None or not {"image", "label"} <= set(info.features):
        raise InvalidInputError(
            "a tfds dataset is given with its split and has the features image and label",
            received=f"{text}:{split} with {', '.join(info.features)}",
            remedy="choose a classification dataset, such as tfds/imagenette:validation",
        )
    # This pass reads the labels only, so that the images stay encoded.
    plain = tfds.data_source(name, split=split, decoders={"image": tfds.decode.SkipDecoding()})
    labels = np.asarray([record["label"] for record in plain], np.int64)
    return Dataset(
        name=f"{text}:{split}",
        role=_role(split),
        labels=labels,
        class_names=tuple(info.features["label"].names),
        decode=lambda i: source[i]["image"],
    )


def _role(split: str) -> SplitRole:
    """Role of a split or a sum of splits; one evaluation split in a sum decides its role."""
    roles = [SplitRole.of(term.split("[")[0].strip()) for term in split.split("+")]
    measured = (SplitRole.TEST, SplitRole.DEVELOPMENT)
    return next((role for role in roles if role in measured), roles[0])


KIND = DatasetKind(
    name="tfds",
    syntax="tfds/NAME:SPLIT",
    summary="TensorFlow Datasets, when tensorflow-datasets is installed",
    matches=lambda text: text.startswith(_PREFIX),
    open=_open,
    order=40,
)
