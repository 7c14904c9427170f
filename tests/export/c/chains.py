"""Random int8 chains: convolutions, pools, sums and functions, with odd sizes and paddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from network.affine import QuantParams
from network.graph import Op
from network.oracle.call import spread_of
from network.oracle.model import IntegerModel, IntegerTensor

_SAME, _VALID = 0, 1
_KINDS = (
    "CONV_2D",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "ADD",
    "TANH",
)


@dataclass
class Chain:
    """A chain of int8 operators on one image that grows at its end.

    Attributes:
        rng: what the choices are drawn from.
        shape: shape of the image.
    """

    rng: np.random.Generator
    shape: tuple[int, ...]
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, IntegerTensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = self._activation("image", self.shape)

    def grow(self) -> None:
        """Add an operator of a random kind; of a small image, one that keeps its size."""
        kind = str(self.rng.choice(_KINDS))
        {"ADD": self._add, "TANH": self._tanh}.get(kind, lambda: self._windowed(kind))()

    def model(self) -> IntegerModel:
        """The network so far."""
        return IntegerModel(tuple(self.ops), self.tensors, "image", (self.end,))

    def _params(self) -> QuantParams:
        return QuantParams(
            (float(self.rng.uniform(0.02, 0.1)),), (int(self.rng.integers(-20, 20)),)
        )

    def _activation(
        self, name: str, shape: tuple[int, ...], params: QuantParams | None = None
    ) -> str:
        self.tensors[name] = IntegerTensor(name, shape, "int8", params or self._params())
        return name

    def _stored(self, name: str, value: np.ndarray, params: QuantParams) -> str:
        self.tensors[name] = IntegerTensor(name, value.shape, value.dtype.name, params, value)
        return name

    def _new(self) -> str:
        return f"t{len(self.ops)}"

    def _tanh(self) -> None:
        name, shape = self._new(), self.tensors[self.end].shape
        self._activation(name, shape, QuantParams((1 / 128,), (0,)))
        self._append("TANH", (self.end,), name, {})

    def _add(self) -> None:
        """A sum with the newest older activation of the same shape, or with itself."""
        name, shape = self._new(), self.tensors[self.end].shape
        older = [
            n for n, t in self.tensors.items()
            if t.value is None and t.shape == shape and n != self.end
        ]  # fmt: skip
        other = older[-1] if older else self.end
        self._activation(name, shape)
        self._append("ADD", (other, self.end), name, {"fusedActivationFunction": 0})

    def _windowed(self, kind: str) -> None:
        """A convolution or a pool of any window, stride, dilation and padding."""
        rng, sides = self.rng, self.tensors[self.end].shape[1:3]
        taps = [int(rng.integers(1, 1 + min(4, side))) for side in sides]
        dilated = kind.endswith("CONV_2D") and rng.random() < 0.2
        dilations = [
            int(rng.integers(1, 3)) if dilated and 2 * (tap - 1) < side else 1
            for tap, side in zip(taps, sides, strict=True)
        ]
        strides = [1, 1] if dilated else [int(n) for n in rng.integers(1, 4, 2)]
        padding = int(rng.choice((_SAME, _VALID)))
        extents = [(tap - 1) * step + 1 for tap, step in zip(taps, dilations, strict=True)]
        down, across = (
            spread_of(side, extent, stride, same=padding == _SAME)[0]
            for side, extent, stride in zip(sides, extents, strides, strict=True)
        )
        options = {"padding": padding, "strideH": strides[0], "strideW": strides[1]}
        options["fusedActivationFunction"] = int(rng.choice((0, 1, 3)))
        if kind.endswith("POOL_2D"):
            options |= {"filterHeight": taps[0], "filterWidth": taps[1]}
            source = self.tensors[self.end]
            name = self._activation(self._new(), (1, down, across, source.shape[3]), source.params)
            self._append(kind, (self.end,), name, options)
            return
        options |= {"dilationHFactor": dilations[0], "dilationWFactor": dilations[1]}
        self._convolution(kind, taps, (down, across), options)

    def _convolution(
        self, kind: str, taps: Sequence[int], sides: tuple[int, int], options: dict[str, int]
    ) -> None:
        rng, name, source = self.rng, self._new(), self.tensors[self.end]
        channels, depthwise = source.shape[3], kind == "DEPTHWISE_CONV_2D"
        results = channels * int(rng.integers(1, 3)) if depthwise else int(rng.integers(1, 9))
        if depthwise:
            options["depthMultiplier"] = results // channels
        shape = (1, *taps, results) if depthwise else (results, *taps, channels)
        scales = tuple(float(s) for s in rng.uniform(0.002, 0.02, results))
        zeros = (0,) * results
        weight = rng.integers(-127, 128, shape).astype(np.int8)
        of_weights = QuantParams(scales, zeros, axis=3 if depthwise else 0)
        assert source.params is not None
        of_bias = QuantParams(tuple(source.params.scale[0] * s for s in scales), zeros, axis=0)
        bias = rng.integers(-2000, 2000, results).astype(np.int32)
        stored = (
            self._stored(f"{name} weights", weight, of_weights),
            self._stored(f"{name} bias", bias, of_bias),
        )
        self._activation(name, (1, *sides, results))
        self._append(kind, (self.end, *stored), name, options)

    def _append(
        self, kind: str, inputs: tuple[str, ...], name: str, options: dict[str, int]
    ) -> None:
        self.ops.append(Op(kind, inputs, (name,), options))
        self.end = name


def chains(seed: int) -> Iterator[IntegerModel]:
    """Networks of two to seven operators, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        shape = (1, *(int(n) for n in rng.integers(3, 20, 2)), int(rng.integers(1, 5)))
        chain = Chain(rng, shape)
        for _ in range(int(rng.integers(2, 8))):
            chain.grow()
        yield chain.model()
