"""Weights of a network whose activations stay float numbers, rounded layer by layer.

As in ``reconstruct``, the float network and the rounded one run side by side, each layer is rounded
for the inputs that the rounded network gives it, and its bias, which stays in float32, takes the
mean error of its outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from network.affine import params_from_range
from network.graph import Op
from network.run_litert import network_of
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.rounding.half import rounded_to_half
from quantize.rounding.layers import layers_of, mean_outputs
from quantize.rounding.moments import Moments, moments
from quantize.rounding.reconstruct import Lockstep, Step
from quantize.rounding.rows import Rows, is_stored_small
from quantize.rounding.scales import OnGrid, best_rounding, weight_params_of
from quantize.rounding.second_order import Layer
from quantize.settings import Precision


def dynamically(values: np.ndarray) -> np.ndarray:
    """What dynamic quantization leaves of an activation ``[batch, ...]``, image by image.

    Each image gets the asymmetric 8-bit parameters of its own smallest and largest number.
    """
    rounded = np.empty_like(values)
    for image, steps in zip(values, rounded, strict=True):
        params = params_from_range(float(image.min()), float(image.max()))
        scale, zero = (np.float32(numbers[0]) for numbers in (params.scale, params.zero_point))
        low, high = params.dtype.limits
        np.divide(image, scale, out=steps)
        np.rint(steps, out=steps)  # ties to even, as XNNPACK and ONNX Runtime convert
        np.maximum(steps, low - zero, out=steps)
        np.minimum(steps, high - zero, out=steps)
        steps *= scale
    return rounded


@dataclass
class FloatLockstep(Lockstep):
    """Both networks on the same images; see ``Lockstep``.

    Attributes:
        precision: precision of the files.
        floats: numbers in float32 that are decided: biases, weights of float16 numbers, and small
            weights fitted to their inputs; by tensor name.
        read: what the rounded network reads of the current operator's input, a tensor per chunk;
            None behind the operator.
    """

    precision: Precision = Precision.FLOAT16
    floats: dict[str, np.ndarray] = field(default_factory=dict)
    read: list[np.ndarray] | None = None

    def _solve(self, op: Op) -> None:
        """Decide the weight and the bias of an operator."""
        pairs = self._pairs(op)
        first, second = in_parallel(
            lambda half: moments(op, self.graph, pairs[half::2] or pairs, self._positions(op)),
            range(2),
        )
        rows = Rows.of(op, self.graph)
        exact = rows.to_rows(self.graph.weight(op))  # [channels, inputs]
        both = first.joined(second)
        layers = layers_of(rows, exact, (first, second), both, self.settings)
        target = np.empty_like(exact)
        for group, layer in layers:
            target[group] = layer.weight
        stored, bias = target, self.graph.bias(op)
        if self.precision is Precision.FLOAT16:
            stored, bias = self._halved(op, rows, layers, both)
            self.floats[op.inputs[1]] = rows.from_rows(stored).astype(np.float32)
            self.floats[op.inputs[2]] = bias.astype(np.float32)
            return
        if is_stored_small(self.graph, op):
            grid = OnGrid.of(op, exact, None, self.settings)
            scale, integers = best_rounding(op, target, layers, self.settings, grid)
            params = weight_params_of(op, scale, self.settings)
            stored = integers * scale[:, None]
            self.constants[op.inputs[1]] = IntegerConstant(
                params, rows.from_rows(integers).astype(np.int8)
            )
        if op.inputs[1] not in self.constants:
            self.floats[op.inputs[1]] = rows.from_rows(stored).astype(np.float32)
        self.floats[op.inputs[2]] = _corrected(self.graph.bias(op), rows, exact, stored, both)

    def _halved(
        self, op: Op, rows: Rows, layers: list[tuple[slice, Layer]], both: Moments
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weight ``[channels, inputs]`` and bias ``[channels]`` in half precision."""
        exact = rows.to_rows(self.graph.weight(op))
        mean, _ = both.means
        wanted = _corrected(self.graph.bias(op), rows, exact, exact, both).astype(np.float64)
        weight, bias = np.empty_like(exact), np.empty_like(wanted)
        for (group, layer), (_, inputs) in zip(layers, rows.row_groups(), strict=True):
            of_group = mean[group] if mean.ndim == 2 else mean if inputs is None else mean[inputs]
            weight[group], bias[group] = rounded_to_half(
                layer, wanted[group], of_group, sweeps=self.settings.sweeps
            )
        return weight, bias

    def _pairs(self, op: Op) -> list[tuple[np.ndarray, np.ndarray]]:
        """Batches of an operator's input in the float network and as the rounded one reads it."""
        name = op.inputs[0]
        self.read = list(in_parallel(partial(self._read, op), self.integers[name]))
        return list(zip(self.exact[name], self.read, strict=True))

    def _read(self, op: Op, values: np.ndarray) -> np.ndarray:
        dynamic = self.precision is Precision.DYNAMIC
        return dynamically(values) if dynamic and self._is_integer(op) else values

    def _is_integer(self, op: Op) -> bool:
        return is_stored_small(self.graph, op)

    def _integer_step(self, op: Op) -> None:
        """Compute an operator in the rounded network."""
        chunks = self._chunks(self.integers)
        if self.read is not None:
            chunks = ({**c, op.inputs[0]: x} for c, x in zip(chunks, self.read, strict=True))
        self._store(self.integers, op, list(in_parallel(self._computed(op), chunks)))
        self.read = None

    def _integer_steps(self, ops: Sequence[Op], names: Sequence[str]) -> Step:
        """Rounded network from images to activations behind these operators."""
        steps = [(op, self._step(op)) for op in ops]

        def run(chunk: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            values = dict(chunk)
            for op, step in steps:
                values |= zip(op.outputs, step(values), strict=True)
            return [values[name] for name in names]

        return run

    def _step(self, op: Op) -> Step:
        """An operator of the rounded network, from activations that it has not read yet."""
        computed = self._computed(op)
        if not op.is_weighted:
            return computed
        name = op.inputs[0]
        return lambda chunk: computed({**chunk, name: self._read(op, chunk[name])})

    def _computed(self, op: Op) -> Step:
        """An operator of the rounded network, from what it reads."""
        return network_of(self.graph, [op], value=self._decided).run

    def _unshrink(self, op: Op) -> None:
        """Nothing: without noise of activations there is no shrinkage worth the name."""

    def _decided(self, name: str) -> np.ndarray:
        return self.floats[name] if name in self.floats else super()._decided(name)


def _corrected(
    bias: np.ndarray, rows: Rows, exact: np.ndarray, stored: np.ndarray, both: Moments
) -> np.ndarray:
    """Bias that takes up the mean error of the outputs, float32 ``[channels]``."""
    mean, float_mean = both.means
    error = mean_outputs(rows, exact, float_mean) - mean_outputs(rows, stored, mean)
    return np.asarray(bias.astype(np.float64) + error, np.float32)
