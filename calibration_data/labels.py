"""Label lists that a contract can refer to by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
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
    path = Path(__file__).resolve().parent / "data" / "labels" / "imagenet_1k.json"
    return tuple(json.loads(path.read_text(encoding="utf-8"))["labels"])


BACKGROUND = "background"
"""Label of a mask's class 0."""

VOC21_LABELS = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""Classes of Pascal VOC's masks in their order (Everingham et al. 2010, the VOC challenge)."""

COCO_LABELS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "street sign", "stop sign", "parking meter", "bench", "bird",
    "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "hat",
    "backpack", "umbrella", "shoe", "eye glasses", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "plate", "wine glass", "cup", "fork", "knife", "spoon", "bowl",
    "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", "mirror", "dining table", "window", "desk",
    "toilet", "door", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave",
    "oven", "toaster", "sink", "refrigerator", "blender", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Categories of COCO by their ids from 1 to 90; ten of them are in no annotation (Lin et al. 2014,
https://arxiv.org/abs/1405.0312, figure 11)."""

CITYSCAPES_LABELS = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
"""Classes that Cityscapes evaluates, by their train ids (Cordts et al. 2016, arXiv:1604.01685)."""

VOC_NAMES_OF_COCO = {
    "airplane": "aeroplane", "couch": "sofa", "dining table": "diningtable",
    "motorcycle": "motorbike", "potted plant": "pottedplant", "tv": "tvmonitor",
}  # fmt: skip
"""Pascal VOC's name of classes that COCO names differently."""

KNOWN_LABELS: dict[str, Callable[[], tuple[str, ...]]] = {
    "cityscapes-19": lambda: CITYSCAPES_LABELS,
    "coco-90": lambda: COCO_LABELS,
    "fashion-mnist": lambda: FASHION_MNIST_LABELS,
    "imagenet-1k": imagenet_labels,
    "voc-21": lambda: VOC21_LABELS,
}
"""Label lists by name."""
