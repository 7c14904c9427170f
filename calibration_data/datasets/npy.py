"""A NumPy .npy file of images or other arrays; their labels, if any, are in another one beside it.

The file of labels has the same name with ``y`` for ``x`` or ``labels`` for ``images``:
``x_test.npy`` and ``y_test.npy``.
"""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.datasets.image_list import refuse_split
from calibration_data.datasets.npz import answers, require_numbers
from foundation.archives import read_array

_LABELS = {"x": "y", "images": "labels"}
"""First word of the name of a file of images, and of that of its labels."""


def _open(text: str, split: str | None) -> Dataset:
    refuse_split(text, split)
    rule = "an .npy file can be read by numpy.load without pickles"
    remedy = "write it with numpy.save, all examples of one shape"
    images = read_array(Path(text), rule, remedy)
    require_numbers(images, text)
    beside = _labels_beside(text)
    labels = read_array(beside[0], rule, remedy) if beside else None
    classes, targets = answers(labels, images, str(beside[0]) if beside else text)
    return Dataset(
        name=text,
        role=SplitRole.of(Path(text).stem),
        labels=classes,
        class_names=(),
        decode=lambda i: images[i],
        count=len(images),
        targets=targets,
    )


def _labels_beside(text: str) -> tuple[Path, ...]:
    """File with the labels of a file of images; empty without one."""
    path = Path(text)
    first, mark, rest = path.stem.partition("_")
    name = _LABELS.get(first)
    if name is None:
        return ()
    labels = path.with_name(f"{name}{mark}{rest}.npy")
    return (labels,) if labels.is_file() else ()


KIND = DatasetKind(
    name="npy",
    syntax="FILE.npy",
    summary="images, uint8 [n, height, width, channels], or numbers [n, ...] of any shape; labels "
    "of x_NAME.npy or images_NAME.npy are in y_NAME.npy or labels_NAME.npy beside it",
    referenced=_labels_beside,
    matches=lambda text: text.endswith(".npy") and Path(text).is_file(),
    open=_open,
    order=22,
)
