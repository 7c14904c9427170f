"""Label lists that a contract can refer to by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

FASHION_MNIST_LABELS = (
    "t_shirt_top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
)
"""Classes of Fashion-MNIST (Xiao et al. 2017, table 2), in the order of its labels."""


@cache
def imagenet_labels() -> tuple[str, ...]:
    """WordNet ids of the 1,000 ImageNet classes in sorted order, the outputs' order in Keras."""
    path = Path(str(files("calibration_data"))) / "data" / "labels" / "imagenet_1k.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))["labels"])


BACKGROUND = "background"
"""Label of a mask's class 0."""

VOC21_LABELS = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""Classes of Pascal VOC's masks in their order (Everingham et al. 2010, the VOC challenge)."""

KNOWN_LABELS: dict[str, Callable[[], tuple[str, ...]]] = {
    "fashion-mnist": lambda: FASHION_MNIST_LABELS,
    "imagenet-1k": imagenet_labels,
    "voc-21": lambda: VOC21_LABELS,
}
"""Label lists by name."""
