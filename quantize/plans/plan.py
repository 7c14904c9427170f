"""The quantization plan: which integers a network becomes, as one plain value.

Everything that the int8 files of a network share is here: parameters of activations and weights,
integer weights and biases. TFLite and ONNX files are renderings of it. A plan is stored as one
archive (NumPy's .npz) with equal bytes for equal plans.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from foundation.archives import Arrays, open_arrays
from foundation.errors import InvalidInputError
from foundation.foreign import printable
from network.affine import QuantParams
from network.graph import Graph
from quantize.recipes import (
    Granularity,
    Optimization,
    PlanSettings,
    RangeMethod,
    WeightRange,
)

FORMAT = "edgequant plan 1"
SUFFIX = ".plan"


@dataclass(frozen=True)
class IntegerConstant:
    """A stored tensor in integers.

    Attributes:
        params: its scales.
        integers: int8 (weights and constants of elementwise operators), int32 (biases) or int64
            (biases of operators in int16x8), of the shape that the graph's tensor has.
    """

    params: QuantParams
    integers: np.ndarray = field(repr=False)

    def to_float(self) -> np.ndarray:
        """The float32 numbers that the integers stand for."""
        return self.params.dequantize(self.integers)


@dataclass(frozen=True)
class QuantizationPlan:
    """What a graph becomes.

    Attributes:
        graph: digest of the canonical float graph that the plan is of.
        activations: parameters by tensor name; a tensor without is float32.
        constants: integers by tensor name.
        settings: what was asked for; its ``wide_ops`` stand in the graph's order.
        floats: float32 constants of operators that stay in float32, where equalization changed
            them.
        story: how it was made, as plain values for the reader.
        notes: what the user must know of it, a sentence each.
    """

    graph: str
    activations: Mapping[str, QuantParams]
    constants: Mapping[str, IntegerConstant]
    settings: PlanSettings
    floats: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    story: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def check_graph(self, graph: Graph) -> None:
        """Refuse another graph than the one that the plan was made for.

        Raises:
            InvalidInputError: another structure or other float weights.
        """
        found = digest(graph)
        if found != self.graph:
            raise InvalidInputError(
                "a plan is applied to the network that it was made for",
                received=f"a network with the digest {found[:12]} and a plan for {self.graph[:12]}",
                remedy="give that network, with the same weights, or make a new plan",
            )

    def network(self, graph: Graph) -> Graph:
        """The graph whose float operators fit the plan's integers: what is to be rendered.

        Raises:
            InvalidInputError: another graph; see ``check_graph``.
        """
        self.check_graph(graph)
        return graph.with_values(self.floats)

    @property
    def described(self) -> dict[str, Any]:
        """Effort, method of the ranges and story of the plan as plain values, for the reader."""
        return {
            "optimization": self.settings.optimization.value,
            "ranges": self.settings.ranges.value,
            **self.story,
        }

    def save(self, path: Path) -> None:
        """Write the archive at ``path``; equal plans give equal bytes."""
        path.write_bytes(self._archive)

    @cached_property
    def _archive(self) -> bytes:
        """Made once for the files that a plan lies beside."""
        header = {
            "format": FORMAT,
            "graph": self.graph,
            "granularity": self.settings.granularity.value,
            "weight_range": self.settings.weight_range.value,
            "float_ops": list(self.settings.float_ops),
            "wide_ops": list(self.settings.wide_ops),
            "floats": sorted(self.floats),
            "settings": self.described,
            "notes": list(self.notes),
            "activations": {name: p.to_dict() for name, p in sorted(self.activations.items())},
            "constants": {name: c.params.to_dict() for name, c in sorted(self.constants.items())},
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":"))
        arrays: dict[str, Any] = {
            f"i.{number}": self.constants[name].integers
            for number, name in enumerate(sorted(self.constants))
        }
        arrays |= {f"f.{number}": self.floats[n] for number, n in enumerate(sorted(self.floats))}
        arrays["header"] = np.frombuffer(text.encode(), np.uint8)
        archive = BytesIO()
        np.savez_compressed(archive, **arrays)
        return archive.getvalue()

    @classmethod
    def load(cls, path: Path) -> QuantizationPlan:
        """Read an archive back.

        Raises:
            InvalidInputError: no such file, another format, or a damaged one.
        """
        with open_arrays(path, _RULE, _REMEDY) as archive:
            plan = cls._read(archive)
        fault = next(_absurdities(plan), None)
        if fault is not None:
            raise InvalidInputError(
                "the numbers of a plan are those that calibration can give",
                received=f"{printable(path)} with {fault}",
                remedy=_REMEDY,
            )
        return plan

    @classmethod
    def _read(cls, archive: Arrays) -> QuantizationPlan:
        """The plan in an archive; raises whatever damage leads to."""
        header = json.loads(archive["header"].tobytes(), parse_constant=_no_number)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("another format")
        _check_header(header)
        constants = {
            name: IntegerConstant(_params(name, params), archive[f"i.{number}"])
            for number, (name, params) in enumerate(sorted(header["constants"].items()))
        }
        return cls(
            graph=header["graph"],
            activations={
                name: _params(name, params) for name, params in header["activations"].items()
            },
            constants=constants,
            settings=_settings(header),
            floats={n: archive[f"f.{number}"] for number, n in enumerate(header["floats"])},
            story={k: v for k, v in header["settings"].items() if k not in _ASKED},
            notes=tuple(header["notes"]),
        )


@dataclass(frozen=True)
class PlannedNetwork:
    """A plan and its ``network``: what is rendered."""

    graph: Graph
    plan: QuantizationPlan


_RULE = f"a plan is an archive of the format {FORMAT!r}"
_REMEDY = "make it again with edgequant quantize"

LARGEST_SCALE = 1e15
SMALLEST_SCALE = 1e-12
"""Of an activation: a thousandth of what SMALLEST_SPAN gives in 16 bits."""
SMALLEST_CONSTANT_SCALE = 1e-30
"""Of a weight or bias: their products stay normal numbers of float32."""


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _no_number(text: str) -> float:
    """For ``json.loads``: NaN and Infinity, which no JSON has."""
    raise ValueError(f"{text} in its header")


def _params(name: str, values: Mapping[str, Any]) -> QuantParams:
    """Parameters of a tensor; raises ValueError, which names it, where they are none."""
    try:
        return QuantParams.from_dict(values)
    except InvalidInputError as error:
        raise ValueError(f"{name}: {error.received}") from error


def _absurdities(plan: QuantizationPlan) -> Iterator[str]:
    """Numbers that are well formed and that no calibration gives."""
    for name, params in plan.activations.items():
        if not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in params.scale):
            yield f"the scale {params.scale[0]:g} for {printable(name)}"
    for name, constant in plan.constants.items():
        scales = constant.params.scale
        if not all(SMALLEST_CONSTANT_SCALE <= scale <= LARGEST_SCALE for scale in scales):
            yield f"scales from {min(scales):g} to {max(scales):g} for {printable(name)}"
    for name, value in plan.floats.items():
        if value.dtype != np.float32 or not np.isfinite(value).all():
            yield f"other values than finite float32 numbers for {printable(name)}"


_ASKED = ("optimization", "ranges")
_TABLES = ("activations", "constants", "settings")
_LISTS = ("float_ops", "floats", "notes")


def _check_header(header: Mapping[str, Any]) -> None:
    """Raise TypeError, KeyError or ValueError where the header is no table of what a plan has."""
    wrong = [name for name in _TABLES if not isinstance(header[name], dict)]
    for name in (*_LISTS, "wide_ops"):
        values = header[name] if name in _LISTS else header.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            wrong.append(name)
    if not isinstance(header["graph"], str):
        wrong.append("graph")
    if not all(_is_finite(value) for value in header["settings"].values()):
        wrong.append("settings")
    if wrong:
        raise TypeError(f"{', '.join(wrong)} of another form")


def _settings(header: Mapping[str, Any]) -> PlanSettings:
    """What was asked for, from a header that was checked."""
    asked = header["settings"]
    return PlanSettings(
        granularity=Granularity(header["granularity"]),
        weight_range=WeightRange(header["weight_range"]),
        optimization=Optimization(asked.get("optimization", Optimization.DEFAULT)),
        float_ops=tuple(header["float_ops"]),
        ranges=RangeMethod(asked.get("ranges", RangeMethod.MIN_MAX)),
        wide_ops=tuple(header.get("wide_ops", ())),
    )


def digest(graph: Graph) -> str:
    """SHA-256 of a canonical graph: its structure and the bytes of its constants."""
    found = hashlib.sha256()
    for op in graph.ops:
        found.update(repr((op.kind, op.inputs, op.outputs, sorted(op.options.items()))).encode())
    for name in sorted(graph.tensors):
        tensor = graph.tensors[name]
        found.update(repr((name, tensor.shape)).encode())
        if tensor.value is not None:
            found.update(np.ascontiguousarray(tensor.value).tobytes())
    return found.hexdigest()
