"""Operators that a delegate or accelerator would leave to the CPU, by tables with their sources.

Only operators, element types and shapes of a .tflite are looked at. A driver may refuse an operator
for other reasons, so an operator listed here as taken is a candidate.
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
        count: number of operators.
        reason: the reason in words.
    """

    operator: str
    count: int
    reason: str


@dataclass(frozen=True)
class DelegateReport:
    """Operators of a file that a device would take and refuse.

    Attributes:
        device: registered name of the device.
        title: full name of the device.
        sources: sources of the rows that apply to the file.
        taken: number of operators that it may take.
        operators: number of all operators.
        refused: the operators that it does not take, by reason.
        remarks: remarks on the file as a whole.
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
"""(subgraph, operator) -> reason why it is not taken; None where the rule allows it."""


@dataclass(frozen=True)
class Row:
    """One operator that a device takes.

    Attributes:
        operator: TFLite's builtin name.
        source: page or file that says so, with its version and the function or section.
        types: allowed types of the activations; None for those of the device.
        newest: highest version of the operator that is taken; None where the source names none.
        rules: rules that may refuse it, from the same source.
    """

    operator: str
    source: str
    types: frozenset[str] | None = None
    newest: int | None = None
    rules: tuple[Rule, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Device:
    """A delegate or accelerator with its table of operators.

    Attributes:
        name: name in ``--for``.
        title: full name, for reports.
        types: types of activations that it takes, where a row does not name others.
        rows: one row per operator.
        rules: rules that may refuse any operator.
        rule_sources: source of each of these rules.
        one_partition: whether the compiler cuts the graph only once, so that every operator after
            the first refused one runs on the CPU too.
    """

    name: str
    title: str
    types: frozenset[str]
    rows: tuple[Row, ...] = field(repr=False)
    rules: tuple[Rule, ...] = field(default=(), repr=False)
    rule_sources: tuple[str, ...] = field(default=(), repr=False)
    one_partition: bool = False

    def row(self, operator: str) -> Row | None:
        """Row of an operator; None where the table has none."""
        return next((row for row in self.rows if row.operator == operator), None)

    def sources(self, operators: set[str]) -> tuple[str, ...]:
        """Sources of the rows of these operators; of all rows when none of them is in the table."""
        sources = [row.source for row in self.rows if row.operator in operators]
        return tuple(dict.fromkeys([*(sources or (row.source for row in self.rows))]))


def lint(path: Path, device: Device) -> DelegateReport:
    """List the operators of a .tflite that a device would not take.

    Raises:
        InvalidInputError: not a TFLite file.
    """
    model = read_flat_model(path)
    graph = model.subgraphs[0]
    reasons = [_reason(graph, operator, device) for operator in graph.operators]
    remarks = _remarks(model, device, reasons)
    # The QUANTIZE of a float input stays on the CPU without a cut, as the compiler's logs show
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
    """Device by name.

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
