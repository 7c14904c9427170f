"""Activation functions whose parts grow without bound, or that no reference kernel computes.

LiteRT's resolver of reference kernels does not register ELU (ai-edge-litert 2.3.0), and a file with
it could not be proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from network.graph import Op
from network.operators import OpKind
from network.rewrites.parts import Parts, Rule

_NEAR = 1e-5
"""Relative difference of two branches at their border that is a rounding in float32."""

_ABOVE, _BELOW = ("GREATER", "GREATER_EQUAL"), ("LESS", "LESS_EQUAL")

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    OpKind.ADD: np.add,
    OpKind.SUB: np.subtract,
    OpKind.MUL: np.multiply,
    OpKind.MAXIMUM: np.maximum,
    OpKind.MINIMUM: np.minimum,
    OpKind.EXP: np.exp,
    OpKind.TANH: np.tanh,
    "NEG": np.negative,
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
"""Functions of a branch of SELECT, float64."""


def _elu(parts: Parts) -> bool:
    """``elu(x) = relu(x) + (exp(min(x, 0)) - 1)``; the exponential stays below 1."""
    (source,) = parts.op.inputs
    below = parts.add(OpKind.MINIMUM, "below", source, parts.constant("zero", 0.0))
    power = parts.add(OpKind.EXP, "power", below)
    bent = parts.add(OpKind.SUB, "bent", power, parts.constant("one", 1.0))
    parts.add(OpKind.ADD, "", parts.add(OpKind.RELU, "above", source), bent)
    return True


def _softplus(parts: Parts) -> bool:
    """``log(exp(x) + 1) = relu(x) - log(sigmoid(|x|))``; the logarithm stays above -0.7."""
    summed = parts.with_scalar(parts.producer(parts.op.inputs[0], OpKind.ADD))
    power = None if summed is None or summed[1] != 1.0 else parts.producer(summed[0], OpKind.EXP)
    if power is None:
        return False
    (source,) = power.inputs
    size = parts.add(OpKind.ABS, "size", source)
    near = parts.add(OpKind.LOG, "near", parts.add(OpKind.LOGISTIC, "share", size))
    parts.add(OpKind.SUB, "", parts.add(OpKind.RELU, "above", source), near)
    return True


def _joined_branches(parts: Parts) -> bool:
    """SELECT between two functions f and g of x that meet at a constant c.

    With ``f(c) = g(c)``, ``f(x) if x > c else g(x)`` is ``f(max(x, c)) + g(min(x, c)) - f(c)``,
    and a leaky ReLU where f is x, g a multiple of it and c 0.
    """
    border = _border(parts)
    if border is None:
        return False
    source, number, branches = border
    if any(parts.scalar(name) is not None for name in branches):
        return _bent(parts, source, number, branches)
    above, below = (_chain(parts, name, source) for name in branches)
    if above is None or below is None:
        return False
    ends = [_at(parts, chain, number) for chain in (above, below)]
    if not _meet(ends[0], ends[1], number):
        return False
    slope = parts.with_scalar(below[0]) if len(below) == 1 and below[0].kind == "MUL" else None
    if not above and slope is not None and number == 0.0:
        parts.add(OpKind.LEAKY_RELU, "", source, alpha=slope[1])
        return True
    if above and above[0].kind == "ELU" and number >= 0.0:
        above = above[1:]  # nothing is below zero here
    limit = parts.constant("border", number)
    high = _cloned(parts, above, parts.add(OpKind.MAXIMUM, "above", source, limit))
    low = _cloned(parts, below, parts.add(OpKind.MINIMUM, "below", source, limit))
    if abs(ends[0]) > _NEAR:
        total = parts.add(OpKind.ADD, "total", high, low)
        parts.add(OpKind.SUB, "", total, parts.constant("end", ends[0]))
    else:
        parts.add(OpKind.ADD, "", high, low)
    return True


def _bent(parts: Parts, source: str, number: float, branches: tuple[str, str]) -> bool:
    """SELECT between a function of x and the number that it has at the border."""
    side = 0 if parts.scalar(branches[0]) is None else 1
    end, chain = parts.scalar(branches[1 - side]), _chain(parts, branches[side], source)
    if end is None or not chain or not _meet(end, _at(parts, chain, number), number):
        return False
    limit = parts.constant("border", number)
    kind, role = ((OpKind.MAXIMUM, "above"), (OpKind.MINIMUM, "below"))[side]
    _cloned(parts, chain, parts.add(kind, role, source, limit), last=True)
    return True


def _meet(first: float, second: float, border: float) -> bool:
    """Whether two values at a border differ by no more than a rounding in float32."""
    return abs(first - second) <= _NEAR * max(1.0, abs(border), abs(first))


def _border(parts: Parts) -> tuple[str, float, tuple[str, str]] | None:
    """The compared tensor, the constant, and the branches above and below it."""
    chosen, first, second = parts.op.inputs
    comparison = parts.producer(chosen, *_ABOVE, *_BELOW)
    compared = parts.with_scalar(comparison)
    if comparison is None or compared is None:
        return None
    source, number = compared
    is_above = (comparison.kind in _ABOVE) is (comparison.inputs[0] == source)
    return source, number, (first, second) if is_above else (second, first)


def _chain(parts: Parts, name: str, source: str) -> list[Op] | None:
    """Operators from ``source`` to a tensor, each a function of one number; None if they are not.

    The operators are those of the graph before any rule; what a rule has replaced is read there.
    """
    chain: list[Op] = []
    while name != source:
        op = parts.graph.producers.get(name)
        if op is None or op.kind not in _FUNCTIONS or op.options.get("fusedActivationFunction"):
            return None
        moving = [n for n in op.inputs if parts.scalar(n) is None]
        if len(moving) != 1 or parts.graph.is_constant(moving[0]):
            return None
        chain.insert(0, op)
        name = moving[0]
    return chain


def _at(parts: Parts, chain: list[Op], number: float) -> float:
    """Value of a chain of operators at a number."""
    value = np.float64(number)
    for op in chain:
        numbers = [parts.scalar(name) for name in op.inputs]
        arguments = [value if n is None else np.float64(n) for n in numbers]
        value = np.float64(_FUNCTIONS[op.kind](*arguments))
    return float(value)


def _cloned(parts: Parts, chain: list[Op], start: str, *, last: bool = False) -> str:
    """Name of the result of a chain of operators on another tensor than its own.

    With ``last`` it gives the result of the replaced operator.
    """
    role = start.removeprefix(f"{parts.op.name}_")
    name = start
    for number, op in enumerate(chain):
        inputs = [n if parts.scalar(n) is not None else name for n in op.inputs]
        part = "" if last and number == len(chain) - 1 else f"{role}_{number}"
        result = parts.add(op.kind, part, *inputs, **op.options)
        parts.ops[-1] = parts.made[result] = replace(
            parts.ops[-1], options_type=op.options_type, version=op.version
        )
        name = result
    return name


RULES: Mapping[str, Sequence[Rule]] = {
    "ELU": (_elu,),
    OpKind.LOG: (_softplus,),
    "SELECT": (_joined_branches,),
    "SELECT_V2": (_joined_branches,),
}
