"""What a delegate or accelerator would leave to the CPU, from tables with their sources.

The answer comes from operators, element types and shapes of a .tflite alone: a driver may still
refuse an operator for a reason of its own, so what is listed here as taken is a candidate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from calibration_data.errors import InvalidInputError
from export.inspection import TensorInfo
from export.tflite_graph import FlatModel, GraphOperator, Subgraph, read_flat_model

_QUANTIZED = frozenset({"int8", "uint8"})
_FLOAT = frozenset({"float32", "float16"})
_MOST_SOFTMAX = 16_000


@dataclass(frozen=True)
class Refusal:
    """Operators that a device does not take, for one reason.

    Attributes:
        operator: TFLite's builtin name.
        count: how many.
        reason: why, in words.
    """

    operator: str
    count: int
    reason: str


@dataclass(frozen=True)
class DelegateReport:
    """What a device would take of a file.

    Attributes:
        device: registered name.
        title: of the device.
        source: where the table comes from.
        taken: number of operators that it may take.
        operators: number of all.
        refused: the others, by reason.
        remarks: what holds for the file as a whole.
    """

    device: str
    title: str
    source: str
    taken: int
    operators: int
    refused: tuple[Refusal, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


Rule = Callable[[Subgraph, GraphOperator], str | None]
"""Why an operator is not taken; None when the rule has nothing against it."""


@dataclass(frozen=True)
class Device:
    """A table row set: which operators, in which types, under which rules.

    Attributes:
        name: as in ``--for``.
        title: for people.
        source: of the table.
        operators: TFLite builtin names that it takes.
        types: of the activations that it takes.
        rules: further reasons against an operator.
        float_only: operators that it takes in float alone.
        one_partition: the compiler cuts the graph once: what comes after the first operator that
            it leaves runs on the CPU too.
    """

    name: str
    title: str
    source: str
    operators: frozenset[str]
    types: frozenset[str]
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    float_only: frozenset[str] = frozenset()
    one_partition: bool = False


def lint(path: Path, device: Device) -> DelegateReport:
    """What a device would not take of a .tflite.

    Raises:
        InvalidInputError: no TFLite file.
    """
    model = read_flat_model(path)
    graph = model.subgraphs[0]
    reasons = [_reason(graph, operator, device) for operator in graph.operators]
    remarks = _remarks(model, device, reasons)
    if device.one_partition and any(reasons):
        first = next(i for i, reason in enumerate(reasons) if reason)
        after = f"comes after {graph.operators[first].name}, and the compiler cuts the graph once"
        reasons = [reason or (after if i > first else None) for i, reason in enumerate(reasons)]
    counts = Counter(
        (operator.name, reason)
        for operator, reason in zip(graph.operators, reasons, strict=True)
        if reason
    )
    refused = tuple(Refusal(name, count, reason) for (name, reason), count in counts.items())
    return DelegateReport(
        device=device.name,
        title=device.title,
        source=device.source,
        taken=sum(reason is None for reason in reasons),
        operators=len(reasons),
        refused=refused,
        remarks=remarks,
    )


def device(name: str) -> Device:
    """The device of that name.

    Raises:
        InvalidInputError: no such device.
    """
    from export.delegate_tables import DEVICES

    for known in DEVICES:
        if known.name == name:
            return known
    raise InvalidInputError(
        f"--for takes one of {', '.join(d.name for d in DEVICES)}",
        received=name,
        remedy="give one of these",
    )


def _reason(graph: Subgraph, operator: GraphOperator, device: Device) -> str | None:
    if operator.name not in device.operators:
        return "is not in the table of operators"
    ends = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    for tensor in ends:
        if None in tensor.shape:
            return "has a shape that is not fixed"
    types = {t.dtype for t in ends if not t.constant}
    if others := sorted(types - device.types - {"int32", "bool"}):
        return f"computes in {', '.join(others)}"
    if operator.name in device.float_only and types & _QUANTIZED:
        return f"is taken in float only, and computes in {', '.join(sorted(types & _QUANTIZED))}"
    return next((why for rule in device.rules if (why := rule(graph, operator))), None)


def _remarks(model: FlatModel, device: Device, reasons: list[str | None]) -> tuple[str, ...]:
    graph = model.subgraphs[0]
    remarks = []
    if len(model.subgraphs) > 1:
        remarks.append(f"{len(model.subgraphs)} subgraphs: only the first is looked at")
    floats = [graph.tensors[i] for i in graph.inputs if graph.tensors[i].dtype == "float32"]
    if floats and not device.types & _FLOAT:
        remarks.append("the input is float32: export with --io uint8 or int8")
    if reasons and reasons[0]:
        remarks.append("the first operator already stays on the CPU")
    return tuple(remarks)


# Rules. Shapes are NHWC, the batch first.


def fully_connected_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's FULLY_CONNECTED has a one-dimensional output."""
    if operator.name != "FULLY_CONNECTED":
        return None
    shape = graph.tensors[operator.outputs[0]].shape
    return None if _elements(shape[:-1]) == 1 else f"has an output {list(shape)}, not a vector"


def softmax_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's SOFTMAX takes a vector of at most 16,000 elements."""
    if operator.name != "SOFTMAX":
        return None
    shape = graph.tensors[operator.inputs[0]].shape
    fits = _elements(shape[:-1]) == 1 and (shape[-1] or 0) <= _MOST_SOFTMAX
    return None if fits else f"is over {list(shape)}, not a vector of at most {_MOST_SOFTMAX:,}"


def three_dimensions(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's tensors have three dimensions larger than one, the innermost."""
    for index in (*operator.inputs, *operator.outputs):
        tensor = graph.tensors[index] if index >= 0 else None
        if tensor is not None and not tensor.constant and _elements(tensor.shape[:-3]) > 1:
            return f"has a tensor {list(tensor.shape)}, with more than three dimensions above one"
    return None


def rank_at_most_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI's and the GPU delegate's tensors have at most four axes."""
    for index in (*operator.inputs, *operator.outputs):
        if index >= 0 and len(graph.tensors[index].shape) > 4:
            return f"has a tensor of rank {len(graph.tensors[index].shape)}, above four"
    return None


def depth_multiplier_is_one(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The GPU delegate takes a depth multiplier on one-channel inputs only."""
    if operator.name != "DEPTHWISE_CONV_2D":
        return None
    inside = graph.tensors[operator.inputs[0]].shape[-1] or 1
    outside = graph.tensors[operator.outputs[0]].shape[-1] or 1
    if outside == inside or inside == 1:
        return None
    return f"has a depth multiplier of {outside // inside} on {inside} channels"


def weights_are_constant(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML's convolutions and matrix products have constant weights."""
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return None
    weights = graph.tensors[operator.inputs[1]]
    return None if weights.constant or _from_constant(graph, weights) else "has computed weights"


def fully_connected_is_per_tensor(graph: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI's FULLY_CONNECTED has one scale for its weights."""
    weights = graph.weights(operator) if operator.name == "FULLY_CONNECTED" else None
    if weights is None or len(weights.scale) <= 1:
        return None
    return f"has {len(weights.scale)} weight scales, one a channel"


def dequantize_is_eight_bit(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The GPU delegate dequantizes 8-bit integers and float16, not int16."""
    if operator.name != "DEQUANTIZE":
        return None
    kind = graph.tensors[operator.inputs[0]].dtype
    return f"is from {kind}" if kind == "int16" else None


def _from_constant(graph: Subgraph, tensor: TensorInfo) -> bool:
    """Whether a tensor is a stored one behind a DEQUANTIZE, as in float16 files."""
    for operator in graph.operators:
        if any(graph.tensors[i] is tensor for i in operator.outputs):
            return operator.name == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].constant
    return False


def _elements(shape: tuple[int | None, ...]) -> int:
    product = 1
    for size in shape:
        product *= size or 1
    return product
