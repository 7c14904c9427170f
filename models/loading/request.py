"""The model that the user asks for: a file or a registered name, checked before use."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.channels import COLOURS, Channels, channel_count, channels_name
from foundation.digests import sha256_of
from foundation.ends import output_names
from foundation.errors import InvalidInputError
from models.blocks import Activation, Bottleneck, Shortcut
from models.loading.deferred import Deferred
from models.loading.files import (
    MODEL_SUFFIXES,
    load_keras_file,
    not_one_input,
    remarks_on_file,
    several_inputs,
)
from models.loading.integer_inputs import float_fed
from models.output_ends import keras_output_names
from models.spec import Knob, ModelSpec, model_spec, model_specs
from models.weights.named import build_with_weights, checkpoint_path, random_seed
from models.weights.tfjs import is_tfjs, tfjs_files

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ModelRequest:
    """The model that the user asks for; None stands for the registered value.

    Attributes:
        reference: path of a .keras, .h5, .tflite or SavedModel, or a registered name.
        weights: name or file of the weights of a registered network.
        alpha: width multiplier.
        size: side of the square input in pixels.
        classes: number of outputs.
        activation: non-linearity between convolutions.
        bottleneck: whether the narrow ends of inverted residuals are linear.
        shortcut: tensors that the shortcuts of inverted residuals join.
        trust: run the file even if it holds foreign code (--trust).
        channels: channels of the input of a registered network; a file has its own.

    Raises:
        InvalidInputError: random weights with an invalid seed.
    """

    reference: str
    weights: str | None = None
    alpha: float | None = None
    size: int | None = None
    classes: int | None = None
    activation: Activation | None = None
    bottleneck: Bottleneck | None = None
    shortcut: Shortcut | None = None
    trust: bool = False
    channels: Channels | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            random_seed(self.weights)

    @property
    def is_file(self) -> bool:
        """Whether the reference is a path rather than a registered name."""
        return self.reference not in model_specs()

    @property
    def name(self) -> str:
        """Name for files and reports: the file's name without suffix, or that of the variant."""
        if self.is_file:
            return _stem(Path(self.reference).name)
        parts = [self.reference]
        if self.alpha is not None:
            parts.append(f"{self.alpha:g}")
        if self.size is not None:
            parts.append(str(self.size))
        if self.channels is not None and channel_count(self.channels) != COLOURS:
            parts.append(channels_name(self.channels))
        if self.activation is not None:
            parts.append(self.activation.value)
        if self.bottleneck is not None:
            parts.append(f"{self.bottleneck.value}_bottleneck")
        if self.shortcut is not None:
            parts.append(f"shortcut_{self.shortcut.value}")
        return "_".join(parts)

    def spec(self) -> ModelSpec:
        """Specification of the registered network with the user's changes.

        Raises:
            InvalidInputError: a path, an unknown name, a value that no network can have, or a
                change that this family does not support.
        """
        spec = model_spec(self.reference)
        changes = {knob: getattr(self, knob) for knob in Knob if getattr(self, knob) is not None}
        if foreign := [f"--{knob}" for knob in changes if knob not in spec.knobs]:
            known = ", ".join(f"--{option}" for option in ("size", "classes", *spec.knobs))
            raise InvalidInputError(
                f"{spec.name} takes {known}",
                received=", ".join(foreign),
                remedy="leave it out, or choose another model",
            )
        if self.size is not None:
            spec = spec.resized(self.size)
        if self.channels is not None and channel_count(self.channels) != COLOURS:
            spec = spec.with_channels(self.channels)
        if self.classes is not None and self.classes != spec.classes:
            contract = spec.preprocessing.with_labels(())
            spec = replace(spec, classes=self.classes, preprocessing=contract)
        return replace(spec, **changes)

    def digest(self) -> str:
        """Hash that changes with architecture or weights; no SDK is loaded."""
        if self.is_file:
            return _path_digest(Path(self.reference))
        spec = self.spec()
        weights = self.weights or spec.weights
        parts = [repr(spec), weights]
        path = Path(weights)
        files = (checkpoint_path(spec, weights), *(tfjs_files(path) if is_tfjs(path) else (path,)))
        parts += [sha256_of(file) for file in files if file.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class ModelOutput:
    """One output of a network.

    Attributes:
        name: name of the output in every file, unique in the network (``foundation.ends``).
        shape: shape of the output for one input, without the batch.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A network that fits the pipeline: one input, outputs of fixed shapes.

    Attributes:
        name: name for files and reports.
        network: Keras model, ``[batch, *input_shape]`` to ``[batch, ...]`` for each output,
            float32.
        input_shape: shape of the input without the batch: ``(height, width, channels)``,
            ``(features,)``, ``(time, features)``.
        outputs: outputs in the model's order.
        spec: specification of a registered network; None for a file.
        remarks: sentences on what loading changed, for the user.
        takes_pixels: whether the file's input is of integers, and so of pixels as they are.
    """

    name: str
    network: Deferred = field(repr=False)
    input_shape: tuple[int, ...]
    outputs: tuple[ModelOutput, ...]
    spec: ModelSpec | None
    remarks: tuple[str, ...] = ()
    takes_pixels: bool = False

    @property
    def model(self) -> keras.Model:
        """Keras model; the first call may load Keras and TensorFlow."""
        return self.network.model

    def with_model(self, model: keras.Model) -> LoadedModel:
        """The same network with a Keras model that was made from this one."""
        return LoadedModel(
            self.name,
            Deferred.of(model),
            self.input_shape,
            self.outputs,
            self.spec,
            self.remarks,
            self.takes_pixels,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an input of images."""
        return self.input_shape[0], self.input_shape[1]

    @property
    def classes(self) -> int:
        """Number of classes that the first output scores, in a network for classification."""
        return self.outputs[0].shape[-1]


def load(request: ModelRequest) -> LoadedModel:
    """Load or build the model of a request and check it.

    Raises:
        InvalidInputError: no such model, a damaged file, untrusted code, more than one input, an
            input or output with a free size, outputs of integers, or NaN or Inf in weights.
    """
    if request.is_file:
        refuse_variant(request)
        path = Path(request.reference)
        model = load_keras_file(path, trust=request.trust)
        return checked(request, model, remarks_on_file(path))
    spec = request.spec()
    model = build_with_weights(spec, request.weights or spec.weights)
    return checked(request, model if spec.deployed is None else spec.deployed(model))


def refuse_variant(request: ModelRequest) -> None:
    """Refuse options of registered models for a file.

    Raises:
        InvalidInputError: such an option; names it.
    """
    options = ("weights", "size", "classes", *Knob)
    if used := [f"--{name}" for name in options if getattr(request, name) is not None]:
        raise InvalidInputError(
            f"--{', --'.join(options)} go with a registered model; a file has its own",
            received=f"{', '.join(used)} with {request.reference}",
            remedy=f"leave them out, or give one of {', '.join(model_specs())}",
        )


def checked(
    request: ModelRequest,
    model: keras.Model,
    remarks: tuple[str, ...] = (),
    *,
    takes_pixels: bool = False,
) -> LoadedModel:
    """A model that was loaded or built for a request, if it fits the pipeline.

    Args:
        request: what was asked for.
        model: float or fed with integers.
        remarks: sentences on what loading changed.
        takes_pixels: whether a float model is made from a file that takes integers.

    Raises:
        InvalidInputError: another form than ``LoadedModel`` has, or NaN or Inf in weights.
    """
    input_shape, outputs = _checked_shapes(model, request.reference)
    _refuse_non_finite(model, request.reference)
    spec = None if request.is_file else request.spec()
    model = _with_plain_name(model)
    fed = float_fed(model)
    takes_pixels = takes_pixels or fed is not model
    network = Deferred.of(fed)
    return LoadedModel(request.name, network, input_shape, outputs, spec, remarks, takes_pixels)


def _with_plain_name(model: keras.Model) -> keras.Model:
    """The same layers under a name that TensorFlow can trace: letters, digits, ``_ . - / >``."""
    import keras

    if re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*", model.name):
        return model
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", model.name).lstrip("_-") or "model"
    return keras.Model(model.inputs, model.outputs, name=plain)


def _checked_shapes(
    model: keras.Model, name: str
) -> tuple[tuple[int, ...], tuple[ModelOutput, ...]]:
    """Shape of the input, and the outputs, all without the batch."""
    # A Sequential that was saved before it was built has neither inputs nor outputs.
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) > 1:
        raise several_inputs(name, [str(tensor.name) for tensor in inputs])
    if len(inputs) != 1 or not outputs:
        raise not_one_input(name, len(inputs), len(outputs))
    shape = tuple(inputs[0].shape)
    if not 2 <= len(shape) <= 4 or None in shape[1:]:
        raise InvalidInputError(
            "the input of a model has one to three axes of fixed sizes behind the batch, such as "
            "[batch, height, width, channels], [batch, time, features] or [batch, features]",
            received=f"{name} with {list(shape)}",
            remedy="rebuild it on keras.Input with fixed sizes, such as (height, width, 3), and "
            "load the weights",
        )
    return tuple(int(side) for side in shape[1:]), _checked_outputs(model, name)


def _checked_outputs(model: keras.Model, name: str) -> tuple[ModelOutput, ...]:
    """Outputs of a model with the names that they have in files."""
    names = keras_output_names(model)
    checked = []
    for output, written, text in zip(model.outputs, output_names(names), names, strict=True):
        shape, dtype = tuple(output.shape), str(output.dtype)
        if len(shape) < 2 or any(not size for size in shape[1:]):
            raise InvalidInputError(
                "an output of a model is [batch, ...] with fixed sizes, at least one",
                received=f"{name} with {text} of the shape {list(shape)}",
                remedy="keep an axis of one number (keepdims=True), and build the model on an "
                "input of a fixed size",
            )
        if not dtype.startswith(("float", "bfloat")):
            raise InvalidInputError(
                "an output of a model holds floating-point numbers",
                received=f"{name} with {text} in {dtype}",
                remedy="end the model before the layer that makes whole numbers of them",
            )
        checked.append(ModelOutput(written, tuple(int(size) for size in shape[1:])))
    return tuple(checked)


def _refuse_non_finite(model: keras.Model, name: str) -> None:
    import keras

    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InvalidInputError(
                "weights are finite numbers",
                received=f"{name} with NaN or Inf in {weight.path}",
                remedy="train again, or restore a checkpoint from before they appeared",
            )


def _stem(name: str) -> str:
    for suffix in (*MODEL_SUFFIXES, ".tflite"):
        name = name.removesuffix(suffix)
    return name


def _path_digest(path: Path) -> str:
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path)} {sha256_of(file)}\n".encode())
        return digest.hexdigest()
    if not path.is_file():
        raise InvalidInputError(
            "a model is a .keras, .h5 or .tflite file, a SavedModel folder, or a registered name "
            f"({', '.join(model_specs())})",
            received=f"{path}, which does not exist",
            remedy="check the path",
        )
    return sha256_of(path)
