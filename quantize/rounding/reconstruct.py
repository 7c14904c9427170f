"""The float and the quantized network side by side, layer by layer, on the calibration images.

Each weighted operator is rounded for the inputs that the quantized network gives it, towards the
outputs of the float one, so later layers compensate what earlier ones lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import OpKind
from network.run_litert import network_of
from network.run_tensorflow import schedule
from quantize.parallel import in_parallel
from quantize.plans.plan import IntegerConstant
from quantize.ranges.float_pass import spread
from quantize.rounding.admission import admitted, spread_pairs
from quantize.rounding.gain import last_layers, output_sums, unshrunk
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.layers import solve
from quantize.rounding.moments import Moments, moments

CHUNK_BYTES = 24 * 1024**2
"""Bytes of an activation's float32 values in one chunk of images: what fits fast memory, and what
glibc takes from its heap without asking the system each time (32 MiB at most)."""

LARGEST_CHUNK = 16
"""Largest number of images per chunk."""

DEPTHWISE_POSITIONS = 1600
"""Positions of all images together for a depthwise operator: its channels have few inputs, and this
many tell enough of them."""

DEPTHWISE_SHARE = 8
"""At least one in so many of an image's positions is looked at, however many images there are."""

DEPTHWISE_MOST = 100
"""Largest number of one image's positions that this share asks for."""

DEPTHWISE_IMAGES = 128
"""Images that are enough for a depthwise operator, evenly spread over all."""

Step = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
"""From the activations of a chunk, by name, to results ``[images, ...]``."""


@dataclass
class Lockstep:
    """Both networks on the same images, in chunks of images.

    Attributes:
        graph: canonical, equalized.
        params: parameters of activations, by name; an activation without stays float.
        settings: how the layers are rounded.
        positions: largest number of one image's positions that the moments of a layer include.
        float_ops: names of operators that keep their float weights.
        narrow_ops: names of operators with weights in 4 bits.
        waiting: chunks of images that have not entered the networks yet (``admission``).
        exact: activations of the float network that are still to be read: by name, a tensor per
            chunk.
        integers: the same activations of the quantized network; float32 where there are no
            parameters.
        constants: integers of the weights and biases that are decided, by tensor name.
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    settings: LayerSettings
    positions: int
    float_ops: frozenset[str] = frozenset()
    narrow_ops: frozenset[str] = frozenset()
    waiting: deque[np.ndarray] = field(default_factory=deque)
    exact: dict[str, list[np.ndarray]] = field(default_factory=dict)
    integers: dict[str, list[np.ndarray]] = field(default_factory=dict)
    constants: dict[str, IntegerConstant] = field(default_factory=dict)

    def run(
        self, images: np.ndarray, advance: Callable[[int], None] = lambda _: None
    ) -> dict[str, IntegerConstant]:
        """Decide every weight and bias.

        Args:
            images: float32 ``[images, height, width, 3]``.
            advance: called with 1 after each operator.

        Returns:
            Integers by tensor name.
        """
        chunks = np.array_split(images, self._chunk_count(len(images)))
        most = admitted(self.graph)
        whole = not most or len(images) <= most[0]
        self.waiting = deque(chunks if whole else spread_pairs(chunks))
        self.exact, self.integers = {self.graph.input: []}, {self.graph.input: []}
        last = last_layers(self.graph)
        with ThreadPoolExecutor(1) as float_thread:  # rounding leaves a core to the float network
            for position, (op, spent) in enumerate(schedule(self.graph)):
                if position < len(most):  # no weight follows on the others
                    self._admit(position, most[position])
                    self._pass(op, float_thread)
                    if op.name in last and op.name not in self.float_ops:
                        self._unshrink(op)
                    for name in spent:
                        del self.exact[name], self.integers[name]
                advance(1)
        return self.constants

    def _pass(self, op: Op, float_thread: ThreadPoolExecutor) -> None:
        """Compute an operator in both networks, and decide its weight and bias if it has some."""
        float_outputs = float_thread.submit(self._float_step, op)
        if op.is_weighted and op.name not in self.float_ops:
            self._solve(op)
        self._integer_step(op)
        self._store(self.exact, op, float_outputs.result())

    def _admit(self, position: int, most: int) -> None:
        """Run chunks that wait through the operators before a position, in both networks.

        As many as leave no more than ``most`` images there, pairs of one for each half.
        """
        standing = sum(len(chunk) for chunk in next(iter(self.exact.values())))
        chunks: list[np.ndarray] = []
        while pair := list(islice(self.waiting, 2)):
            standing += sum(len(chunk) for chunk in pair)
            if standing > most and (chunks or position):
                break
            chunks += pair
            for _ in pair:
                self.waiting.popleft()
        if not chunks:
            return
        passed, source = self.graph.ops[:position], self.graph.input
        params = self.params.get(source)
        starts = [params.quantize(chunk) if params else chunk for chunk in chunks]
        for standing_there, step, inputs in (
            (self.exact, self._float_steps, chunks),
            (self.integers, self._integer_steps, starts),
        ):
            names = tuple(name for name in standing_there if name != source)
            if source in standing_there:
                standing_there[source] += inputs
            if names:
                given = ({source: chunk} for chunk in inputs)
                for results in in_parallel(step(passed, names), given):
                    for name, result in zip(names, results, strict=True):
                        standing_there[name].append(result)

    def _chunk_count(self, count: int) -> int:
        """Number of chunks: even, so that every other one is a half; a single image is in both."""
        largest = 4 * max(int(np.prod(self.graph.tensors[n].shape)) for n in self.graph.activations)
        size = min(LARGEST_CHUNK, max(1, CHUNK_BYTES // largest))
        return min(count, 2 * -(-count // (2 * size)))

    def _solve(self, op: Op) -> None:
        """Decide the integers of a weighted operator."""
        source = self.params[op.inputs[0]]
        first, second = in_parallel(lambda half: self._half(op, half, source), range(2))
        settings = self.settings.in_four_bits() if op.name in self.narrow_ops else self.settings
        solved = solve(op, self.graph, source, (first, second), settings)
        self.constants[op.inputs[1]] = solved.weight
        self.constants[op.inputs[2]] = solved.bias

    def _unshrink(self, op: Op) -> None:
        """Give the outputs of a last layer the gain and the means of the float network."""
        names, params = op.inputs[1:3], self.params.get(op.name)
        found = self.integers[op.name]
        values = [params.dequantize(x) for x in found] if params else found
        before = (self.constants[names[0]], self.constants[names[1]])
        pairs = zip(self.exact[op.name], values, strict=True)
        sums = np.sum([output_sums(*pair) for pair in pairs], axis=0)
        after = unshrunk(op, self.params[op.inputs[0]], before, sums)
        self.constants.update(zip(names, after, strict=True))
        if after is not before:
            self._integer_step(op)

    def _half(self, op: Op, half: int, source: QuantParams) -> Moments:
        """Moments of the operator's input over every other chunk."""
        name = op.inputs[0]
        pairs = list(zip(self.exact[name], self.integers[name], strict=True))
        of_half = pairs[half::2] or pairs
        if op.kind == OpKind.DEPTHWISE_CONV:
            images = sum(len(exact) for exact, _ in of_half)
            enough = -(-len(of_half) * DEPTHWISE_IMAGES // (2 * images))
            of_half = [of_half[i] for i in spread(len(of_half), enough)]
        return moments(op, self.graph, of_half, self._positions(op), source)

    def _positions(self, op: Op) -> int:
        """Largest number of one image's positions that the moments of an operator include."""
        if op.kind != OpKind.DEPTHWISE_CONV:
            return self.positions
        images = sum(int(exact.shape[0]) for exact in self.exact[op.inputs[0]])
        enough = -(-DEPTHWISE_POSITIONS // images)
        share = min(self.positions // DEPTHWISE_SHARE, DEPTHWISE_MOST)
        return min(self.positions, max(enough, share))

    def _float_steps(self, ops: Sequence[Op], names: Sequence[str]) -> Step:
        """Float network from images to activations behind these operators."""
        return network_of(self.graph, ops, results=names).run

    def _integer_steps(self, ops: Sequence[Op], names: Sequence[str]) -> Step:
        """Quantized network from integers of images to activations behind these operators."""
        return network_of(
            self.graph, ops, results=names, value=self._decided, params=self.params
        ).run

    def _float_step(self, op: Op) -> list[list[np.ndarray]]:
        """Compute an operator in the float network: its outputs, chunk by chunk."""
        step = network_of(self.graph, [op])
        return [step.run(chunk) for chunk in self._chunks(self.exact)]

    def _integer_step(self, op: Op) -> None:
        """Compute an operator in the quantized network."""
        step = network_of(self.graph, [op], value=self._decided, params=self.params)
        self._store(self.integers, op, list(in_parallel(step.run, self._chunks(self.integers))))

    @staticmethod
    def _store(
        activations: dict[str, list[np.ndarray]], op: Op, results: list[list[np.ndarray]]
    ) -> None:
        """Enter an operator's outputs, computed chunk by chunk, under their names."""
        for name, chunks in zip(op.outputs, zip(*results, strict=True), strict=True):
            activations[name] = list(chunks)

    def _decided(self, name: str) -> np.ndarray:
        """Value of a constant: what its integers stand for where they are decided."""
        constant = self.constants.get(name)
        return self.graph.value(name) if constant is None else constant.to_float()

    @staticmethod
    def _chunks(values: Mapping[str, list[np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Every activation that is held, chunk by chunk."""
        for chunk in zip(*values.values(), strict=True):
            yield dict(zip(values, chunk, strict=True))
