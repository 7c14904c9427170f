"""Layers of Keras 2 as layers of Keras 3: arguments renamed, dropped or written out.

``REWRITES`` has a row for each class whose configuration Keras 3 reads differently. Initializers,
regularizers and constraints are dropped everywhere: a loaded network has its weights, and does not
train. Nothing in a file is run or imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.errors import UnsupportedError
from foundation.foreign import printable

Config = dict[str, Any]

REBUILD = "build the network with Keras 3, load its weights, and save it as .keras"

_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
"""Ends of arguments that matter while a network trains."""

_EVERYWHERE = frozenset({"batch_input_shape", "batch_size", "input_dtype", "input_shape"})
"""Arguments that Keras 2.0 to 2.15 wrote for any layer: the input's shape, which is an InputLayer
of its own in Keras 3."""

_ACTIVATIONS = {"hard_swish": "hard_silu", "swish": "silu"}
"""Names of activations: ``hard_swish`` was a function of MobileNetV3's own until Keras 3."""

_HARD_SIGMOID = (
    ("Rescaling", {"scale": 0.2, "offset": 0.5}),
    ("ReLU", {"max_value": 1.0}),
)
"""``hard_sigmoid`` of Keras 2, clip(0.2 x + 0.5, 0, 1); Keras 3 has clip(x / 6 + 0.5, 0, 1)."""

AUGMENTATIONS = frozenset(
    {
        "RandomBrightness",
        "RandomContrast",
        "RandomFlip",
        "RandomHeight",
        "RandomRotation",
        "RandomTranslation",
        "RandomWidth",
        "RandomZoom",
    }
)
"""Layers that return their input unless the network trains."""

_NOISE = (
    "ActivityRegularization",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)
"""Further such layers, some of which Keras 3 does not build from all arguments of Keras 2."""


@dataclass(frozen=True)
class Step:
    """A layer of Keras 3.

    Attributes:
        class_name: in ``keras.layers``.
        config: arguments of its constructor, the name among them.
    """

    class_name: str
    config: Config


@dataclass(frozen=True)
class Rewrite:
    """How the configuration of one class changes from Keras 2 to Keras 3.

    Attributes:
        versions: of tf.keras that wrote such a configuration.
        class_name: in Keras 3; empty for the same name.
        dropped: arguments that say nothing about inference.
        renamed: arguments by their old name.
        only: arguments that Keras 3 does not have, with the one value that it computes.
        change: further changes, made in place.
    """

    versions: str
    class_name: str = ""
    dropped: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Config], None] | None = None


def _plain_axis(config: Config) -> None:
    """``axis: [3]`` as ``axis: 3``."""
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]


def _plain_slope(config: Config) -> None:
    """Numbers that were saved as arrays of none or one dimension."""
    for name in ("max_value", "negative_slope", "threshold"):
        value = config.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        config[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
    config["negative_slope"] = config["negative_slope"] or 0.0
    config["threshold"] = config["threshold"] or 0.0


def _lambda(config: Config) -> None:
    """A function as Keras 3 writes it; it runs with --trust alone."""
    function = config.get("function")
    if isinstance(function, list) and len(function) == 3:
        names = ("code", "defaults", "closure")
        stored = dict(zip(names, function, strict=True))
        config["function"] = {"class_name": "__lambda__", "config": stored}


_NORM = Rewrite(
    "2.0-2.15: axis as a list, fused kernels, renorm and virtual batches (training alone)",
    class_name="BatchNormalization",
    dropped=(
        "adjustment",
        "fused",
        "renorm",
        "renorm_clipping",
        "renorm_momentum",
        "synchronized",
        "virtual_batch_size",
    ),
    change=_plain_axis,
)

REWRITES: Mapping[str, Rewrite] = {
    "BatchNormalization": _NORM,
    "BatchNormalizationV1": _NORM,
    "BatchNormalizationV2": _NORM,
    "SyncBatchNormalization": _NORM,
    "Conv2DTranspose": Rewrite("2.3-2.15: groups", only={"groups": 1}),
    "Custom>CustomScaleLayer": Rewrite(
        "2.13-2.15, of InceptionResNetV2", class_name="CustomScaleLayer"
    ),
    "DepthwiseConv2D": Rewrite(
        "2.3-2.15: groups; 2.0-2.2: filters", dropped=("filters",), only={"groups": 1}
    ),
    "FixedDropout": Rewrite("2.0-2.3, of EfficientNet's own package", class_name="Dropout"),
    "InputLayer": Rewrite("2.0-2.15: sparse, ragged", only={"sparse": False, "ragged": False}),
    "LayerNormalization": Rewrite("2.0-2.15: axis as a list", change=_plain_axis),
    "LeakyReLU": Rewrite("2.0-2.15: alpha", renamed={"alpha": "negative_slope"}),
    "Lambda": Rewrite(
        "2.0-2.15: code beside its module",
        dropped=("module", "function_type", "output_shape_type", "output_shape_module"),
        change=_lambda,
    ),
    "MultiHeadAttention": Rewrite(
        "2.4-2.15: shapes",
        dropped=("query_shape", "key_shape", "value_shape", "softmax_robust_masking"),
    ),
    "RandomCrop": Rewrite("2.3-2.15: generators", dropped=("rng_type", "force_generator")),
    "ReLU": Rewrite("2.0-2.15: numbers as arrays", change=_plain_slope),
    "SeparableConv1D": Rewrite("2.3-2.15: groups", only={"groups": 1}),
    "SeparableConv2D": Rewrite("2.3-2.15: groups", only={"groups": 1}),
    "ThresholdedReLU": Rewrite("2.0-2.15", class_name="ReLU", renamed={"theta": "threshold"}),
    **{
        name: Rewrite("2.0-2.15: generators, seeds", class_name="Identity", dropped=("*",))
        for name in (*AUGMENTATIONS, *_NOISE)
    },
}
"""Classes of Keras 2 that Keras 3 reads differently."""


def mended_layer(class_name: str, config: Config) -> tuple[Step, ...]:
    """One layer of Keras 2 as layers of Keras 3 that follow each other.

    Args:
        class_name: in Keras 2.
        config: as the file holds it; left as it is.

    Returns:
        One step, the layer itself; more where Keras 3's activation of that name is another.

    Raises:
        UnsupportedError: an argument that changes the result and that Keras 3 does not have.
    """
    rewrite = REWRITES.get(class_name, Rewrite(""))
    if "*" in rewrite.dropped:
        return (Step(rewrite.class_name, {"name": config["name"]}),)
    mended = {
        rewrite.renamed.get(key, key): value
        for key, value in config.items()
        if key not in _EVERYWHERE
        and key not in rewrite.dropped
        and not key.endswith(_TRAINING_ONLY)
    }
    _plain_dtype(mended)
    if class_name == "InputLayer":
        mended["batch_shape"] = config.get("batch_input_shape", config.get("batch_shape"))
        mended.pop("optional", None)
    for key, value in rewrite.only.items():
        if mended.pop(key, value) != value:
            raise UnsupportedError(
                f"a {class_name} of an .h5 model has {key} {value}",
                received=f"{printable(config['name'])} with {printable(config[key])[:80]}",
                remedy=REBUILD,
            )
    if rewrite.change is not None:
        rewrite.change(mended)
    return _with_activation(rewrite.class_name or class_name, mended)


def _plain_dtype(config: Config) -> None:
    """Policies as strings; a mixed one computes in float32, the type of its weights."""
    dtype = config.get("dtype")
    if isinstance(dtype, dict):  # 2.1-2.15: {"class_name": "Policy", "config": {"name": ...}}
        stored = dtype.get("config")
        dtype = stored.get("name") if isinstance(stored, dict) else None
    if isinstance(dtype, str) and dtype.startswith("mixed_"):
        dtype = "float32"
    if dtype is None:
        config.pop("dtype", None)
    else:
        config["dtype"] = dtype


def _with_activation(class_name: str, config: Config) -> tuple[Step, ...]:
    """A layer with its activation by a name of Keras 3."""
    if "activation" not in config:
        return (Step(class_name, config),)
    activation = _plain_activation(config["activation"])
    if activation != "hard_sigmoid":
        return (Step(class_name, {**config, "activation": activation}),)
    name = config["name"]
    after = tuple(
        Step(kind, {"name": f"{name}_hard_sigmoid_{i}", **arguments})
        for i, (kind, arguments) in enumerate(_HARD_SIGMOID)
    )
    return (Step(class_name, {**config, "activation": "linear"}), *after)


def _plain_activation(activation: Any) -> Any:
    """An activation by its name, or as a layer of Keras 3."""
    if isinstance(activation, dict):
        stored, kind = activation.get("config"), activation.get("class_name")
        if kind == "function" and isinstance(stored, str):  # 2.12-2.15
            return _plain_activation(stored)
        if isinstance(stored, dict) and isinstance(kind, str):
            (step,) = mended_layer(kind, {"name": kind.lower(), **stored})
            return {
                "module": "keras.layers",
                "class_name": step.class_name,
                "config": step.config,
                "registered_name": None,
            }
    if isinstance(activation, str):
        return _ACTIVATIONS.get(activation, activation)
    return activation
