"""Float islands: operators without an integer form, which stay in float32 in an int8 file.

They are known from the canonical graph, before anything is measured (ADR 23).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from foundation.errors import UnsupportedError
from network.graph import Graph
from network.integer_forms import without_integer_form
from network.multiply_adds import shares
from network.run_litert import network_of
from network.run_operator import fits_kernels, not_run
from network.run_tensorflow import KERNELS
from quantize.recipes import Recipe
from quantize.settings import Optimization

MOST_FLOAT = 0.05
"""Largest share of the multiply-adds that float islands may have, unless the user gives another."""

_SHOWN = 8
"""Operators named in a sentence; the plan and the record name all."""

NO_KERNEL = "no integer kernel in ONNX Runtime"
"""Reason of an operator that an .onnx computes in float between its quantizers."""

NO_INT16 = "no int16 kernel"
"""Reason of an operator that stays in float in tflite-int16x8."""


@dataclass(frozen=True)
class FloatOperator:
    """Operator that an int8 file computes in float32.

    Attributes:
        name: name of the operator.
        kind: TFLite's name of its kind.
        reason: why it has no integer form, as a phrase.
        share: share of the network's multiply-adds, 0 to 1 (``network.multiply_adds``).
    """

    name: str
    kind: str
    reason: str
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self).copy()

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({percent(self.share)}, {self.reason})"


def percent(share: float) -> str:
    """A share as a percentage: one decimal, and less than that as such."""
    return "<0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def islands(graph: Graph, others: Mapping[str, str] | None = None) -> tuple[FloatOperator, ...]:
    """Operators of a network that an int8 file computes in float32, in the order of the graph.

    Args:
        graph: canonical.
        others: further ones that a format has no integer form for, reason by name.
    """
    return named(graph, {**(others or {}), **without_integer_form(graph)})


def named(graph: Graph, reasons: Mapping[str, str]) -> tuple[FloatOperator, ...]:
    """These operators with their shares, in the order of the graph.

    Args:
        graph: canonical, or as a file has it.
        reasons: why each stays in float32, by name.
    """
    counted = shares(graph, reasons)
    return tuple(
        FloatOperator(op.name, str(op.kind), reasons[op.name], counted[op.name])
        for op in graph.ops
        if op.name in reasons
    )


def with_islands(recipe: Recipe, graph: Graph) -> Recipe:
    """Recipe whose plan leaves every operator without an integer form in float32."""
    names = set(without_integer_form(graph))
    if names <= set(recipe.settings.float_ops):
        return recipe
    float_ops = tuple(sorted(names.union(recipe.settings.float_ops)))
    return replace(recipe, settings=replace(recipe.settings, float_ops=float_ops))


def note(operators: Iterable[FloatOperator]) -> tuple[str, ...]:
    """Sentence about operators in float32; none where there are none."""
    given = tuple(operators)
    if not given:
        return ()
    whole = percent(sum(op.share for op in given))
    return (f"stays in float32, {whole} of the multiply-adds: {_listed(given)}",)


def check_share(
    operators: Iterable[FloatOperator], most: float, asked: Iterable[str], name: str
) -> None:
    """Refuse a network of which too much would stay in float32.

    Args:
        operators: operators in float32.
        most: largest share of the multiply-adds.
        asked: names of operators that the user leaves in float32, which do not count.
        name: name of the recipe.

    Raises:
        UnsupportedError: names the operators with their shares.
    """
    chosen = frozenset(asked)
    counted = tuple(op for op in operators if op.name not in chosen)
    share = sum(op.share for op in counted)
    if share > most:
        raise UnsupportedError(
            f"operators without an integer form have at most {percent(most)} of the multiply-adds"
            f" of an int8 network (--max-float-share {most:g})",
            received=f"{percent(share)} in {name}: {_listed(counted)}",
            remedy=f"give --max-float-share {min(1.0, -(-share * 100 // 1) / 100):g}, replace these"
            " layers, or use a float16 recipe",
        )


def check_trainable(graph: Graph, recipe: Recipe) -> None:
    """Refuse training through an operator that has no gradient here.

    Raises:
        UnsupportedError: names the operator.
    """
    if recipe.settings.optimization is not Optimization.QAT or not recipe.planned:
        return
    for op in graph.ops:
        if op.kind not in KERNELS or not fits_kernels(graph, op):
            raise UnsupportedError(
                "training with quantizers needs the gradient of every operator",
                received=f"{op.kind}, which gives {op.name} and runs in LiteRT alone",
                remedy="use --optimize best",
            )


def check_examples(graph: Graph) -> None:
    """Refuse a number of all examples of a batch together, such as a mean over every axis.

    Raises:
        UnsupportedError: names the operator that computes it.
    """
    for op in graph.ops:
        for name in op.outputs:
            if not graph.tensors[name].shape:
                raise UnsupportedError(
                    "each activation of a network to quantize belongs to one example",
                    received=f"{op.kind}, which gives {name}, one number for the whole batch",
                    remedy="replace the layer that joins the examples of a batch",
                )


def check_float_ends(graph: Graph) -> None:
    """Refuse a network with an output of no float32 numbers.

    Raises:
        UnsupportedError: names the type.
    """
    for name in graph.outputs:
        dtype = graph.tensors[name].dtype
        if dtype != "float32":
            raise UnsupportedError(
                "the outputs of a network are float32 numbers",
                received=f"{dtype} from {graph.producers[name].kind}",
                remedy="end the model before that layer, and take the largest score afterwards",
            )


def check_runs(graph: Graph) -> None:
    """Refuse operators that LiteRT does not run either, and those that draw random numbers.

    Raises:
        UnsupportedError: names the first of them.
    """
    floats = without_integer_form(graph)
    for op in graph.ops:
        if all(not name or graph.is_constant(name) for name in op.inputs):
            raise UnsupportedError(
                "the operators of a network compute from its input",
                received=f"{op.kind}, which gives {op.name} from stored values or by chance",
                remedy="remove that layer",
            )
        if op.name in floats:
            try:
                network_of(graph, [op]).load()
            except (KeyError, RuntimeError, ValueError) as error:
                raise not_run(op, error) from error


def _listed(operators: tuple[FloatOperator, ...]) -> str:
    shown = sorted(operators, key=lambda op: -op.share)[:_SHOWN]
    more = len(operators) - len(shown)
    return ", ".join(map(str, shown)) + (f" and {more} more" if more else "")
