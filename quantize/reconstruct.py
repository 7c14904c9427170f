"""The float and the quantized network side by side, layer by layer, on the calibration images.

Each weighted operator is rounded for the inputs that the quantized network gives it, towards the
outputs of the float one, so later layers make good what earlier ones lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantize.affine import QuantParams
from quantize.execute import dequantized, quantized, run_op, schedule
from quantize.graph import Graph, Op
from quantize.layers import LayerSettings, solve
from quantize.moments import moments
from quantize.plan import IntegerConstant

BATCH = 16


@dataclass
class Lockstep:
    """Both networks on the same images.

    Attributes:
        graph: canonical, equalized.
        params: of activations; one without stays float.
        settings: of the layers.
        positions: see ``moments``.
        float_ops: names of operators that keep their float weights.
        exact: activations of the float network that are still to be read.
        integers: those of the quantized network; float32 where there are no parameters.
        constants: what has been decided.
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    settings: LayerSettings
    positions: int
    float_ops: frozenset[str] = frozenset()
    exact: dict[str, np.ndarray] = field(default_factory=dict)
    integers: dict[str, np.ndarray] = field(default_factory=dict)
    constants: dict[str, IntegerConstant] = field(default_factory=dict)

    def run(
        self, images: np.ndarray, advance: Callable[[int], None] = lambda _: None
    ) -> dict[str, IntegerConstant]:
        """Decide every weight and bias.

        Args:
            images: float32 ``[images, height, width, 3]``.
            advance: told of each operator that is done.

        Returns:
            Integers by tensor name.
        """
        self.exact = {self.graph.input: images}
        self.integers = {self.graph.input: self._stored(self.graph.input, images)}
        for op, spent in schedule(self.graph):
            if op.is_weighted and op.name not in self.float_ops:
                self._solve(op, self.params[op.inputs[0]])
            self._step(op, len(images))
            for name in spent:
                del self.exact[name], self.integers[name]
            advance(1)
        return self.constants

    def _solve(self, op: Op, source: QuantParams) -> None:
        name = op.inputs[0]
        count = len(self.exact[name])
        first, second = (
            moments(op, self.graph, self._pairs(name, half, count), self.positions)
            for half in (0, 1)
        )
        solved = solve(op, self.graph, source, (first, second), self.settings)
        self.constants[op.inputs[1]] = solved.weight
        self.constants[op.inputs[2]] = solved.bias

    def _pairs(self, name: str, half: int, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every other batch, from the first or from the second; one image alone is in both."""
        size = min(BATCH, -(-count // 2))  # of few images, two batches
        for first in range(half * size if count > 1 else 0, count, 2 * size):
            part = slice(first, first + size)
            yield self._exact(name, part), self._quantized(name, part)

    def _step(self, op: Op, count: int) -> None:
        """Compute an operator in both networks."""
        exact: dict[str, list[np.ndarray]] = {name: [] for name in op.outputs}
        integers: dict[str, list[np.ndarray]] = {name: [] for name in op.outputs}
        for first in range(0, count, BATCH):
            part = slice(first, first + BATCH)
            results = run_op(
                op, self.graph, [self._operand(n, part, self._exact) for n in op.inputs]
            )
            for name, value in zip(op.outputs, results, strict=True):
                exact[name].append(_compact(op, np.asarray(value)))
            results = run_op(
                op, self.graph, [self._operand(n, part, self._quantized) for n in op.inputs]
            )
            for name, value in zip(op.outputs, results, strict=True):
                integers[name].append(self._stored(name, value))
        for name in op.outputs:
            self.exact[name] = np.concatenate(exact[name])
            self.integers[name] = np.concatenate(integers[name])

    def _operand(self, name: str, part: slice, read: Callable[[str, slice], np.ndarray]) -> Any:
        if not name:
            return None
        if not self.graph.is_constant(name):
            return read(name, part)
        decided = self.constants.get(name)
        if read == self._quantized and decided is not None:
            return decided.to_float()
        return self.graph.value(name)

    def _exact(self, name: str, part: slice) -> np.ndarray:
        return np.asarray(self.exact[name][part], np.float32)

    def _quantized(self, name: str, part: slice) -> np.ndarray:
        params = self.params.get(name)
        stored = self.integers[name][part]
        return stored if params is None else np.asarray(dequantized(stored, params))

    def _stored(self, name: str, values: Any) -> np.ndarray:
        params = self.params.get(name)
        return np.asarray(values if params is None else quantized(values, params))


def _compact(op: Op, values: np.ndarray) -> np.ndarray:
    """Half precision for bounded activations, which are the large ones.

    Its step is 2 ** -8 at most below 6, a sixth of the integers' own.
    """
    bounded = np.isfinite(op.fused.limits[1])
    return values.astype(np.float16) if bounded else values
