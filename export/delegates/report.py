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

from foundation.errors import InvalidInputError
from network.tflite.reader import QUANTIZE, FlatModel, GraphOperator, Subgraph, read_flat_model

_FLOAT = frozenset({"float32", "float16"})


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
        sources: where the rows that were looked at come from.
        taken: number of operators that it may take.
        operators: number of all.
        refused: the others, by reason.
        remarks: what holds for the file as a whole.
    """

    device: str
    title: str
    sources: tuple[str, ...]
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
class Row:
    """One operator that a device takes.

    Attributes:
        operator: TFLite's builtin name.
        source: where that is said: page or file, its version, and the place in it.
        types: of the activations; None for those of the device.
        newest: version of the operator up to which it is taken; None where the source has none.
        rules: reasons against it, from the same source.
    """

    operator: str
    source: str
    types: frozenset[str] | None = None
    newest: int | None = None
    rules: tuple[Rule, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Device:
    """A table of operators.

    Attributes:
        name: as in ``--for``.
        title: for people.
        types: of the activations that it takes, unless a row says otherwise.
        rows: one an operator.
        rules: reasons against any operator.
        rule_sources: where they are said, one each.
        one_partition: the compiler cuts the graph once: what comes after the first operator that
            it leaves runs on the CPU too.
    """

    name: str
    title: str
    types: frozenset[str]
    rows: tuple[Row, ...] = field(repr=False)
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    rule_sources: tuple[str, ...] = field(default=(), repr=False)
    one_partition: bool = False

    def row(self, operator: str) -> Row | None:
        """The operator's row; None where the table has none."""
        return next((row for row in self.rows if row.operator == operator), None)

    def sources(self, operators: set[str]) -> tuple[str, ...]:
        """Where it is said of these operators, of all when none of them is in the table."""
        told = [row.source for row in self.rows if row.operator in operators]
        return tuple(dict.fromkeys([*(told or (row.source for row in self.rows))]))


def lint(path: Path, device: Device) -> DelegateReport:
    """What a device would not take of a .tflite.

    Raises:
        InvalidInputError: no TFLite file.
    """
    model = read_flat_model(path)
    graph = model.subgraphs[0]
    reasons = [_reason(graph, operator, device) for operator in graph.operators]
    remarks = _remarks(model, device, reasons)
    # A float input's QUANTIZE stays on the CPU and cuts nothing, as the compiler's logs show
    # (github.com/system-software-lab/nrf20, convert/quantize/README.md, compiler 15).
    start = int(bool(reasons) and graph.operators[0].name == QUANTIZE)
    if device.one_partition and any(reasons[start:]):
        first = next(i for i in range(start, len(reasons)) if reasons[i])
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
        sources=device.sources({operator.name for operator in graph.operators}),
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
    from export.delegates.tables import DEVICES

    for known in DEVICES:
        if known.name == name:
            return known
    raise InvalidInputError(
        f"--for takes one of {', '.join(d.name for d in DEVICES)}",
        received=name,
        remedy="give one of these",
    )


def _reason(graph: Subgraph, operator: GraphOperator, device: Device) -> str | None:
    row = device.row(operator.name)
    if row is None:
        return "is not in the table of operators"
    ends = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
    for tensor in ends:
        if None in tensor.shape:
            return "has a shape that is not fixed"
    types = {t.dtype for t in ends if not t.constant}
    taken = device.types if row.types is None else row.types
    if others := sorted(types - taken):
        return f"computes in {', '.join(others)}, taken in {', '.join(sorted(taken))}"
    if row.newest is not None and operator.version > row.newest:
        return f"is of version {operator.version}, taken up to {row.newest}"
    rules = (*row.rules, *device.rules)
    return next((why for rule in rules if (why := rule(graph, operator))), None)


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
