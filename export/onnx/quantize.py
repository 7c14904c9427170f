"""A float32 ONNX graph in the types of a recipe: static int8, dynamic int8, float16."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.onnx.graph import INPUT_NAME, Node, OnnxGraph, from_model, to_model
from export.onnx.runtime import in_layout, runtime
from export.onnx.weights import (
    FULL_BOUND,
    channel_axis,
    stored_weight,
    weight_scales,
)
from foundation.errors import InvalidInputError
from quantize.settings import Granularity, WeightRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from network.affine import QuantParams
    from quantize.recipes import Recipe

INTEGER_OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool",
    "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Sigmoid", "Squeeze", "Sub", "Transpose",
)  # fmt: skip
"""Operator types that get quantizers around them. Softmax is not among them: it costs nothing in
float, and 256 steps cannot hold the probabilities of 1,000 classes."""

SUFFIXES = {
    "_DequantizeLinear_Output": ".dq",
    "_QuantizeLinear_Output": ".q",
    "_QuantizeLinear_Input": ".f",
    "_quantized_zero_point": ".qz",
    "_quantized_scale": ".qs",
    "_quantized": ".q",
    "_zero_point": ".z",
    "_scale": ".s",
}
"""Short forms of what ONNX Runtime's quantizer appends to names: a small file has 900 of them."""

FLOAT16_MAX = 65504.0

ZERO_POINT = "weight.z"
"""Name of the zero point that the weights of a dynamic file share."""


def static_int8(
    graph: OnnxGraph, recipe: Recipe, calibration: Callable[[], Iterator[np.ndarray]] | None
) -> OnnxGraph:
    """Add quantizers and dequantizers around every operator (QDQ format), from calibration.

    Activations are uint8 and asymmetric. With a zero point, ReLU6 is the quantizer's own
    clipping and its operator disappears, where symmetric activations would lose half of the
    steps. Unsigned, because ONNX Runtime on x86 leaves linear bottlenecks and additions between
    int8 quantizers in float (QDQIsInt8Allowed in qdq_selector_action_transformer.h), and fuses
    every one between uint8 quantizers. The numbers are those of int8 with a zero point lower by
    128. Ranges are the smallest and largest values in calibration, which are not sensitive to
    outliers where activations are bounded.

    Args:
        graph: float32 graph with a free batch.
        recipe: recipe with granularity and weight range.
        calibration: function that returns float32 batches ``[b, height, width, 3]``.

    Returns:
        The graph with QuantizeLinear and DequantizeLinear nodes.

    Raises:
        InvalidInputError: no calibration batch, one of another shape, or one with NaN.
    """
    runtime()
    from onnx import load_model
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    model = to_model(graph)
    # Says that the graph is prepared, which it is: without the entry the quantizer logs advice.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="edgequant-") as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_static(
            model,
            str(path),
            _reader(graph, recipe, calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(INTEGER_OPERATORS),
            per_channel=recipe.settings.granularity is Granularity.PER_CHANNEL,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "TensorQuantOverrides": _weight_overrides(graph, recipe),
            },
        )
        quantized = from_model(load_model(str(path)))
    quantized.input, quantized.outputs = graph.input, graph.outputs
    _drop_bias_zero_points(quantized)
    _shorten_names(quantized)
    return quantized


def _drop_bias_zero_points(graph: OnnxGraph) -> None:
    """Leave out the zero points of biases: ONNX requires 0 there, and 4 bytes each add up."""
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and len(node.inputs) > 2:
            zero = graph.constants.get(node.inputs[2])
            if zero is not None and zero.dtype == "int32" and not zero.any():
                node.inputs = node.inputs[:2]
    graph.drop_unused()


def _weight_overrides(graph: OnnxGraph, recipe: Recipe) -> dict[str, list[dict[str, Any]]]:
    """Scales of the weights, which depend on the type of the operator that reads them."""
    import numpy as np

    runtime()
    from onnxruntime.quantization import QuantType

    overrides: dict[str, list[dict[str, Any]]] = {}
    for node in graph.nodes:
        weight = stored_weight(graph, node)
        if weight is None:
            continue
        axis = channel_axis(node)
        scales = weight_scales(
            node, weight, recipe.settings.weight_range, recipe.settings.granularity
        )
        entries: list[dict[str, Any]] = [
            {"quant_type": QuantType.QInt8, "scale": scale, "zero_point": np.int8(0)}
            for scale in scales
        ]
        if recipe.settings.granularity is Granularity.PER_CHANNEL:
            for entry in entries:
                entry["axis"] = axis
        overrides[node.inputs[1]] = entries
    return overrides


def _reader(
    graph: OnnxGraph, recipe: Recipe, calibration: Callable[[], Iterator[np.ndarray]] | None
) -> Any:
    """Calibration batches as ONNX Runtime's CalibrationDataReader."""
    runtime()
    from onnxruntime.quantization import CalibrationDataReader

    if calibration is None:
        raise InvalidInputError(
            f"{recipe.name} fixes the scales of activations by calibration data",
            received="none",
            remedy="give a calibration set",
        )
    batches = _checked(calibration(), graph.input[1][1:], recipe)
    first = next(batches, None)
    if first is None:
        raise InvalidInputError(
            "a calibration set holds at least one image",
            received="no batch",
            remedy="give more images",
        )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One batch per call, then None."""

        pending: np.ndarray | None = first

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch, self.pending = self.pending, None
            batch = next(batches, None) if batch is None else batch
            return None if batch is None else {INPUT_NAME: batch}

    return Reader()


def _checked(
    batches: Iterator[np.ndarray], expected: tuple[int | str, ...], recipe: Recipe
) -> Iterator[np.ndarray]:
    """Batches in the file's layout; refuses NaN, infinity and another shape."""
    import numpy as np

    for batch in batches:
        moved = in_layout(batch, recipe.layout)
        if moved.shape[1:] != expected:
            raise InvalidInputError(
                f"calibration images have the size of the network's input, {list(expected)} as "
                f"{recipe.layout.value}",
                received=str(list(moved.shape[1:])),
                remedy="calibrate with the network's own preprocessing",
            )
        if not np.isfinite(moved).all():
            raise InvalidInputError(
                "calibration images are finite numbers",
                received="NaN or infinity in a batch",
                remedy="check the mean and std of the preprocessing contract",
            )
        yield moved


def _shorten_names(graph: OnnxGraph) -> None:
    """Shorten the names of tensors that the quantizer added; no two tensors get the same name."""
    taken = {INPUT_NAME, *graph.output_names}
    short: dict[str, str] = {name: name for name in taken}
    tensors = [name for node in graph.nodes for name in [*node.inputs, *node.outputs] if name]
    for name in dict.fromkeys(tensors):
        if name in short:
            continue
        new = name
        for suffix, brief in SUFFIXES.items():
            if name.endswith(suffix):
                new = name.removesuffix(suffix) + brief
                break
        short[name] = name if new in taken else new
        taken.add(short[name])
    for node in graph.nodes:
        node.inputs = [short.get(name, "") for name in node.inputs]
        node.outputs = [short[name] for name in node.outputs]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.name = ""
    graph.constants = {short[k]: v for k, v in graph.constants.items() if k in short}


def dynamic_int8(
    graph: OnnxGraph, recipe: Recipe, planned: Mapping[str, QuantParams] | None = None
) -> OnnxGraph:
    """Store 8-bit weights, and quantize each activation while the network runs.

    Weights are stored as uint8 with zero point 128. ONNX Runtime multiplies two unsigned
    operands in kernels that widen to 16 bits first (VPMADDWD in MultiplyAccumulateRowU8U8Avx2,
    QgemmU8X8KernelAvx2.asm) and so do not saturate on any x86 core: all of [-127, 127] is safe.
    ConvInteger with signed weights took five times as long on x86, and older releases of the
    runtime do not have it.

    An activation's range is taken over the batch: scores of an image depend a little on the
    other images.

    Args:
        graph: float32 graph.
        recipe: recipe with the granularity of the weights.
        planned: parameters of the weights by name where a plan has rounded them to multiples of its
            scales; other weights stay in float. None to round every weight here.
    """
    import numpy as np

    result = OnnxGraph([], dict(graph.constants), graph.input, graph.outputs)
    quantized: set[str] = set()
    for node in graph.nodes:
        weight = stored_weight(graph, node)
        if weight is None or (planned is not None and node.inputs[1] not in planned):
            result.nodes.append(node)
            continue
        source = node.inputs[0]
        if source not in quantized:
            outputs = [f"{source}.q", f"{source}.s", f"{source}.z"]
            result.nodes.append(Node("DynamicQuantizeLinear", [source], outputs))
            quantized.add(source)
        if planned is None:
            scales = weight_scales(node, weight, WeightRange.FULL, recipe.settings.granularity)
        else:
            scales = np.asarray(planned[node.inputs[1]].scale, np.float32)
        result.nodes.extend(_integer_nodes(result, node, weight, scales))
    result.drop_unused()
    return result


def _integer_nodes(
    graph: OnnxGraph, node: Node, weight: np.ndarray, scales: np.ndarray
) -> list[Node]:
    """Nodes of one weighted operator: integer product, its scale, its bias."""
    import numpy as np
    from onnx import TensorProto

    axis = channel_axis(node)
    spread = [-1 if i == axis else 1 for i in range(weight.ndim)]
    integers = np.clip(np.rint(weight / scales.reshape(spread)), -FULL_BOUND, FULL_BOUND) + 128
    output = [-1, 1, 1] if node.op_type == "Conv" else [-1]
    source, target, base = node.inputs[0], node.outputs[0], node.name
    if axis == 0 and node.op_type != "Conv":
        integers = integers.T  # MatMulInteger has no transB
    graph.constants |= {
        f"{base}.weight.q": integers.astype(np.uint8),
        ZERO_POINT: np.array(128, np.uint8),
        f"{base}.weight.s": scales.reshape(output),
    }
    # The sums in float; before the Transpose of an output their operator has this name itself.
    sums = f"{base}.sums" if target == f"{base}.f" else f"{base}.f"
    operands = [f"{source}.q", f"{base}.weight.q", f"{source}.z", ZERO_POINT]
    integer = "ConvInteger" if node.op_type == "Conv" else "MatMulInteger"
    attributes = node.attributes if node.op_type == "Conv" else {}
    nodes = [
        Node(integer, operands, [f"{base}.i"], attributes, base),
        Node("Cast", [f"{base}.i"], [sums], {"to": int(TensorProto.FLOAT)}),
        Node("Mul", [f"{source}.s", f"{base}.weight.s"], [f"{base}.scale"]),
        Node("Mul", [sums, f"{base}.scale"], [target]),
    ]
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    if bias is not None and bias.any():
        nodes[-1].outputs = [f"{base}.p"]
        graph.constants[f"{base}.bias.f"] = bias.reshape(output)
        nodes.append(Node("Add", [f"{base}.p", f"{base}.bias.f"], [target]))
    return nodes


def to_float16(graph: OnnxGraph) -> OnnxGraph:
    """Convert weights and activations to half precision; input and outputs stay float32.

    Raises:
        InvalidInputError: a constant above 65,504, the largest float16.
    """
    import numpy as np
    from onnx import TensorProto

    constants = {}
    for name, value in graph.constants.items():
        if value.dtype == np.float32 and not np.abs(value).max(initial=0.0) <= FLOAT16_MAX:
            raise InvalidInputError(
                f"float16 holds numbers up to {FLOAT16_MAX:.0f}",
                received=f"{np.abs(value).max():.3g} in {name}",
                remedy="use the float32 recipe, or retrain with weight decay",
            )
        constants[name] = value.astype(np.float16) if value.dtype == np.float32 else value
    half = f"{graph.input[0]}.f16"
    result = OnnxGraph([], constants, graph.input, graph.outputs)
    full = {name: f"{name}.f16" for name in graph.output_names}
    swap = {graph.input[0]: half, **full}
    result.nodes = [
        Node("Cast", [graph.input[0]], [half], {"to": int(TensorProto.FLOAT16)}),
        *(
            Node(
                node.op_type,
                [swap.get(name, name) for name in node.inputs],
                [swap.get(name, name) for name in node.outputs],
                node.attributes,
                node.name,
            )
            for node in graph.nodes
        ),
        *(
            Node("Cast", [source], [name], {"to": int(TensorProto.FLOAT)})
            for name, source in full.items()
        ),
    ]
    return result
