"""TensorFlow functions in models of Keras 2 as operations of Keras 3.

``x + 3.0`` or ``tf.nn.relu6(x)`` on a Keras tensor became a layer, ``TFOpLambda``
(``TensorFlowOpLayer`` before TensorFlow 2.4), which names the function. ``FUNCTIONS`` has a row
for each function that maps to an operation which Keras 3 serializes; any other is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foundation.errors import UnsupportedError
from foundation.foreign import printable

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """An operation of Keras 3, called once.

    Attributes:
        operation: module below ``keras.src.ops`` and class, such as ``numpy.Add``.
        config: arguments of its constructor, without the name.
        args: what it is called with: references, numbers, or lists of those.
    """

    operation: str
    config: Arguments = field(default_factory=dict)
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function of TensorFlow.

    Attributes:
        parameters: names of its parameters, in order.
        call: makes the operation from the arguments by name; KeyError where one is missing.
    """

    parameters: tuple[str, ...]
    call: Callable[[Arguments], Call]


def _unary(operation: str, parameter: str = "x") -> Function:
    return Function((parameter,), lambda given: Call(operation, {}, (given[parameter],)))


def _binary(operation: str, first: str = "x", second: str = "y") -> Function:
    return Function(
        (first, second), lambda given: Call(operation, {}, (given[first], given[second]))
    )


def _reduction(operation: str) -> Function:
    def call(given: Arguments) -> Call:
        config = {"axis": given.get("axis"), "keepdims": bool(given.get("keepdims", False))}
        return Call(operation, config, (given["input_tensor"],))

    return Function(("input_tensor", "axis", "keepdims"), call)


def _with(operation: str, parameters: str, arguments: Mapping[str, str], **fixed: Any) -> Function:
    """A function whose other arguments go to the operation's constructor.

    Args:
        operation: of Keras 3.
        parameters: of the function, separated by spaces, the tensor first.
        arguments: of the constructor, each with the function's parameter.
        fixed: parameters that are left out, with their defaults.
    """
    names = tuple(parameters.split())

    def call(given: Arguments) -> Call:
        known = {**fixed, **given}
        config = {key: known[name] for key, name in arguments.items()}
        return Call(operation, config, (given[names[0]],))

    return Function(names, call)


def _bias(given: Arguments) -> Call:
    if given.get("data_format") not in (None, "NHWC", "N...C"):
        raise ValueError("channels first")
    return Call("numpy.Add", {}, (given["value"], given["bias"]))


def _resize(given: Arguments) -> Call:
    method = given.get("method", "bilinear")
    if given.get("preserve_aspect_ratio"):
        raise ValueError("preserve_aspect_ratio")
    if method not in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"):
        raise ValueError(f"the method {method}")
    config = {
        "size": given["size"],
        "interpolation": method,
        "antialias": bool(given.get("antialias", False)),
        "data_format": "channels_last",
    }
    return Call("image.Resize", config, (given["images"],))


def _pad(given: Arguments) -> Call:
    mode = str(given.get("mode", "CONSTANT")).lower()
    if given.get("constant_values", 0) != 0:
        raise ValueError("constant_values")
    return Call("numpy.Pad", {"pad_width": given["paddings"], "mode": mode}, (given["tensor"],))


def _slices(given: Arguments) -> Call:
    key: list[Any] = []
    for part in given["slice_spec"]:
        if isinstance(part, dict) and {"start", "stop", "step"} <= set(part):
            config = [part["start"], part["stop"], part["step"]]
            key.append(slice(*config))
        elif isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
            key.append(Ellipsis)
        elif part is None or isinstance(part, int):
            key.append(part)
        else:
            raise ValueError("a slice that is computed")
    return Call("numpy.GetItem", {}, (given["tensor"], tuple(key)))


def _concatenated(given: Arguments) -> Call:
    return Call("numpy.Concatenate", {"axis": given["axis"]}, (given["values"],))


def _split(given: Arguments) -> Call:
    sections, start = given["num_or_size_splits"], 0
    if isinstance(sections, list):  # sizes; Keras takes where each part but the first begins
        if not all(isinstance(size, int) and size >= 0 for size in sections):
            raise ValueError("sizes that are not known")
        sizes, sections = sections, []
        for size in sizes[:-1]:
            start += size
            sections.append(start)
    config = {"indices_or_sections": sections, "axis": given.get("axis", 0)}
    return Call("numpy.Split", config, (given["value"],))


def _product(given: Arguments) -> Call:
    if changed := [name for name, value in given.items() if name not in "ab" and value]:
        raise ValueError(changed[0])
    return Call("numpy.Matmul", {}, (given["a"], given["b"]))


def _stacked(given: Arguments) -> Call:
    return Call("numpy.Stack", {"axis": given.get("axis", 0)}, (given["values"],))


def _clipped(given: Arguments) -> Call:
    low, high = given["clip_value_min"], given["clip_value_max"]
    if not all(isinstance(value, int | float) for value in (low, high)):
        raise ValueError("limits that are computed")
    return Call("numpy.Clip", {"x_min": low, "x_max": high}, (given["t"],))


_ADD, _MULTIPLY = _binary("numpy.Add"), _binary("numpy.Multiply")
_SUBTRACT, _DIVIDE = _binary("numpy.Subtract"), _binary("numpy.Divide")
_RELU6, _SILU = _unary("nn.Relu6", "features"), _unary("nn.Silu", "features")
_SIGMOID, _TANH = _unary("nn.Sigmoid"), _unary("numpy.Tanh")
_SOFTMAX = _with("nn.Softmax", "logits axis", {"axis": "axis"}, axis=-1)

FUNCTIONS: Mapping[str, Function] = {
    "__operators__.add": _ADD,
    "__operators__.getitem": Function(("tensor", "slice_spec"), _slices),
    "cast": _with("core.Cast", "x dtype", {"dtype": "dtype"}),
    "clip_by_value": Function(("t", "clip_value_min", "clip_value_max"), _clipped),
    "concat": Function(("values", "axis"), _concatenated),
    "expand_dims": _with("numpy.ExpandDims", "input axis", {"axis": "axis"}),
    "identity": Function(("input",), lambda given: Call("numpy.Add", {}, (given["input"], 0.0))),
    "image.resize": Function(("images", "size", "method"), _resize),
    "linalg.matmul": Function(("a", "b"), _product),
    "math.abs": _unary("numpy.Absolute"),
    "math.add": _ADD,
    "math.divide": _DIVIDE,
    "math.exp": _unary("numpy.Exp"),
    "math.log": _unary("numpy.Log"),
    "math.maximum": _binary("numpy.Maximum"),
    "math.minimum": _binary("numpy.Minimum"),
    "math.multiply": _MULTIPLY,
    "math.negative": _unary("numpy.Negative"),
    "math.pow": _binary("numpy.Power"),
    "math.reduce_max": _reduction("numpy.Max"),
    "math.reduce_mean": _reduction("numpy.Mean"),
    "math.reduce_min": _reduction("numpy.Min"),
    "math.reduce_sum": _reduction("numpy.Sum"),
    "math.rsqrt": _unary("math.Rsqrt"),
    "math.sigmoid": _SIGMOID,
    "math.softplus": _unary("nn.Softplus", "features"),
    "math.sqrt": _unary("numpy.Sqrt"),
    "math.square": _unary("numpy.Square"),
    "math.subtract": _SUBTRACT,
    "math.tanh": _TANH,
    "math.truediv": _DIVIDE,
    "nn.bias_add": Function(("value", "bias", "data_format"), _bias),
    "nn.elu": _unary("nn.Elu", "features"),
    "nn.gelu": _with(
        "nn.Gelu", "features approximate", {"approximate": "approximate"}, approximate=False
    ),
    "nn.leaky_relu": _with(
        "nn.LeakyRelu", "features alpha", {"negative_slope": "alpha"}, alpha=0.2
    ),
    "nn.relu": _unary("nn.Relu", "features"),
    "nn.relu6": _RELU6,
    "nn.sigmoid": _SIGMOID,
    "nn.silu": _SILU,
    "nn.softmax": _SOFTMAX,
    "nn.swish": _SILU,
    "nn.tanh": _TANH,
    "pad": Function(("tensor", "paddings", "mode", "constant_values"), _pad),
    "reshape": _with("numpy.Reshape", "tensor shape", {"newshape": "shape"}),
    "split": Function(("value", "num_or_size_splits", "axis"), _split),
    "squeeze": _with("numpy.Squeeze", "input axis", {"axis": "axis"}, axis=None),
    "stack": Function(("values", "axis"), _stacked),
    "stop_gradient": _unary("core.StopGradient", "input"),
    "transpose": _with("numpy.Transpose", "a perm", {"axes": "perm"}, perm=None),
}
"""Functions of TensorFlow by the name that ``TFOpLambda`` gives them (TensorFlow 2.4 to 2.15)."""

_IGNORED = frozenset({"name", "half_pixel_centers"})

NODES: Mapping[str, str] = {
    "Abs": "math.abs",
    "Add": "math.add",
    "AddV2": "math.add",
    "Exp": "math.exp",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Mul": "math.multiply",
    "Neg": "math.negative",
    "Pow": "math.pow",
    "RealDiv": "math.truediv",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Rsqrt": "math.rsqrt",
    "Sigmoid": "math.sigmoid",
    "Softmax": "nn.softmax",
    "Sqrt": "math.sqrt",
    "Square": "math.square",
    "Sub": "math.subtract",
    "Tanh": "math.tanh",
}
"""Graph operators of ``TensorFlowOpLayer`` (TensorFlow 2.0 to 2.3) that have no attributes."""


def operation_of(layer: dict[str, Any], inputs: list[Any], keywords: Arguments) -> Call:
    """The operation that computes what a layer of a TensorFlow function did.

    Args:
        layer: entry of a model's configuration, with ``class_name``, ``name`` and ``config``.
        inputs: what it was called with, by position.
        keywords: what it was called with, by name.

    Raises:
        UnsupportedError: a function without a row, or arguments that the operation does not have.
    """
    config = layer["config"]
    if layer["class_name"] == "TensorFlowOpLayer":
        function, inputs = _node(config, inputs)
    else:
        function = str(config.get("function"))
        for prefix in ("compat.v1.", "keras.ops."):
            function = function.removeprefix(prefix)
    row = FUNCTIONS.get(function)
    if row is None:
        raise _unknown(layer, function)
    if row.parameters[0] == "values" and len(inputs) == 1 and not isinstance(inputs[0], list):
        inputs = [inputs]
    try:
        given = dict(zip(row.parameters, inputs, strict=False))
        given.update({k: v for k, v in keywords.items() if k not in _IGNORED and v is not None})
        return row.call(given)
    except (KeyError, ValueError) as error:
        reason = f"without {error}" if isinstance(error, KeyError) else f"with {error}"
        raise _unknown(layer, f"{function} {reason}") from error


def _node(config: dict[str, Any], inputs: list[Any]) -> tuple[str, list[Any]]:
    """Function and arguments of a graph operator; constants stand at their own positions."""
    stored = config.get("node_def")
    node = json.loads(stored) if isinstance(stored, str) else stored
    operator = node.get("op") if isinstance(node, dict) else None
    given = list(inputs)
    for position, value in sorted((int(k), v) for k, v in (config.get("constants") or {}).items()):
        given.insert(position, value)
    return NODES.get(str(operator), str(operator)), given


def _unknown(layer: dict[str, Any], function: str) -> UnsupportedError:
    return UnsupportedError(
        "a TensorFlow function in an .h5 model is one that Keras 3 has as an operation",
        received=f"{printable(layer['name'])[:80]}, a {layer['class_name']} of "
        f"{printable(function)[:120]}",
        remedy="build the network with Keras 3, load its weights, and save it as .keras",
    )
