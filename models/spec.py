"""Specification of a deployable network as data, and the registry of all families."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from calibration_data.channels import Channels, plain_channels
from calibration_data.detection import Detector
from calibration_data.preprocessing import Preprocessing
from calibration_data.task import OutputTask, Task, Tasks
from foundation.errors import InvalidInputError
from models.blocks import Activation, Bottleneck, Shortcut
from models.weights.npm import NpmWeights

if TYPE_CHECKING:
    import keras


LARGEST_SIDE = 4096
"""Largest product of input side in pixels and width above 1, as activations must fit in memory."""
MOST_CLASSES = 100_000
"""Largest product of the number of outputs and a width above 1: four times ImageNet-21k's."""

_FEWEST_CLASSES = {Task.CLASSIFICATION: 2, Task.DETECTION: 1, Task.SEGMENTATION: 2}
_CLASSES_RULE = {
    Task.CLASSIFICATION: "a classifier has at least 2 classes",
    Task.DETECTION: "a detector has at least 1 class, the ground not counted",
    Task.SEGMENTATION: "a segmenter has at least 2 classes, the background counted",
}
"""Rules of the tasks that registered networks have."""


class Knob(StrEnum):
    """Setting of a family that a user may change, besides size and number of classes."""

    ALPHA = "alpha"
    ACTIVATION = "activation"
    BOTTLENECK = "bottleneck"
    SHORTCUT = "shortcut"


@dataclass(frozen=True)
class ModelSpec:
    """A network that can be built.

    Its fields are those that every family uses. Settings of a single family are in the rows of
    ``stages`` and in ``details``, records that the family's module defines and its ``build`` reads.

    Attributes:
        name: registered name.
        summary: description in one line for listings.
        source: paper or repository that defines the network.
        build: spec -> Keras model with random weights.
        preprocessing: contract of its weights; its ``size`` is the input size.
        stages: table of stages, as frozen records of the family.
        details: further settings of the family, as a frozen record; None if there are none.
        knobs: settings that the user may change.
        alpha: width multiplier.
        classes: number of classes that are told apart. A detector's outputs have one more, the
            ground; a segmenter counts the background among them.
        activation: non-linearity between convolutions.
        bottleneck: whether the narrow ends of inverted residuals are linear.
        shortcut: tensors that the shortcuts of inverted residuals join.
        stem_stride: stride of the first convolution; 1 for small images.
        classifier_activation: ``linear`` (logits) or ``softmax``.
        weights: name of the default weights.
        pretrained: spec -> Keras model with published ImageNet weights; None if there are none.
        published: weights that were published for other data than ImageNet.
        deployed: trained network -> network with equal outputs that is quantized, for families
            that are trained in a larger form; None if both forms are the same.
        task: what the outputs mean.
        detector: spec -> anchors and thresholds of a detector; None for other networks.

    Raises:
        InvalidInputError: a width, size or class count that no network can have.
    """

    name: str
    summary: str
    source: str
    build: Callable[[ModelSpec], keras.Model] = field(repr=False)
    preprocessing: Preprocessing
    stages: tuple[Any, ...]
    details: Any = None
    knobs: tuple[Knob, ...] = (Knob.ALPHA, Knob.ACTIVATION)
    alpha: float = 1.0
    classes: int = 1000
    activation: Activation = Activation.RELU6
    bottleneck: Bottleneck = Bottleneck.LINEAR
    shortcut: Shortcut = Shortcut.BOTTLENECKS
    stem_stride: int = 2
    classifier_activation: str = "linear"
    weights: str = "random"
    pretrained: Callable[[ModelSpec], keras.Model] | None = field(default=None, repr=False)
    published: tuple[NpmWeights, ...] = ()
    deployed: Callable[[keras.Model], keras.Model] | None = field(default=None, repr=False)
    task: Task = field(default=Task.CLASSIFICATION, repr=False)
    detector: Callable[[ModelSpec], Detector] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 8:
            _refuse("the width multiplier alpha is above 0 and at most 8", self.alpha)
        if self.classes < _FEWEST_CLASSES.get(self.task, 1):
            _refuse(_CLASSES_RULE[self.task], self.classes)
        wider = max(self.alpha, 1.0)
        if self.classes * wider > MOST_CLASSES:
            rule = f"classes, times alpha where it is above 1, are at most {MOST_CLASSES:,}"
            _refuse(rule, f"{self.classes} classes at alpha {self.alpha:g}")
        _refuse_large_side(max(self.preprocessing.size), self.alpha)
        if self.stem_stride not in (1, 2):
            _refuse("the stride of the stem is 1 or 2", self.stem_stride)
        if self.classifier_activation not in ("linear", "softmax"):
            _refuse("the classifier ends in linear or softmax", self.classifier_activation)
        if self.task is not Task.CLASSIFICATION and self.classifier_activation != "linear":
            _refuse(f"a network for {self.task} gives logits", self.classifier_activation)
        labels = self.preprocessing.labels
        if labels and len(labels) != self.classes:
            _refuse(f"{self.classes} classes need as many labels", len(labels))

    @property
    def contract(self) -> Preprocessing:
        """Contract of the weights, with the task and a detector's anchors for this input size."""
        if self.task is Task.CLASSIFICATION:
            return self.preprocessing
        detector = None if self.detector is None else self.detector(self)
        return replace(self.preprocessing, tasks=Tasks(OutputTask(self.task)), detector=detector)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the input."""
        return self.preprocessing.shape

    def with_channels(self, channels: Channels) -> ModelSpec:
        """Copy of the specification for inputs of other channels, and a mean and std for each.

        Raises:
            InvalidInputError: a mean or std per colour, which other channels do not have.
        """
        contract = self.preprocessing
        if len(set(contract.mean)) > 1 or len(set(contract.std)) > 1:
            _refuse(
                "a network whose contract has a mean and std for each colour takes RGB or BGR",
                f"channels {plain_channels(channels)} for {self.name}",
            )
        changed = replace(contract, channels=channels, mean=contract.mean[:1], std=contract.std[:1])
        return replace(self, preprocessing=changed)

    def resized(self, size: int | tuple[int, int]) -> ModelSpec:
        """Copy of the specification for inputs of another size.

        Args:
            size: side of square inputs in pixels, or their height and width.
        """
        shape = (size, size) if isinstance(size, int) else size
        _refuse_large_side(max(shape), self.alpha)  # before the contract, which has a wider limit
        contract = self.preprocessing
        short_side = contract.resize_short_side
        if short_side is not None:
            short_side = max(*shape, round(short_side * min(shape) / min(contract.size)))
        return replace(
            self,
            preprocessing=replace(contract, size=shape, resize_short_side=short_side),
        )


def model_families() -> dict[str, tuple[ModelSpec, ...]]:
    """Registered networks by family; each module of ``models`` may define ``SPECS``."""
    package = import_module(__package__)
    families: dict[str, tuple[ModelSpec, ...]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            specs = getattr(import_module(f"{__package__}.{module.name}"), "SPECS", ())
            families |= {module.name: specs} if specs else {}
    return families


def model_specs() -> dict[str, ModelSpec]:
    """All registered networks by name."""
    specs: dict[str, ModelSpec] = {}
    for family in model_families().values():
        for spec in family:
            if spec.name in specs:
                raise ValueError(f"two networks are named {spec.name}")
            specs[spec.name] = spec
    return dict(sorted(specs.items()))


def specs_of(task: Task) -> dict[str, ModelSpec]:
    """Registered networks of a task by name."""
    return {name: spec for name, spec in model_specs().items() if spec.task is task}


def model_spec(name: str) -> ModelSpec:
    """Registered network of a name.

    Raises:
        InvalidInputError: no such name.
    """
    specs = model_specs()
    if name not in specs:
        raise InvalidInputError(
            f"a registered model is one of {', '.join(specs)}",
            received=name,
            remedy="give one of these names, or the path of a .keras, .h5, .tflite or SavedModel",
        )
    return specs[name]


def _refuse_large_side(side: int, alpha: float) -> None:
    if side * max(alpha, 1.0) > LARGEST_SIDE:
        rule = f"pixels of a side, times alpha where it is above 1, are at most {LARGEST_SIDE:,}"
        _refuse(rule, f"size {side} at alpha {alpha:g}")


def _refuse(rule: str, received: object) -> None:
    raise InvalidInputError(rule, received=received, remedy="choose another value")
